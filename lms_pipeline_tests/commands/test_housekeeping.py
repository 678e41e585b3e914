"""`lms-pipeline housekeeping`, and what `ui` reports after the run log was lost."""

from datetime import timedelta
from threading import Event

import dagster as dg
import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.defs.event_log_sync import sync_in_background, sync_missing_events
from lms_pipeline.errors import LakeError
from lms_pipeline.housekeeping import wrong_snapshots
from lms_pipeline.housekeeping.wrong_snapshots import remove_snapshot
from lms_pipeline.lake.index_sync import noting_changes
from lms_pipeline.lake.lock import partition_lock
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.reading import read
from lms_pipeline.lake.roll_up import roll_up_day
from lms_pipeline.storage.damaged_files import remove_path
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION
from lms_pipeline.tables.pulled import LEARNERS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.support.data_directory import age, put_responses
from lms_pipeline_tests.support.lake_files import enrollment, publish

ASSET = dg.AssetKey("unified_enrollments")
LONG_AGO = DAY - timedelta(days=100)


@pytest.fixture
def data(tmp_path):
    data = DataDir(tmp_path / "data")
    put_responses(data, "acme", LONG_AGO, DAY)
    publish(data, "acme", DAY, enrollment("u1"))
    return data


def test_a_dry_run_lists_each_file_and_removes_none(command, data):
    done = command("housekeeping", "--dry-run")
    assert done.status == 0
    assert done.out.splitlines() == [
        f"answers: {data.checkpoint_path(Partition('acme', LONG_AGO))} (100 B)",
        f"details: {data.fingerprints_path(Partition('acme', LONG_AGO))} (10 B)",
        "Would remove 1 answer (100 B), 1 detail (10 B).",
        "Would report 1 published file to Dagster.",
    ]
    assert data.checkpoint_path(Partition("acme", LONG_AGO)).exists()
    assert command("housekeeping", "--dry-run").out == done.out


def test_the_command_removes_what_the_dry_run_listed(command, data):
    done = command("housekeeping")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "Removed 1 answer (100 B), 1 detail (10 B).",
        "Reported 1 published file to Dagster.",
    ]
    assert command("housekeeping").out.splitlines() == ["Removed nothing.", "Reported 0 published files to Dagster."]


def test_a_locked_item_is_reported_and_the_exit_status_is_1(command, data):
    locked = Partition("acme", LONG_AGO)
    with partition_lock(data, locked) as lock:
        age(lock.scratch.parent, 3)
        done = command("housekeeping")
    assert done.status == 1
    assert done.err.startswith(
        f"{data.pull_folder(locked)} stays until the next housekeeping: acme on 2025-11-30 is being pulled"
    )
    assert done.out.splitlines()[0] == "Removed 1 answer (100 B), 1 detail (10 B)."


def test_expired_files_are_removed_if_dagsters_log_can_not_be_opened(command, data, monkeypatch):
    def open_instance(_settings):
        raise LakeError("The disk is full.")

    monkeypatch.setattr("lms_pipeline.defs.instance.open_instance", open_instance)
    done = command("housekeeping")
    assert (done.status, done.err) == (1, "Error: The disk is full.\n")
    assert done.out == "Removed 1 answer (100 B), 1 detail (10 B).\n"
    assert not data.checkpoint_path(Partition("acme", LONG_AGO)).exists()


def read_portfolio(data):
    rows = read("portfolio_completion", data_dir=data.root).to_pylist()
    return {row["snapshot_date"]: (row["n_all"], row["accounts"]) for row in rows}


class TestRemove:
    """`--remove ACCOUNT DATE`."""

    def test_removes_every_file_of_the_day_and_no_other(self, command, data):
        publish(data, "acme", LONG_AGO, enrollment("u1"))
        publish(data, "acme", DAY, {"user_id": "u1"}, table=LEARNERS)
        others = sorted(path for path in data.root.rglob("*snapshot_date=" + LONG_AGO.isoformat() + "*"))
        done = command("housekeeping", "--remove", "acme", DAY.isoformat())
        assert (done.status, done.err) == (0, "")
        assert done.out.splitlines()[0] == (
            f"Removed 4 files of acme on {DAY}. Dagster's event log still shows the runs that wrote them."
        )
        assert list(data.root.rglob(f"*snapshot_date={DAY}*")) == []
        assert all(path.exists() for path in others)

    def test_the_warehouse_shows_it_no_more(self, command, data):
        command("materialize", "--select", "warehouse")
        assert "u1" in command("query", "SELECT user_id FROM unified_enrollments").out
        command("housekeeping", "--remove", "acme", DAY.isoformat())
        assert "u1" not in command("query", "SELECT user_id FROM unified_enrollments").out

    def test_the_portfolio_of_the_day_is_computed_again(self, command, data):
        for account, day in (("acme", LONG_AGO), ("acme", DAY), ("beta", DAY)):
            publish(data, account, day, {"n_all": 3}, table=ACCOUNT_COMPLETION)
        command("materialize", "--select", "warehouse")
        assert read_portfolio(data) == {LONG_AGO: (3, 1), DAY: (6, 2)}
        command("housekeeping", "--remove", "acme", DAY.isoformat())
        assert read_portfolio(data) == {LONG_AGO: (3, 1), DAY: (3, 1)}
        command("housekeeping", "--remove", "acme", LONG_AGO.isoformat())
        assert read_portfolio(data) == {DAY: (3, 1)}
        assert "2025-11-30" not in command("query", "SELECT snapshot_date FROM portfolio_completion").out

    def test_a_dry_run_lists_the_files(self, command, data):
        done = command("housekeeping", "--dry-run", "--remove", "acme", DAY.isoformat())
        assert (done.status, len(done.out.splitlines())) == (0, 3)
        assert data.file(UNIFIED_ENROLLMENTS, Partition("acme", DAY)).exists()

    def test_a_day_that_is_being_pulled_stays(self, command, data):
        with partition_lock(data, Partition("acme", DAY)):
            done = command("housekeeping", "--remove", "acme", DAY.isoformat())
        assert (done.status, done.out) == (1, "")
        assert f"acme on {DAY} is being pulled by another run" in done.err
        assert data.file(UNIFIED_ENROLLMENTS, Partition("acme", DAY)).exists()

    @pytest.mark.parametrize(
        ("account", "day", "problem"),
        [
            ("acme", "2025-01-01", "Nothing of acme on 2025-01-01 is stored"),
            ("nobody", "2025-01-01", "Nothing of nobody on 2025-01-01 is stored"),
            ("../acme", "2025-01-01", "can't be an account id"),
            ("acme", "yesterday", "is not a day: write it as 2026-01-31."),
        ],
    )
    def test_wrong_use_removes_nothing(self, command, data, account, day, problem):
        before = sorted(data.lake.rglob("*"))
        done = command("housekeeping", "--remove", account, day)
        assert done.status == 2
        assert problem in done.err
        assert sorted(data.lake.rglob("*")) == before


class TestUi:
    """The report of missing events that runs while the UI starts, without the UI."""

    def test_restores_a_lost_run_log_and_says_what_else_was_lost(self, new_instance, data):
        lines: list[str] = []
        sync_missing_events(new_instance, data, Event(), lines.append, min_cohort=1)
        assert new_instance.get_materialized_partitions(ASSET) == {"acme|2026-03-10"}
        assert lines == [
            "Reported 1 published file that Dagster's event log lacked.",
            "The event log is new: turn your schedules and sensors on again.",
        ]

    def test_shows_nothing_if_no_event_is_missing(self, new_instance, data):
        sync_missing_events(new_instance, data, Event(), lambda _: None, min_cohort=1)
        lines: list[str] = []
        sync_missing_events(new_instance, data, Event(), lines.append, min_cohort=1)
        assert lines == []

    def test_stops_with_the_ui(self, new_instance, data):
        stopped = Event()
        stopped.set()
        sync_missing_events(new_instance, data, stopped, lambda _: None, min_cohort=1)
        assert new_instance.get_materialized_partitions(ASSET) == set()

    def test_does_not_keep_the_ui_from_ending(self, new_instance, data):
        with pytest.raises(KeyboardInterrupt), sync_in_background(new_instance, data, lambda _: None, min_cohort=1):
            raise KeyboardInterrupt

    def test_an_error_of_the_sync_is_shown_and_does_not_end_the_block(self, data, new_instance):
        damaged = data.registry
        shown: list[str] = []
        damaged.parent.mkdir(parents=True, exist_ok=True)
        damaged.write_text("no registry", encoding="utf-8")
        with sync_in_background(new_instance, data, shown.append, min_cohort=1):
            pass
        [line] = shown
        assert line.startswith(
            f"Published files that Dagster's event log lacks are not reported: The registry {damaged} is damaged"
        )


def test_the_registry_of_a_database_is_copied(command, data, monkeypatch):
    """Housekeeping makes the only copy of a registry that is in a database."""
    copied: list[bool] = []
    monkeypatch.setattr(Registry, "store_copy", lambda _registry: copied.append(True))
    command("housekeeping", "--dry-run")
    assert copied == []
    command("housekeeping")
    assert len(copied) == 1


class TestIndex:
    def test_is_built_again_and_nothing_else_is_done(self, command, data):
        remove_path(data.index)
        done = command("housekeeping", "--rebuild-index")
        assert (done.status, done.out) == (0, "Built the index of 1 account-day from the lake.\n")
        assert data.checkpoint_path(Partition("acme", LONG_AGO)).exists()

    @pytest.mark.parametrize("other", [["--dry-run"], ["--remove", "acme", str(DAY)]])
    def test_with_another_option_is_wrong_use(self, command, data, other):
        done = command("housekeeping", "--rebuild-index", *other)
        assert done.status == 2
        assert "can't be combined with --rebuild-index" in done.err
        assert data.file(UNIFIED_ENROLLMENTS, Partition("acme", DAY)).exists()


def test_a_dry_run_lists_the_roll_ups_that_go_with_a_snapshot(command, data):
    roll_up_day(data, DAY)
    roll_up = data.roll_up(UNIFIED_ENROLLMENTS, DAY)
    done = command("housekeeping", "--dry-run", "--remove", "acme", str(DAY))
    assert done.out.splitlines()[-1] == f"Would remove {roll_up}, until the next build of the warehouse"
    assert roll_up.exists()


def test_the_roll_ups_of_a_removed_snapshot_go_with_it(command, data):
    roll_up_day(data, DAY)
    assert data.roll_up(UNIFIED_ENROLLMENTS, DAY).exists()
    assert command("housekeeping", "--remove", "acme", str(DAY)).status == 0
    assert not data.roll_up(UNIFIED_ENROLLMENTS, DAY).exists()


def test_the_roll_ups_go_before_the_files_of_the_snapshot(data, monkeypatch):
    roll_up_day(data, DAY)

    def fail(*_):
        raise LakeError("The disk is full.")

    monkeypatch.setattr(wrong_snapshots, "noting_changes", fail)
    with pytest.raises(LakeError):
        remove_snapshot(data, Partition("acme", DAY))
    assert not data.roll_up(UNIFIED_ENROLLMENTS, DAY).exists()


def test_roll_ups_that_a_build_writes_during_the_removal_go_too(data, monkeypatch):
    roll_up_day(data, DAY)

    def roll_up_and_note(*arguments):
        roll_up_day(data, DAY)
        return noting_changes(*arguments)

    monkeypatch.setattr(wrong_snapshots, "noting_changes", roll_up_and_note)
    remove_snapshot(data, Partition("acme", DAY))
    assert not data.roll_up(UNIFIED_ENROLLMENTS, DAY).exists()
