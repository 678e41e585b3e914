"""Runs that repeat another run: whether they pull again depends on how that one ended."""

from contextlib import contextmanager
from functools import cache

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.partitions import add_accounts, build_partition_key
from lms_pipeline.lake.paths import Partition
from lms_pipeline.snapshot import job as snapshot_job
from lms_pipeline_tests.defs.conftest import DAY, Left, open_installation

KEY = build_partition_key(Partition("north", DAY))
SELECTED = {dg.AssetKey(name) for name in ("unified_enrollments", "account_completion")}
"""A pulled table and one of metrics, which are enough to see whether a run pulls."""


class Killed(BaseException):
    """The death of the process."""


@pytest.fixture
def execute(settings, instance, registry, sandbox):
    """Executes a run of `north` that repeats another run, and returns its id and its number of requests."""
    return build_execute(settings, instance, sandbox)


def build_execute(settings, instance, sandbox):
    add_accounts(instance, ["north"])
    job = build_defs(settings).resolve_job_def("daily_snapshot").get_subset(asset_selection=SELECTED)

    def executed(parent=None, root=None, **tags):
        sandbox.clear_counts()
        run = instance.create_run_for_job(
            job,
            asset_selection=SELECTED,
            parent_run_id=parent,
            root_run_id=root or parent,
            tags={"dagster/partition": str(KEY), **instance_tags(), **tags},
        )
        execute_run(InMemoryJob(job), run, instance)
        return run.run_id, sandbox.stats()["total"]

    return executed


def instance_tags():
    return {f"dagster/partition/{name}": key for name, key in KEY.keys_by_dimension.items()}


@contextmanager
def killing():
    """Let runs die after they published, before Dagster records the end of the step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot_job, "record_outcome", die)
        yield


@contextmanager
def killing_metrics():
    """Let runs die after Dagster has recorded their pulled tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lms_pipeline.metrics.completion.publish_metrics", die_with_options)
        yield


@pytest.fixture(scope="module")
def leave(tmp_path_factory, make_home):
    """Executes a run that dies, in an installation of its own, and returns what it left."""

    @cache
    def left(killing):
        folder = tmp_path_factory.mktemp("left")
        with open_installation(folder, make_home) as (sandbox, settings, instance), killing():
            run_id, _ = build_execute(settings, instance, sandbox)()
            return Left(folder, instance.get_run_by_id(run_id))

    return left


@pytest.fixture
def killed(leave, settings):
    """The id of a killed run, whose installation is copied before the instance is opened."""
    left = leave(killing)
    left.copy(settings)
    return left.run.run_id


@pytest.fixture
def killed_in_metrics(leave, settings):
    """The id of a run that was killed in its metrics, whose installation is copied before the instance is opened."""
    left = leave(killing_metrics)
    left.copy(settings)
    return left.run.run_id


def die(*_args):
    raise Killed


def die_with_options(*_args, **_options):
    raise Killed


def find_messages(instance, run_id):
    return [entry.user_message for entry in instance.all_logs(run_id)]


def test_a_retry_of_a_killed_run_makes_no_request_and_says_why(killed, execute, instance):
    assert instance.get_run_by_id(killed).status is dg.DagsterRunStatus.FAILURE
    run_id, requests = execute(killed)
    assert requests == 0
    assert instance.get_run_by_id(run_id).is_success
    message = "An interrupted run had published this snapshot already; no request was sent."
    assert message in find_messages(instance, run_id)
    event = instance.get_latest_materialization_event(dg.AssetKey("unified_enrollments"))
    assert event.asset_materialization.metadata["served"].value == 3


def test_the_second_retry_makes_no_request_either(killed, execute):
    with killing():
        second, _ = execute(killed)
    assert execute(second, root=killed)[1] == 0


@pytest.mark.usefixtures("after_a_run")
@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE]
)
def test_a_person_who_repeats_a_run_after_its_pull_gets_a_new_pull(status, execute, instance):
    [run] = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": str(KEY)}))
    if status is dg.DagsterRunStatus.CANCELED:
        instance.report_run_canceled(run)
    elif status is dg.DagsterRunStatus.FAILURE:
        instance.report_run_failed(run)
    assert instance.get_run_by_id(run.run_id).status is status
    assert execute(run.run_id)[1] > 0


def test_a_retry_of_a_run_that_died_after_its_pull_makes_no_request(killed_in_metrics, execute, instance):
    run_id, requests = execute(killed_in_metrics, **{"dagster/is_resume_retry": "true"})
    assert requests == 0
    assert instance.get_run_by_id(run_id).is_success
    assert instance.get_materialized_partitions(dg.AssetKey("account_completion")) == {str(KEY)}


def test_a_person_who_repeats_a_run_that_died_after_its_pull_gets_a_new_pull(killed_in_metrics, execute):
    assert execute(killed_in_metrics)[1] > 0


def test_a_new_run_after_a_killed_one_pulls_again(killed, execute):
    assert execute()[1] > 0


def test_a_retry_whose_parent_was_deleted_pulls_again(killed, execute, instance):
    instance.delete_run(killed)
    assert execute(killed)[1] > 0
