"""Which runs of several accounts are requested."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.asset_checks import _find_recently_failed
from lms_pipeline.defs.partitions import add_accounts
from lms_pipeline.errors import LakeError
from lms_pipeline.lake.lock import partition_lock
from lms_pipeline.lake.paths import Partition
from lms_pipeline.metrics import completion
from lms_pipeline.sandbox.faults import Status
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline_tests.defs.batches.conftest import ACCOUNTS, END, FEW, NAMES, START, build_range, dimensions
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_automation import sense, tick
from lms_pipeline_tests.support.lake_files import publish


def list_ranges(requests):
    """Return the first and last account of each request, from its tags or its partition."""
    found = []
    for request in requests:
        one = str(request.partition_key or "")
        found.append(
            "...".join(key.partition("|")[0] for key in (request.tags.get(START, one), request.tags.get(END, one)))
        )
    return found


class TestRequests:
    def test_of_the_schedule_have_so_many_accounts(self, settings, instance, registry):
        few = build_defs(settings.model_copy(update={"accounts_per_run": 4})).get_repository_def()
        requests = tick(few, instance).run_requests
        assert list_ranges(requests) == ["a01...a04", "a05...a08", "a09...a12", "a13...a14"]
        assert len({request.run_key for request in requests}) == 4

    def test_leave_out_what_is_published_removed_or_requested(self, repository, settings, instance, registry, data):
        publish(data, "a03", DAY)
        registry.remove("a06", last_day=DAY)
        add_accounts(instance, ACCOUNTS)
        job = build_defs(settings).resolve_job_def("daily_snapshot")
        instance.create_run_for_job(job, tags=build_range("a09", "a10"), status=dg.DagsterRunStatus.STARTED)
        instance.create_run_for_job(job, tags=dimensions("a13"), status=dg.DagsterRunStatus.STARTED)
        requests = tick(repository, instance).run_requests
        assert list_ranges(requests) == ["a01...a02", "a04...a05", "a07...a08", "a11...a12", "a14...a14"]

    def test_after_a_failed_range_are_of_the_accounts_that_failed(self, repository, execute, instance, sandbox):
        for account in ("a01", "a02", "a04"):
            sandbox.fault(Status(status=403, account=account))
        failed = execute(build_range("a01", "a04"), select=FEW)
        requests = sense(repository, instance, "failed_days").run_requests
        assert list_ranges(requests) == ["a01...a02", "a04...a04"]
        assert all(request.run_key.endswith(f" after {failed.run_id}") for request in requests)

    def test_after_a_range_that_published_are_of_the_metrics_that_failed(
        self, repository, execute, monkeypatch, instance
    ):
        original = completion.publish_metrics

        def fail(data, tables, partition, *rest, **options):
            if partition.account_id == "a02":
                raise LakeError("The metrics can't be computed.")
            return original(data, tables, partition, *rest, **options)

        monkeypatch.setattr(completion, "publish_metrics", fail)
        execute(build_range("a01", "a02"))
        [request] = sense(repository, instance, "failed_days").run_requests
        assert list_ranges([request]) == ["a02...a02"]
        assert {key.to_user_string() for key in request.asset_selection} == {table.name for table in METRIC_TABLES}

    def test_after_a_range_that_left_a_locked_account_are_of_it(self, repository, execute, instance, data):
        with partition_lock(data, Partition("a02", DAY)):
            batch = execute(build_range("a01", "a02"), select=FEW)
            assert sense(repository, instance, "failed_days").run_requests == []  # whoever pulls it goes on
        assert batch.is_success
        [request] = sense(repository, instance, "failed_days").run_requests
        assert request.run_key == f"a02|{DAY} after {batch.run_id}"

    @pytest.mark.parametrize("is_holder_newer", [False, True])
    def test_after_a_holder_that_was_canceled_are_of_its_account(
        self, repository, settings, execute, instance, data, is_holder_newer
    ):
        job = build_defs(settings).resolve_job_def("daily_snapshot")

        def create_holder():
            return instance.create_run_for_job(job, tags=dimensions("a02"), status=dg.DagsterRunStatus.STARTED)

        holder = None if is_holder_newer else create_holder()
        with partition_lock(data, Partition("a02", DAY)):
            newest = execute(build_range("a01", "a02"), select=FEW)
        if holder is None:
            newest = holder = create_holder()
        instance.report_run_canceled(holder)
        [request] = sense(repository, instance, "failed_days").run_requests
        assert request.run_key == f"a02|{DAY} after {newest.run_id}"

    @pytest.mark.parametrize("tables", [["learners"], ["learners", "courses"]])
    def test_after_a_range_without_the_enrollments_are_none(self, repository, execute, instance, tables):
        assert execute(build_range("a01", "a02"), select=tables).is_success
        assert sense(repository, instance, "failed_days").run_requests == []

    def test_after_a_range_leave_out_an_account_that_waits(self, repository, execute, instance, sandbox, monkeypatch):
        sandbox.fault(Status(status=429, retry_after=3000, account="a02", remote=True))
        assert execute(build_range("a01", "a02"), select=FEW).is_success
        for after in (timedelta(0), timedelta(hours=2)):
            now = datetime.now(UTC) + after
            monkeypatch.setattr("lms_pipeline.defs.failed_days.utc_now", lambda now=now: now)
            assert sense(repository, instance, "failed_days").run_requests == []

    def test_for_new_accounts_are_made_once(self, repository, settings, instance, registry):
        [request] = sense(repository, instance, "account_registry").run_requests
        assert list_ranges([request]) == ["a01...a14"]
        job = build_defs(settings).resolve_job_def("daily_snapshot")
        instance.create_run_for_job(job, tags=request.tags, status=dg.DagsterRunStatus.STARTED)
        assert sense(repository, instance, "account_registry").run_requests == []

    def test_of_a_backfill_have_so_many_accounts(self, settings):
        graph = build_defs(settings).get_repository_def().asset_graph
        assert {graph.get(dg.AssetKey(name)).backfill_policy for name in NAMES} == {dg.BackfillPolicy.multi_run(25)}

    def test_count_a_failed_range_as_a_failed_day_of_each_account(self, execute, instance, sandbox):
        sandbox.fault(Status(status=403, account="a02"))
        execute(build_range("a01", "a02"), select=FEW)
        assert Partition("a02", DAY) in _find_recently_failed(instance)
