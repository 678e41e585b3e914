"""Each account of a run has its own state, whatever happens to the others; some are skipped."""

from datetime import timedelta

import dagster as dg
import pytest

from lms_pipeline.checks.metrics import METRIC_CHECKS
from lms_pipeline.checks.snapshot import PULL_CHECKS
from lms_pipeline.defs import asset_checks
from lms_pipeline.defs.partitions import add_accounts
from lms_pipeline.lake.commit_mark import find_run_id
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox.faults import Status
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION
from lms_pipeline.tables.pulled import PULLED_TABLES, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.defs.batches.conftest import (
    END,
    FEW,
    NAMES,
    RETRY,
    START,
    Killed,
    build_range,
    describe,
    dimensions,
    find_failed,
    find_materialized,
    find_requested,
    read_check_states,
    read_state_of_checks,
)
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket
from lms_pipeline_tests.support.lake_files import publish

WITHOUT_CONTENT = ("few_are_told_by_others", "rules_apply")
"""The checks that have nothing to check in these accounts: there are no rules, and all rows are served."""


def is_of_a_check(event, names):
    """Return whether an event of `describe` is the result of one of these checks."""
    return isinstance(event[0], tuple) and any(name in event[0][0] for name in names)


@pytest.fixture(scope="module")
def left(leave):
    """What the run of the two accounts `a01` and `a02` left, of all tables. Read-only."""
    return leave(build_range("a01", "a02"))


@pytest.fixture
def batch(left, settings):
    """The run, whose installation is copied before the instance is opened."""
    left.copy(settings)
    return left.run


class TestEachAccount:
    def test_has_the_events_of_a_run_of_its_own(self, batch, execute, instance):
        single = execute({"dagster/partition": f"a03|{DAY}", **dimensions("a03")})
        assert [run.status for run in (batch, single)] == [dg.DagsterRunStatus.SUCCESS] * 2
        for account in ("a01", "a02"):
            single_run = [one for one in describe(instance, single, "a03") if not is_of_a_check(one, WITHOUT_CONTENT)]
            assert describe(instance, batch, account) == single_run

    def test_leaves_few_events(self, batch, execute, instance):
        tables, planned = len(NAMES), len(NAMES)
        checks = len((*PULL_CHECKS, *METRIC_CHECKS)) - len(WITHOUT_CONTENT)
        few, more = (len(instance.all_logs(run.run_id)) for run in (batch, execute(build_range("a03", "a05"))))
        assert more - few == tables + checks + planned

    def test_can_be_materialized_by_itself(self, execute, instance, sandbox):
        run = execute({"dagster/partition": f"a02|{DAY}", **dimensions("a02")}, select=["learners"])
        assert run.is_success
        assert find_requested(sandbox) == ["a02"]
        assert find_materialized(instance, "learners") == ["a02"]


def test_a_published_account_in_a_bucket_is_looked_at_once(settings, execute, tmp_path, monkeypatch):
    bucket = FolderBucket(settings.data_dir, tmp_path / "objects")
    data = open_in_bucket(settings.data_dir, bucket)
    monkeypatch.setattr(DataDir, "open", lambda _settings: data)
    assert execute(build_range("a01", "a02"), select=FEW).is_success
    bucket.log.clear()
    assert execute(build_range("a01", "a02"), select=FEW).is_success
    enrollments = [data.get_key(data.file(UNIFIED_ENROLLMENTS, Partition(one, DAY))) for one in ("a01", "a02")]
    assert [key for method, key in bucket.log if method == "HEAD" and key in enrollments] == enrollments


class TestACheckWithNothingToCheck:
    @pytest.fixture
    def find(self, instance):
        """Returns the states of such checks of an account, and those of the others."""

        def found(account):
            states = read_state_of_checks(instance, account)
            others = {state for name, state in states.items() if name not in WITHOUT_CONTENT}
            return {states[name] for name in WITHOUT_CONTENT}, others

        return found

    def test_is_shown_as_skipped(self, batch, find):
        assert [find(account) for account in ("a01", "a02")] == [({"SKIPPED"}, {"SUCCEEDED"})] * 2

    def test_is_not_shown_as_failed_if_another_account_fails(self, execute, sandbox, find):
        sandbox.fault(Status(status=403, account="a02"))
        execute(build_range("a01", "a02"))
        assert find("a01") == ({"SUCCEEDED"}, {"SUCCEEDED"})

    def test_is_not_shown_as_failed_if_the_account_is_skipped(self, batch, execute, sandbox, find):
        sandbox.fault(Status(status=403, account="a03"))
        execute(build_range("a01", "a03"))
        assert [find(account) for account in ("a01", "a02")] == [({"SUCCEEDED"}, {"SUCCEEDED"})] * 2


class TestAnAccountIsSkipped:
    def test_if_it_is_published_removed_or_gone(self, execute, instance, settings, sandbox, registry, data):
        execute({"dagster/partition": f"a12|{DAY}", **dimensions("a12")}, select=FEW)
        registry.remove("a13", last_day=DAY)
        add_accounts(instance, ["stranger"])
        sandbox.clear_counts()
        assert execute(build_range("a11", "stranger"), select=FEW).is_success
        assert find_requested(sandbox) == ["a11", "a14"]

    def test_and_keeps_its_state_if_the_run_fails(self, batch, execute, instance, settings, sandbox):
        sandbox.fault(Status(status=403, account="a03"))
        failed = execute(build_range("a02", "a03"))
        assert {name: find_failed(instance, settings, name) for name in NAMES} == {name: ["a03"] for name in NAMES}
        stored = [(what, figures) for what, figures in describe(instance, batch, "a02") if isinstance(what, str)]
        again = [(what, figures) for what, figures in describe(instance, failed, "a02") if isinstance(what, str)]
        assert sorted(again, key=str) == sorted(stored, key=str)
        assert len(stored) == len(NAMES)

    def test_but_not_if_the_process_died_before_its_metrics(self, execute, kill, instance, sandbox):
        kill("a02", after_publishing=True)
        first = execute(build_range("a01", "a03"), select=FEW)
        assert find_materialized(instance, "unified_enrollments") == ["a01"]
        sandbox.clear_counts()
        assert execute({**build_range("a01", "a03"), **RETRY}, first, select=FEW).is_success
        assert find_requested(sandbox) == ["a03"]
        assert find_materialized(instance, "account_completion") == ["a01", "a02", "a03"]

    @pytest.mark.parametrize("repeat", [{}, RETRY], ids=["a person", "a retry"])
    def test_but_not_if_another_run_left_it_without_metrics(self, execute, instance, sandbox, data, repeat):
        failed = execute({"dagster/partition": f"nobody|{DAY}", **dimensions("nobody")}, select=FEW) if repeat else None
        pulled = execute(build_range("a01", "a02"), select=[table.name for table in PULLED_TABLES])
        sandbox.clear_counts()
        run = execute({**build_range("a01", "a02"), **repeat}, failed)
        assert run.is_success
        assert find_requested(sandbox) == []
        assert find_run_id(data.file(UNIFIED_ENROLLMENTS, Partition("a01", DAY))) == pulled.run_id
        assert {name: find_materialized(instance, name) for name in NAMES} == {name: ["a01", "a02"] for name in NAMES}
        assert read_check_states(instance, "a01") == ("SUCCEEDED",)

    def test_but_not_if_the_process_died_before_its_checks(self, execute, instance, sandbox, monkeypatch):
        run_check = asset_checks._run_check

        def die_or_check(check, open_table):
            if open_table(check.tables[0]).partition.account_id == "a02" and check in METRIC_CHECKS:
                raise Killed
            return run_check(check, open_table)

        monkeypatch.setattr(asset_checks, "_run_check", die_or_check)
        execute(build_range("a02", "a03"))
        monkeypatch.setattr(asset_checks, "_run_check", run_check)
        sandbox.clear_counts()
        assert execute(build_range("a02", "a03")).is_success
        assert find_requested(sandbox) == ["a03"]
        assert read_check_states(instance, "a02") == ("SUCCEEDED",)

    def test_but_not_if_its_metrics_are_of_an_earlier_pull(self, batch, execute, instance, sandbox, data):
        one = {"dagster/partition": f"a01|{DAY}", **dimensions("a01")}
        execute(one, select=[table.name for table in PULLED_TABLES])
        sandbox.clear_counts()
        run = execute(build_range("a01", "a03"))
        assert find_requested(sandbox) == ["a03"]
        assert find_run_id(data.file(ACCOUNT_COMPLETION, Partition("a01", DAY))) == run.run_id
        assert read_check_states(instance, "a01") == ("SUCCEEDED",)  # one of the earlier pull must not stay


def test_metrics_of_several_days_are_computed_again_without_a_request(execute, instance, sandbox, data, registry):
    for day in (DAY - timedelta(days=1), DAY):
        publish(data, "a01", day)
    run = execute({START: f"a01|{DAY - timedelta(days=1)}", END: f"a01|{DAY}"}, select=["account_completion"])
    assert run.is_success
    assert find_requested(sandbox) == []
    assert instance.get_materialized_partitions(dg.AssetKey("account_completion")) == {
        f"a01|{DAY - timedelta(days=1)}",
        f"a01|{DAY}",
    }
