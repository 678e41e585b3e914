"""What a person can click in the UI: no click keeps the other accounts from their runs, or raises in what serves all."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import dagster as dg
import pytest

from lms_pipeline.checks.fleet import FLEET_CHECKS, load_fleet
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.asset_checks import _find_recently_failed
from lms_pipeline.defs.event_log_sync import find_missing_events, report_events
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.defs.jobs import find_all_expired
from lms_pipeline.defs.partitions import ACCOUNT_TAG, DATE_TAG
from lms_pipeline.defs.run_requests import DAILY_SNAPSHOT, find_latest_runs
from lms_pipeline.lake.paths import Partition
from lms_pipeline.lake.waiting import WaitingPull, save_waiting
from lms_pipeline_tests.defs.conftest import DAY, NOW
from lms_pipeline_tests.defs.test_automation import keys, sense, tick
from lms_pipeline_tests.support.lake_files import enrollment, publish

ODD_KEYS = ["", " ", "..", "../../etc", "a|b", "a,b", "a\nb", "ä", "x" * 300, "[...]", "2026-03-10"]
NORTH, SOUTH = Partition("north", DAY), Partition("south", DAY)
BOTH = ["north|2026-03-10", "south|2026-03-10"]
SENSORS = ("warehouse_refresh", "failed_days", "waiting_pulls", "account_registry")


class Installation:
    """Two accounts, of which `north` has one failed run."""

    def __init__(self, settings, instance, registry, data):
        self.settings, self.instance, self.registry, self.data = settings, instance, registry, data
        self.defs = build_defs(settings)
        self.job = self.defs.resolve_job_def(DAILY_SNAPSHOT)
        instance.add_dynamic_partitions("account", ["north", "south"])
        self.failed = self.add_run("north", "2026-03-10", dg.DagsterRunStatus.FAILURE)

    def add_run(self, account, day, status):
        """Store a run with the tags of a partition."""
        tags = {ACCOUNT_TAG: account, DATE_TAG: day}
        return self.instance.create_run_for_job(self.job, tags=tags, status=status)

    def wait(self, run_id):
        """Store that `north` continues now."""
        pull = WaitingPull(
            account_id="north",
            day=DAY,
            run_id=run_id,
            since=datetime(2026, 3, 11, tzinfo=UTC),
            at=datetime(2026, 3, 11, 1, tzinfo=UTC),
            subject="The LMS of account north",
            spent_seconds=1.0,
            responses=1,
        )
        self.data.pull_folder(NORTH).mkdir(parents=True)
        save_waiting(self.data, pull)


def delete_partitions(installation):
    for account in ("north", "south"):
        installation.instance.delete_dynamic_partition("account", account)


def add_odd_partitions(installation):
    installation.instance.add_dynamic_partitions("account", [*ODD_KEYS, "stranger"])


def run_odd_partitions(installation):
    add_odd_partitions(installation)
    for account in ODD_KEYS:  # without a log, which takes most of the time
        tags = {ACCOUNT_TAG: account, DATE_TAG: "2026-03-10"}
        run = dg.DagsterRun(DAILY_SNAPSHOT, run_id=str(uuid4()), tags=tags, status=dg.DagsterRunStatus.FAILURE)
        installation.instance.run_storage.add_run(run)
    for account in ("a|b", "stranger"):
        installation.add_run(account, "2026-03-10", dg.DagsterRunStatus.FAILURE)
    installation.add_run("south", "no day", dg.DagsterRunStatus.FAILURE)


def delete_runs(installation):
    for run in installation.instance.get_runs():
        installation.instance.delete_run(run.run_id)


def cancel_runs(installation):
    installation.add_run("north", "2026-03-10", dg.DagsterRunStatus.CANCELED)


def wipe_assets(installation):
    installation.instance.wipe_assets([dg.AssetKey("account_completion"), dg.AssetKey("unified_enrollments")])


def wait_with_a_selection_of_others(installation):
    """A run from the UI with an asset and a configuration that are not the daily job's."""
    tags = {ACCOUNT_TAG: "north", DATE_TAG: "2026-03-10"}
    run = installation.instance.create_run(
        job_name="__ASSET_JOB",
        run_id=None,
        run_config={"ops": {"mine": {"config": {"size": 3}}, "pull": {"config": {"allow_drop": True}}}},
        status=dg.DagsterRunStatus.SUCCESS,
        tags=tags,
        root_run_id=None,
        parent_run_id=None,
        step_keys_to_execute=None,
        execution_plan_snapshot=None,
        job_snapshot=None,
        parent_job_snapshot=None,
        asset_selection=frozenset({dg.AssetKey("mine"), dg.AssetKey("learners")}),
        asset_check_selection=None,
        resolved_op_selection=None,
        op_selection=None,
        remote_job_origin=None,
        job_code_origin=None,
        asset_graph=None,
    )
    installation.wait(run.run_id)


CLICKS = {
    "none": lambda _installation: None,
    "partitions deleted": delete_partitions,
    "partitions with odd names added": add_odd_partitions,
    "partitions with odd names run": run_odd_partitions,
    "runs deleted": delete_runs,
    "runs canceled": cancel_runs,
    "assets wiped": wipe_assets,
    "a pull of another job's run waits": wait_with_a_selection_of_others,
    "the run of a waiting pull deleted": lambda installation: installation.wait("00000000-0000-4000-8000-000000000000"),
}


@pytest.fixture(params=list(CLICKS.values()), ids=list(CLICKS))
def clicked(request, settings, instance, registry, data):
    installation = Installation(settings, instance, registry, data)
    request.param(installation)
    return installation


def test_the_schedule_and_the_sensors_request_the_other_accounts(clicked):
    repository = clicked.defs.get_repository_def()
    assert keys(tick(repository, clicked.instance).run_requests) == BOTH
    record = find_latest_runs(clicked.instance, DAY).get("north")
    has_failed = record is not None and record.dagster_run.status is not dg.DagsterRunStatus.SUCCESS
    assert keys(sense(repository, clicked.instance, "failed_days").run_requests) == (BOTH[:1] if has_failed else [])
    waits = clicked.data.pull_folder(NORTH).exists()
    assert keys(sense(repository, clicked.instance, "waiting_pulls").run_requests) == (BOTH[:1] if waits else [])
    without_a_run = BOTH if record is None else BOTH[1:]
    assert keys(sense(repository, clicked.instance, "account_registry").run_requests) == without_a_run
    assert sense(repository, clicked.instance, "warehouse_refresh").run_requests == []


def test_the_checks_the_sync_and_housekeeping_serve_all_accounts(clicked):
    publish(clicked.data, "south", DAY, enrollment("u1"))
    fleet = load_fleet(clicked.data, clicked.settings, _find_recently_failed(clicked.instance))
    assert all(check.run(fleet).message for check in FLEET_CHECKS)
    missing = find_missing_events(clicked.instance, clicked.data)
    assert report_events(clicked.instance, clicked.data, missing, min_cohort=1) == len(missing) > 0
    assert "south|2026-03-10" in clicked.instance.get_materialized_partitions(dg.AssetKey("unified_enrollments"))
    assert find_all_expired(clicked.settings, clicked.instance) == []


def test_a_sensor_whose_cursor_was_reset_requests_what_it_would_anyway(settings, instance, registry):
    defs = build_defs(settings)
    repository = defs.get_repository_def()
    (run,) = run_partitions(defs, instance, [NORTH], ["unified_enrollments", "account_completion"])
    assert run.error is None
    (first,) = sense(repository, instance, "warehouse_refresh").run_requests
    for cursor in (None, "", "garbage", "a b c", "allow_drop"):
        requested = {name: sense(repository, instance, name, cursor).run_requests for name in SENSORS}
        (again,) = requested.pop("warehouse_refresh")
        assert again.run_key == first.run_key, cursor
        found = {name: keys(requests) for name, requests in requested.items()}
        assert found == {"failed_days": [], "waiting_pulls": [], "account_registry": BOTH[1:]}, cursor


def test_a_schedule_that_was_off_for_a_week_requests_the_open_day_only(settings, instance, registry, data):
    publish(data, "north", DAY, enrollment("u1"))
    later = settings.model_copy(update={"frozen_now": NOW + timedelta(days=7)})
    repository = build_defs(later).get_repository_def()
    open_day = ["north|2026-03-17", "south|2026-03-17"]
    assert keys(tick(repository, instance, NOW + timedelta(days=7)).run_requests) == open_day
    assert tick(repository, instance, NOW + timedelta(days=6)).skip_message == (
        "This tick was missed, and 2026-03-17 had not ended then: a later tick requests it."
    )
    assert sense(repository, instance, "failed_days").run_requests == []
    fleet = load_fleet(data, later, set())
    assert all(check.run(fleet).message for check in FLEET_CHECKS)


def test_a_run_that_is_being_canceled_is_not_doubled(settings, instance, registry, data):
    installation = Installation(settings, instance, registry, data)
    installation.add_run("north", "2026-03-10", dg.DagsterRunStatus.CANCELING)
    repository = installation.defs.get_repository_def()
    assert keys(tick(repository, instance).run_requests) == BOTH[1:]
