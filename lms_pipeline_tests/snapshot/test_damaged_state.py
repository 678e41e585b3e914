"""A damaged file that costs nothing to lose stops no pull: it is set aside with one warning, and begun again."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from contextlib import closing

import pytest

from lms_pipeline.extract.budget import BudgetSpentError, Limits
from lms_pipeline.extract.checkpoint_file import CheckpointError
from lms_pipeline.lake.paths import Partition
from lms_pipeline.snapshot.run import replay_snapshot
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.damages import DATABASE_DAMAGES, GARBAGE, TEXT_DAMAGES, put_folder
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.pair_account import PairAccount, build_expected_rows, read_stored_rows
from lms_pipeline_tests.support.parquet_damage import change_value
from lms_pipeline_tests.support.portal import PORTAL, Portal

BUDGET = 12
LISTS = ["learners", "courses"]
"""The tables of a pull whose enrollments are beside the point."""
FINGERPRINT_DAMAGES = choose(["empty", "cut short", "a folder"], list(TEXT_DAMAGES))
"""By default without those that are no Parquet file from their first byte on, as an empty one."""
COUNTER_DAMAGES = choose(["random bytes", "tables of another program", "a folder"], list(DATABASE_DAMAGES))


@pytest.fixture(scope="module")
def portal():
    """A small portal, since each test pulls it twice."""
    return Portal(learners=12, courses=4, each=2, every=3)


@pytest.fixture(scope="module")
def interrupted_data(tmp_path_factory, portal, serving):
    """The data directory of an account whose pull of day 0 stopped after some calls."""
    root = tmp_path_factory.mktemp("interrupted")
    with pytest.raises(BudgetSpentError):
        PairAccount(root, portal, serving).run_day(
            0, Limits(per_hour=10_000, per_snapshot=BUDGET), options={"when_spent": "fail"}
        )
    return root


@pytest.fixture
def interrupted(account, interrupted_data):
    """An account with a copy of that data."""
    shutil.copytree(interrupted_data, account.runner.root, dirs_exist_ok=True)
    return account


def find_checkpoint(account):
    return account.runner.data.checkpoint_path(Partition(PORTAL, account.date(0)))


def resume(account):
    account.run_day(0, Limits(per_hour=10_000))
    assert read_stored_rows(account, 0) == build_expected_rows(account.portal, 0)


def list_warnings(caplog, path):
    return [record.getMessage() for record in caplog.records if str(path) in record.getMessage()]


@pytest.mark.parametrize("damage", DATABASE_DAMAGES.values(), ids=DATABASE_DAMAGES)
def test_a_pull_with_a_damaged_checkpoint_fetches_again(interrupted, caplog, damage):
    path = find_checkpoint(interrupted)
    damage(path)
    resume(interrupted)
    [warning] = list_warnings(caplog, path)
    assert warning.startswith(f"{path} is damaged (")
    assert warning.endswith(f"): it is now {path}.damaged, and {PORTAL} on {interrupted.date(0)} is fetched again.")
    assert [one.name for one in path.parent.iterdir()].count(f"{path.name}.damaged") == 1


def test_an_empty_checkpoint_is_a_new_one(interrupted):
    find_checkpoint(interrupted).write_bytes(b"")
    resume(interrupted)


def test_a_checkpoint_with_another_user_version_is_continued(interrupted, caplog):
    with closing(sqlite3.connect(find_checkpoint(interrupted), isolation_level=None)) as database:
        database.execute("PRAGMA user_version = 99")
    resume(interrupted)
    assert list_warnings(caplog, find_checkpoint(interrupted)) == []


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
def test_a_journal_that_another_file_left_stops_no_pull(interrupted, suffix):
    path = find_checkpoint(interrupted)
    path.with_name(path.name + suffix).write_bytes(GARBAGE)
    resume(interrupted)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE answers SET body = x'00'", "UPDATE answers SET received_at = 'then'", "UPDATE answers SET size = 3"],
)
def test_a_stored_response_that_is_damaged_is_fetched_again(interrupted, statement):
    with closing(sqlite3.connect(find_checkpoint(interrupted), isolation_level=None)) as database:
        database.execute(statement)
    resume(interrupted)


def test_a_damaged_time_of_an_attempt_begins_a_new_one(interrupted, caplog):
    with closing(sqlite3.connect(find_checkpoint(interrupted), isolation_level=None)) as database:
        database.execute("UPDATE attempts SET last_at = 'then'")
    resume(interrupted)
    assert len(list_warnings(caplog, find_checkpoint(interrupted))) == 1


@pytest.mark.parametrize("damage", COUNTER_DAMAGES)
def test_a_pull_with_a_damaged_call_counter_counts_again(interrupted, caplog, damage):
    """A checkpoint is set aside in the same way: all damages are in its test."""
    path = interrupted.runner.data.budgets / f"hour-{PORTAL}.sqlite"
    DATABASE_DAMAGES[damage](path)
    resume(interrupted)
    [warning] = list_warnings(caplog, path)
    assert warning.endswith(f"): it is now {path}.damaged, and calls are counted again.")
    assert path.is_file()


def test_copies_do_not_pile_up_and_nobody_else_reads_them(interrupted):
    path = find_checkpoint(interrupted)
    mode = stat.S_IMODE(path.stat().st_mode)
    for damage in (put_folder, DATABASE_DAMAGES["random bytes"], DATABASE_DAMAGES["JSON"]):
        damage(path)
        path.chmod(mode if path.is_file() else 0o700)
        with pytest.raises(BudgetSpentError):
            interrupted.run_day(0, Limits(per_snapshot=BUDGET), options={"when_spent": "fail"})
    copy = path.with_name(f"{path.name}.damaged")
    assert [one for one in path.parent.iterdir() if "damaged" in one.name] == [copy]
    assert stat.S_IMODE(copy.stat().st_mode) == mode


@pytest.mark.usefixtures("pulled")
def test_a_damaged_checkpoint_of_a_published_day_is_one_sentence_for_a_replay_and_stays(account):
    path = find_checkpoint(account)
    path.write_bytes(GARBAGE)
    jobs = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lms_pipeline_tests.support.snapshot_runs.take_snapshot", lambda job, **_: jobs.append(job))
        account.run_day(0)
    with pytest.raises(CheckpointError, match="can't be stored or read: file is not a database"):
        replay_snapshot(jobs[0], data=account.runner.data)
    assert path.read_bytes() == GARBAGE


def test_the_retry_of_a_run_that_published_keeps_its_files_without_the_checkpoint(account, portal):
    account.run_day(0, run_id="first")
    find_checkpoint(account).write_bytes(GARBAGE)
    result = account.run_day(0, run_id="second", interrupted_runs=["first"])
    assert result.kept
    assert account.count_calls().total() == 0
    assert read_stored_rows(account, 0) == build_expected_rows(portal, 0)


@pytest.mark.usefixtures("pulled")
@pytest.mark.parametrize("damage", FINGERPRINT_DAMAGES)
def test_damaged_roster_fingerprints_carry_nothing_over(account, portal, caplog, damage):
    path = account.path("details", 0)
    TEXT_DAMAGES[damage](path)
    account.run_day(1)
    assert account.count_sources(1).keys() == {"unified"}
    assert read_stored_rows(account, 1) == build_expected_rows(portal, 1)
    [warning] = [message for message in caplog.messages if " is damaged" in message]
    assert warning.endswith(("nothing is carried over from that snapshot.", "Nothing is carried over from it today."))


@pytest.mark.usefixtures("pulled")
def test_roster_fingerprints_with_a_damaged_page_carry_nothing_over(account, portal):
    path = account.path("details", 0)
    content = bytearray(path.read_bytes())
    pages = len(content) - 12 - int.from_bytes(content[-8:-4], "little")
    content[4 : 4 + pages] = b"\xff" * pages
    path.write_bytes(content)
    account.run_day(1)
    assert account.count_sources(1).keys() == {"unified"}
    assert read_stored_rows(account, 1) == build_expected_rows(portal, 1)


@pytest.mark.usefixtures("pulled")
@pytest.mark.parametrize(
    ("table", "column"), [(UNIFIED_ENROLLMENTS, "user_id"), (RAW_ENROLLMENTS, "payload")], ids=["unified", "raw"]
)
def test_a_previous_snapshot_with_a_changed_value_carries_nothing_over(account, portal, table, column):
    change_value(account.runner.data.file(table, Partition(PORTAL, account.date(0))), column)
    account.run_day(1)
    assert account.count_sources(1).keys() == {"unified"}
    assert read_stored_rows(account, 1) == build_expected_rows(portal, 1)


@pytest.mark.parametrize("damage", TEXT_DAMAGES.values(), ids=TEXT_DAMAGES)
def test_the_damaged_folder_of_a_pull_stops_no_pull(account, damage):
    folder = account.runner.data.pull_folder(Partition(PORTAL, account.date(0)))
    folder.mkdir(parents=True)
    for name in ("lock", "waiting", "continues_later.json"):
        (folder / name).write_text('{"account_id": "x"}')
        damage(folder / name)
    account.run_day(0, tables=LISTS)
    assert account.runner.list_published_tables() == ["courses", "learners"]


@pytest.mark.parametrize("damage", TEXT_DAMAGES.values(), ids=TEXT_DAMAGES)
def test_a_damaged_mark_of_a_waiting_pull_is_named_once(account, caplog, damage):
    folder = account.runner.data.pull_folder(Partition(PORTAL, account.date(0)))
    folder.mkdir(parents=True)
    (folder / "continues_later.json").write_text('{"account_id": "x"}')
    damage(folder / "continues_later.json")
    account.run_day(0, tables=LISTS)
    account.run_day(0, tables=LISTS)
    assert len(list_warnings(caplog, folder / "continues_later.json")) == 1


@pytest.mark.usefixtures("pulled")
@pytest.mark.parametrize("damage", ["empty", "random bytes", "JSON of another type", "a folder"])
def test_a_damaged_time_zone_is_written_again(account, caplog, damage):
    path = account.runner.data.time_zone
    TEXT_DAMAGES[damage](path)
    account.run_day(1, tables=LISTS)
    account.run_day(2, tables=LISTS)
    assert path.read_text() == "UTC"
    assert len(list_warnings(caplog, path)) == 1
