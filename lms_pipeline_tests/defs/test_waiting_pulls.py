"""Pulls whose LMS allows no call for more than a minute: their runs end, and others continue them."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from unittest.mock import Mock
from uuid import uuid4

import dagster as dg
import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.checks.fleet import accounts_are_fresh, load_fleet
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.failed_days import find_failed_days
from lms_pipeline.defs.failures import CONTINUES_AT_TAG
from lms_pipeline.defs.instance import open_instance, run_partitions
from lms_pipeline.defs.partitions import add_accounts, build_partition_key
from lms_pipeline.defs.run_locks import run_lock
from lms_pipeline.lake.paths import Partition
from lms_pipeline.lake.waiting import find_waiting, format_time, read_waiting, take_waiting
from lms_pipeline.sandbox.faults import Status
from lms_pipeline.settings import Settings
from lms_pipeline_tests.defs.conftest import DAY, build_settings, serve_accounts
from lms_pipeline_tests.defs.test_automation import keys, sense, tick

NORTH, SOUTH = Partition("north", DAY), Partition("south", DAY)
LATER = timedelta(seconds=3000)
BUSY = Status(status=429, retry_after=3000, account="north", remote=True, after=1)
"""After the first response the LMS allows no call for 50 minutes."""


@pytest.fixture
def repository(settings):
    return build_defs(settings).get_repository_def()


def execute_north(settings, instance, request=None, select=None):
    """Execute a run of `north` as the queue does, or of one table, and return the run."""
    config, assets = (request.run_config, request.asset_selection) if request else (None, select and [select])
    job = build_defs(settings).resolve_job_def("daily_snapshot")
    run_id = str(uuid4())
    with run_lock(instance, run_id):  # which ends with the process of a run
        job.execute_in_process(
            run_config=config,
            asset_selection=assets,
            partition_key=build_partition_key(NORTH),
            instance=instance,
            raise_on_error=False,
            run_id=run_id,
        )
    return instance.get_run_by_id(run_id)


@pytest.fixture
def execute(settings, instance, registry):
    """Executes a run of `north`, and returns the run."""
    add_accounts(instance, ["north", "south"])
    return partial(execute_north, settings, instance)


@dataclass(frozen=True)
class EndedRun:
    """A run of `north` that has ended, since its LMS allows no call. Read-only, since tests share it."""

    settings: Settings
    run_id: str
    started_at: datetime
    ended_at: datetime


@pytest.fixture(scope="module")
def ended_run(tmp_path_factory, make_home):
    folder = tmp_path_factory.mktemp("waiting")
    with serve_accounts(folder) as sandbox, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DAGSTER_HOME", str(folder / "dagster"))
        settings = build_settings(sandbox, folder)
        make_home(settings.dagster_home)
        for account_id in ("north", "south"):
            Registry.open(settings).add(account_id, name=None, first_day=DAY)
        with open_instance(settings) as instance:
            add_accounts(instance, ["north", "south"])
            sandbox.fault(BUSY)
            started_at = datetime.now(UTC)
            run = execute_north(settings, instance)
            return EndedRun(settings, run.run_id, started_at, datetime.now(UTC))


@pytest.fixture
def after_the_run(ended_run, settings, sandbox):
    """A copy of the data of `ended_run`, made before the instance is opened, whose LMS is busy still."""
    shutil.copytree(ended_run.settings.data_dir, settings.data_dir)
    shutil.copytree(ended_run.settings.dagster_home, settings.dagster_home)
    sandbox.fault(BUSY)


@pytest.fixture
def waiting(after_the_run, ended_run, instance):
    """The ended run of `north`, which waits for its LMS."""
    return instance.get_run_by_id(ended_run.run_id)


@pytest.fixture
def set_clock(monkeypatch):
    """Sets the clock of the sensors and the schedule."""
    return lambda at: monkeypatch.setattr("lms_pipeline.defs.run_requests.utc_now", lambda: at)


def find_pull(data):
    pull = read_waiting(data, NORTH)
    assert pull is not None
    return pull


def find_messages(instance, run):
    return [entry.user_message for entry in instance.all_logs(run.run_id)]


class TestTheRunEnds:
    def test_without_a_failure_and_without_a_table(self, waiting, instance, data):
        assert waiting.status is dg.DagsterRunStatus.SUCCESS
        assert instance.get_materialized_partitions(dg.AssetKey("unified_enrollments")) == set()
        assert not data.lake.exists() or not list(data.lake.rglob("*.parquet"))
        events = [entry.dagster_event for entry in instance.all_logs(waiting.run_id) if entry.is_dagster_event]
        evaluated = dg.DagsterEventType.ASSET_CHECK_EVALUATION
        assert not any(event.is_step_failure or event.event_type is evaluated for event in events)

    def test_with_a_sentence_in_its_log(self, waiting, instance, data):
        at = find_pull(data).at
        assert (
            f"north on {DAY}: The LMS of account north allows the next call at {format_time(at, UTC)}: the pull continues "
            "then; 1 response is kept."
        ) in find_messages(instance, waiting)

    def test_with_the_time_as_a_tag(self, waiting, ended_run):
        at = datetime.fromisoformat(waiting.tags[CONTINUES_AT_TAG])
        assert at.utcoffset() == timedelta(0)
        assert ended_run.started_at + timedelta(seconds=2900) < at <= ended_run.ended_at + LATER

    def test_and_the_next_one_repeats_no_call_whose_response_is_kept(self, waiting, execute, sandbox, published):
        sandbox.clear_faults()
        sandbox.clear_counts()
        assert execute().is_success
        assert sandbox.stats()["total"] == published.requests - 1

    def test_and_the_wait_is_over_when_the_snapshot_is_published(self, waiting, execute, sandbox, data):
        sandbox.clear_faults()
        execute(select=dg.AssetKey("unified_enrollments"))
        assert find_waiting(data) == []


class TestUntilItsTime:
    def test_nothing_starts_it(self, waiting, repository, instance):
        assert keys(tick(repository, instance).run_requests) == ["south|2026-03-10"]
        assert sense(repository, instance, "failed_days").run_requests == []
        assert sense(repository, instance, "waiting_pulls").skip_message.startswith("1 pull waits for its LMS")

    def test_the_fleet_check_says_that_it_waits(self, waiting, settings, data):
        at = format_time(find_pull(data).at, UTC)
        finding = accounts_are_fresh(load_fleet(data, settings, frozenset()))
        assert finding.figures["waiting"] == 1
        assert finding.message.endswith(f" 1 pull waits for its LMS until {at}.")


class TestWhenItsTimeHasCome:
    @pytest.fixture
    def at(self, waiting, data):
        return find_pull(data).at

    @pytest.fixture(autouse=True)
    def come(self, at, set_clock):
        set_clock(at + timedelta(seconds=1))

    def test_the_sensor_does_not_read_the_settings_for_it(self, repository, instance, monkeypatch):
        monkeypatch.setattr(Settings, "load", Mock(side_effect=AssertionError))
        assert len(sense(repository, instance, "waiting_pulls").run_requests) == 1

    def test_the_sensor_starts_it_once(self, repository, instance, waiting):
        (request,) = sense(repository, instance, "waiting_pulls").run_requests
        assert str(request.partition_key) == "north|2026-03-10"
        assert request.run_key == f"north|2026-03-10 continues {waiting.run_id}"
        (again,) = sense(repository, instance, "waiting_pulls").run_requests
        assert again.run_key == request.run_key

    def test_the_schedule_leaves_it_to_the_sensor(self, repository, instance):
        assert keys(tick(repository, instance).run_requests) == ["south|2026-03-10"]

    def test_the_schedule_starts_it_if_the_sensor_does_not(self, repository, instance, at, set_clock):
        set_clock(at + timedelta(seconds=301))
        assert keys(tick(repository, instance).run_requests) == ["north|2026-03-10", "south|2026-03-10"]

    def test_the_requested_run_may_wait_again(self, repository, instance, execute, data, set_clock):
        (request,) = sense(repository, instance, "waiting_pulls").run_requests
        second = execute(request)
        assert CONTINUES_AT_TAG in second.tags
        at = find_pull(data).at
        set_clock(at - timedelta(seconds=1))
        assert sense(repository, instance, "waiting_pulls").run_requests == []
        set_clock(at + timedelta(seconds=1))
        (request,) = sense(repository, instance, "waiting_pulls").run_requests
        assert request.run_key == f"north|2026-03-10 continues {second.run_id}"

    def test_the_sensor_skips_it_while_a_newer_run_is_active(self, settings, repository, instance):
        tags = {"dagster/partition/account": "north", "dagster/partition/date": "2026-03-10"}
        job = build_defs(settings).resolve_job_def("daily_snapshot")
        instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
        assert sense(repository, instance, "waiting_pulls").run_requests == []

    def test_the_sensor_skips_it_while_a_command_waits_for_it(self, repository, instance, waiting):
        with run_lock(instance, waiting.run_id):
            assert sense(repository, instance, "waiting_pulls").run_requests == []
        assert len(sense(repository, instance, "waiting_pulls").run_requests) == 1

    def test_the_sensor_skips_a_removed_account(self, repository, instance, registry):
        registry.remove("north", last_day=DAY)
        assert sense(repository, instance, "waiting_pulls").run_requests == []

    def test_the_sensor_needs_neither_the_partition_nor_the_run_that_ended(self, repository, instance, waiting):
        instance.delete_run(waiting.run_id)
        instance.delete_dynamic_partition("account", "north")
        assert keys(sense(repository, instance, "waiting_pulls").run_requests) == ["north|2026-03-10"]

    def test_the_sensor_skips_a_closed_day(self, settings, instance):
        late = {"frozen_now": datetime(2026, 3, 12, 2, tzinfo=UTC)}
        repository = build_defs(settings.model_copy(update=late)).get_repository_def()
        assert sense(repository, instance, "waiting_pulls").run_requests == []


def test_the_sensor_is_on_by_default(repository):
    assert repository.get_sensor_def("waiting_pulls").default_status is dg.DefaultSensorStatus.RUNNING


def test_the_continued_run_pulls_the_tables_of_the_run_that_ended(
    settings, instance, registry, sandbox, data, set_clock
):
    sandbox.fault(Status(status=429, retry_after=3000, account="north", remote=True))
    defs = build_defs(settings)
    runs = run_partitions(defs, instance, [NORTH], ["learners"], allow_drop=True)
    assert next(runs).continues_at is not None
    runs.close()
    set_clock(find_pull(data).at + timedelta(seconds=1))
    (request,) = sense(defs.get_repository_def(), instance, "waiting_pulls").run_requests
    assert [key.to_user_string() for key in request.asset_selection] == ["learners"]
    assert request.run_config["ops"] == {"pull": {"config": {"allow_drop": True}}}


def test_a_wait_beyond_the_end_of_the_day_fails_at_once(execute, sandbox, data, instance):
    sandbox.fault(Status(status=429, retry_after=80_000, account="north", remote=True))
    run = execute(select=dg.AssetKey("unified_enrollments"))
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert (
        "The LMS of account north allows the next call in 22.2 hours, after 2026-03-10 closes at 2026-03-12 00:00 UTC: find "
        "out who uses up the calls of this LMS; its next day is pulled as usual."
    ) in find_messages(instance, run)
    assert find_waiting(data) == []


def test_an_hourly_limit_gives_the_place_back_too(settings, tmp_path, instance, registry, data):
    options = tmp_path / "accounts.toml"
    options.write_text("[accounts.north]\ncalls_per_hour = 2\n", encoding="utf-8")
    limited = settings.model_copy(update={"accounts_file": options})
    runs = run_partitions(build_defs(limited), instance, [NORTH], ["unified_enrollments"])
    assert next(runs).continues_at is not None
    runs.close()
    assert find_pull(data).subject == "The hourly limit of account north (2 calls, calls_per_hour)"
    assert timedelta(minutes=59) < find_pull(data).at - datetime.now(UTC) <= timedelta(hours=1)


def test_a_command_goes_on_with_the_others_and_then_continues(settings, instance, registry, sandbox, monkeypatch):
    sandbox.fault(BUSY)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        sandbox.clear_faults()

    monkeypatch.setattr("lms_pipeline.defs.instance.sleep", sleep)
    outcomes = list(run_partitions(build_defs(settings), instance, [NORTH, SOUTH], ["unified_enrollments"]))
    assert [(one.subject, one.continues_at is None, one.error, one.enrollments) for one in outcomes] == [
        ("north on 2026-03-10", False, None, None),
        ("south on 2026-03-10", True, None, 1),
        ("north on 2026-03-10", True, None, 3),
    ]
    (seconds,) = slept
    assert 2800 < seconds <= 3000


def test_a_wait_whose_note_is_lost_is_requested_again(waiting, instance, data):
    take_waiting(data, NORTH)
    assert find_failed_days(instance, data, ["north"], DAY).pulls == {NORTH: f"after {waiting.run_id}"}
