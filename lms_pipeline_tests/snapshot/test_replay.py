"""Replays: a snapshot built again from its stored responses, without a call."""

from __future__ import annotations

import itertools
import shutil
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.extract.budget import BudgetSpentError, Limits
from lms_pipeline.extract.checkpoint import Attempt
from lms_pipeline.housekeeping.wrong_snapshots import remove_snapshot
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import Partition
from lms_pipeline.sandbox import RunningSandbox, running
from lms_pipeline.snapshot.job import TABLES, SnapshotJob
from lms_pipeline.snapshot.run import replay_snapshot
from lms_pipeline.truto.store import NotKeptError
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.portal import FIRST, PORTAL, Portal
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner

OPTIONS = AccountOptions(strategy="roster", page_size=5)
LIMITED = Limits(per_snapshot=40)


@pytest.fixture(scope="module")
def portal():
    with running(Portal(learners=20, courses=4, each=2, every=10)) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def three_days(tmp_path_factory, portal) -> Path:
    """Snapshots of three days: two with the limit `LIMITED`, which the first exceeds, and one without a limit."""
    runner = SnapshotRunner(tmp_path_factory.mktemp("three"), portal.url, portal.token)
    for number, limits in enumerate([LIMITED, LIMITED, None]):
        run_day(runner, portal, number, limits=limits)
    return runner.root


@pytest.fixture
def runner(tmp_path, three_days, portal) -> SnapshotRunner:
    shutil.copytree(three_days, tmp_path, dirs_exist_ok=True)
    portal.clear_counts()
    return SnapshotRunner(tmp_path, portal.url, portal.token)


def run_day(runner: SnapshotRunner, portal: RunningSandbox, number: int, **more) -> None:
    day = FIRST + timedelta(days=number)
    portal.set_clock(datetime.combine(day, time.max, UTC))
    now = datetime.combine(day + timedelta(days=1), time(1), UTC)
    arguments: dict[str, Any] = {"options": OPTIONS, "now": now} | more
    runner.run(account_id=PORTAL, day=day, identity="pair", **arguments)


def build_job(number: int, **more) -> SnapshotJob:
    day = FIRST + timedelta(days=number)
    return SnapshotJob(PORTAL, day, "again", "pair", more.pop("options", OPTIONS), **more)


def read_all_metadata(runner, number: int) -> dict[str, dict[str, str]]:
    day = FIRST + timedelta(days=number)
    return {name: read_metadata(runner.file(name, day, PORTAL)) for name in TABLES}


def list_pull_times(runner, number: int) -> set[datetime]:
    return {datetime.fromisoformat(one["pulled_at"]) for one in read_all_metadata(runner, number).values()}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_publishes_the_same_snapshot_without_a_call(runner, portal, number):
    before = read_all_metadata(runner, number)
    result = replay_snapshot(build_job(number), data=runner.data)
    after = read_all_metadata(runner, number)
    assert portal.stats()["total"] == 0
    assert len(result.published) == 5
    for name in TABLES:
        assert after[name]["digest"] == before[name]["digest"]
        assert after[name]["run_id"] == "again"
        assert after[name]["requests"] == before["unified_enrollments"]["requests"]
    assert after["unified_enrollments"]["pulled_at"] == before["unified_enrollments"]["pulled_at"]


LATER = datetime.combine(FIRST + timedelta(days=4), time(10), UTC)


@pytest.fixture(scope="module")
def continued_data(tmp_path_factory: pytest.TempPathFactory, three_days: Path, portal: RunningSandbox) -> Path:
    """The data directory after a pull of day 3 that stopped, and continued at `LATER`: for copies."""
    root: Path = tmp_path_factory.mktemp("continued")
    shutil.copytree(three_days, root, dirs_exist_ok=True)
    runner = SnapshotRunner(root, portal.url, portal.token)
    with pytest.raises(BudgetSpentError):
        run_day(runner, portal, 3, limits=Limits(per_snapshot=5))
    run_day(runner, portal, 3, now=LATER)
    return root


@pytest.fixture
def continued(tmp_path, continued_data, portal) -> SnapshotRunner:
    shutil.copytree(continued_data, tmp_path, dirs_exist_ok=True)
    return SnapshotRunner(tmp_path, portal.url, portal.token)


def test_of_a_pull_that_continued_writes_the_time_of_its_last_run(continued):
    assert list_pull_times(continued, 3) == {LATER}
    replay_snapshot(build_job(3), data=continued.data)
    assert list_pull_times(continued, 3) == {LATER}


def test_writes_the_time_of_a_pull_whose_clock_goes_on(runner, portal):
    seconds = itertools.count()
    began = datetime.combine(FIRST + timedelta(days=4), time(1), UTC)
    run_day(runner, portal, 3, clock=lambda: began + timedelta(seconds=next(seconds)))
    [before] = list_pull_times(runner, 3)
    for _ in range(2):
        replay_snapshot(build_job(3), data=runner.data)
    assert list_pull_times(runner, 3) == {before}


@pytest.mark.parametrize("damaged", [["unified_enrollments"], ["unified_enrollments", "raw_enrollments"]])
def test_of_damaged_files_writes_the_time_that_the_others_have(continued, damaged):
    for table in damaged:
        continued.file(table, FIRST + timedelta(days=3), PORTAL).write_bytes(b"damaged")
    replay_snapshot(build_job(3), data=continued.data)
    assert list_pull_times(continued, 3) == {LATER}


def test_of_several_days_in_a_row_publishes_the_same_snapshots(runner):
    days = choose((1, 2), (0, 1, 2))
    before = [read_all_metadata(runner, number)["unified_enrollments"]["digest"] for number in days]
    for number in days:
        replay_snapshot(build_job(number), data=runner.data)
    assert [read_all_metadata(runner, number)["unified_enrollments"]["digest"] for number in days] == before


def test_of_a_day_without_stored_responses_is_refused_and_the_snapshot_stays(runner):
    before = read_all_metadata(runner, 1)
    runner.data.checkpoint_path(Partition(PORTAL, FIRST + timedelta(days=1))).unlink()
    with pytest.raises(NotKeptError, match=r"^No responses of portal on 2026-03-02 are stored"):
        replay_snapshot(build_job(1), data=runner.data)
    assert read_all_metadata(runner, 1) == before


def test_without_the_previous_roster_entries_is_refused_when_the_snapshot_carries_rows_over(runner):
    before = read_all_metadata(runner, 2)
    runner.data.fingerprints_path(Partition(PORTAL, FIRST + timedelta(days=1))).unlink()
    with pytest.raises(
        NotKeptError, match=r"^The snapshot of portal on 2026-03-03 carried rows over from the previous one"
    ):
        replay_snapshot(build_job(2), data=runner.data)
    assert read_all_metadata(runner, 2) == before


def test_without_the_day_that_rows_were_carried_over_from_is_refused_although_there_is_an_earlier_one(runner):
    before = read_all_metadata(runner, 2)
    remove_snapshot(runner.data, Partition(PORTAL, FIRST + timedelta(days=1)))
    with pytest.raises(
        NotKeptError, match=r"^The snapshot of portal on 2026-03-03 carried rows over from the previous one"
    ):
        replay_snapshot(build_job(2), data=runner.data)
    assert read_all_metadata(runner, 2) == before


@pytest.mark.parametrize("rotation_days", choose([0, 1], [0, 1, 2]))
def test_uses_the_replay_context_and_not_the_present_options(runner, rotation_days):
    before = read_all_metadata(runner, 2)
    options = AccountOptions(strategy="roster", page_size=5, rotation_days=rotation_days)
    result = replay_snapshot(build_job(2, options=options, may_carry=False), data=runner.data)
    assert result.rows.carried > 0
    assert read_all_metadata(runner, 2)["unified_enrollments"]["digest"] == before["unified_enrollments"]["digest"]


def test_is_possible_when_the_process_dies_right_after_the_publish(runner, portal, monkeypatch):
    monkeypatch.setattr(Attempt, "finish", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_day(runner, portal, 3)
    monkeypatch.undo()
    before = read_all_metadata(runner, 3)
    replay_snapshot(build_job(3), data=runner.data)
    assert read_all_metadata(runner, 3)["unified_enrollments"]["digest"] == before["unified_enrollments"]["digest"]


def interrupt(_attempt: Attempt) -> None:
    raise KeyboardInterrupt


def test_is_still_possible_after_a_run_of_one_list_only(runner, portal):
    run_day(runner, portal, 2, tables=["learners"])
    assert len(replay_snapshot(build_job(2), data=runner.data).published) == 5


def test_with_other_options_is_refused(runner):
    with pytest.raises(NotKeptError, match="restore them"):
        replay_snapshot(build_job(1, options=AccountOptions(strategy="roster", page_size=6)), data=runner.data)


OTHERS = [name for name in TABLES if name != "unified_enrollments"]


@pytest.mark.parametrize(
    "tables", [["unified_enrollments"], *choose([OTHERS], [[name] for name in OTHERS])], ids=" ".join
)
def test_damaged_files_are_made_again(runner, tables):
    paths = [runner.file(table, FIRST + timedelta(days=2), PORTAL) for table in tables]
    digests = [read_metadata(path)["digest"] for path in paths]
    for path in paths:
        path.write_bytes(path.read_bytes()[:-20])
    replay_snapshot(build_job(2), data=runner.data)
    assert [read_metadata(path)["digest"] for path in paths] == digests
