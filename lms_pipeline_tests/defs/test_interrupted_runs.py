"""Runs that repeat another run: whether they pull again depends on how that one ended."""

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.partitions import add_accounts, build_partition_key
from lms_pipeline.lake.paths import Partition
from lms_pipeline.snapshot import job as snapshot_job
from lms_pipeline_tests.defs.conftest import DAY

KEY = build_partition_key(Partition("north", DAY))
SELECTED = {dg.AssetKey(name) for name in ("unified_enrollments", "account_completion")}
"""A pulled table and one of metrics, which are enough to see whether a run pulls."""


class Killed(BaseException):
    """The death of the process."""


@pytest.fixture
def execute(settings, instance, registry, sandbox):
    """Executes a run of `north` that repeats another run, and returns its id and its number of requests."""
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


@pytest.fixture
def kill(execute):
    """Executes a run that dies after it published, before Dagster records the end of the step."""

    def killed(parent=None, root=None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(snapshot_job, "record_outcome", die)
            return execute(parent, root)[0]

    return killed


def die(*_args):
    raise Killed


def find_messages(instance, run_id):
    return [entry.user_message for entry in instance.all_logs(run_id)]


def test_a_retry_of_a_killed_run_makes_no_request_and_says_why(execute, kill, instance):
    killed = kill()
    assert instance.get_run_by_id(killed).status is dg.DagsterRunStatus.FAILURE
    run_id, requests = execute(killed)
    assert requests == 0
    assert instance.get_run_by_id(run_id).is_success
    message = "An interrupted run had published this snapshot already; no request was sent."
    assert message in find_messages(instance, run_id)
    event = instance.get_latest_materialization_event(dg.AssetKey("unified_enrollments"))
    assert event.asset_materialization.metadata["served"].value == 3


def test_the_second_retry_makes_no_request_either(execute, kill):
    first = kill()
    second = kill(first)
    assert execute(second, root=first)[1] == 0


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


@pytest.fixture
def killed_in_metrics(execute, monkeypatch):
    """A run that died after Dagster had recorded its pulled tables."""
    with monkeypatch.context() as patch:
        patch.setattr("lms_pipeline.metrics.completion.publish_metrics", die_with_options)
        return execute()[0]


def die_with_options(*_args, **_options):
    raise Killed


def test_a_retry_of_a_run_that_died_after_its_pull_makes_no_request(execute, killed_in_metrics, instance):
    run_id, requests = execute(killed_in_metrics, **{"dagster/is_resume_retry": "true"})
    assert requests == 0
    assert instance.get_run_by_id(run_id).is_success
    assert instance.get_materialized_partitions(dg.AssetKey("account_completion")) == {str(KEY)}


def test_a_person_who_repeats_a_run_that_died_after_its_pull_gets_a_new_pull(execute, killed_in_metrics):
    assert execute(killed_in_metrics)[1] > 0


def test_a_new_run_after_a_killed_one_pulls_again(execute, kill):
    kill()
    assert execute()[1] > 0


def test_a_retry_whose_parent_was_deleted_pulls_again(execute, kill, instance):
    killed = kill()
    instance.delete_run(killed)
    assert execute(killed)[1] > 0
