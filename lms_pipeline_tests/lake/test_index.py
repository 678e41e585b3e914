"""The index of what is published: it has what the lake has, whoever changed it, and whatever happens to its file."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta

import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.lake import index_sync, publishing, stored_footers
from lms_pipeline.lake.index_file import IndexFile
from lms_pipeline.lake.index_sync import begin_changes, read_index, rebuild_index
from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.lake.scan import scan_lake
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import SCHEMA_VERSION
from lms_pipeline_tests.support.lake_files import (
    FIRST,
    PROVENANCE,
    SECOND,
    THIRD,
    batch,
    enrollment,
    publish,
    publish_all_accounts,
)

TABLES_OF_VERSION_1 = """
CREATE TABLE published (
    day TEXT NOT NULL, account TEXT NOT NULL, revision INTEGER NOT NULL, tables INTEGER NOT NULL, signatures BLOB NOT NULL,
    run_id TEXT, digest TEXT, row_count INTEGER, byte_count INTEGER NOT NULL, is_complete INTEGER, strategy TEXT,
    schema_version INTEGER, published_at TEXT, PRIMARY KEY (day, account)
) WITHOUT ROWID;
CREATE INDEX published_by_account ON published (account, day, tables);
CREATE INDEX published_by_revision ON published (revision);
CREATE INDEX published_by_schema ON published (schema_version, day);
CREATE TABLE days (day TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE pending (
    account TEXT NOT NULL, day TEXT NOT NULL, owner TEXT NOT NULL, began_at TEXT NOT NULL, PRIMARY KEY (account, day, owner)
) WITHOUT ROWID;
CREATE TABLE roll_ups (
    table_name TEXT NOT NULL, day TEXT NOT NULL, revision INTEGER NOT NULL, signature BLOB NOT NULL,
    schema_version INTEGER NOT NULL, left_out INTEGER NOT NULL, PRIMARY KEY (table_name, day)
) WITHOUT ROWID;
CREATE TABLE marks (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE state (only INTEGER PRIMARY KEY CHECK (only = 1), epoch TEXT NOT NULL, revision INTEGER NOT NULL);
INSERT INTO state VALUES (1, 'first', 7);
INSERT INTO pending VALUES ('acme', '2026-03-01', 'a run', '2100-01-01T00:00:00+00:00');
PRAGMA user_version = 1;
"""

ACME, BETA = Partition("acme", FIRST), Partition("beta", FIRST)


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


@pytest.fixture
def large(data, monkeypatch):
    """A lake with more account-days than a comparison looks at: two accounts with two days each."""
    monkeypatch.setattr(index_sync, "COMPARED_DAYS", 1)
    for account in ("acme", "beta"):
        for day in (FIRST, SECOND):
            publish(data, account, day, enrollment("u1"))
    find(data)
    return data


def find(data, *, is_compared=True):
    """Return the signatures in the index by folder, after it has followed the lake."""
    days = read_index(data, lambda index: index.find(), is_compared=is_compared)
    return {day.partition.folder.as_posix(): day.signatures for day in days}


def scan(data):
    """Return the same from the folders of the lake."""
    found = {folder: bytes(files.signatures) for folder, files in scan_lake(data).items()}
    return {folder: signatures for folder, signatures in found.items() if any(signatures)}


def get(data, partition):
    account_id = partition.account_id if isinstance(partition, Partition) else ""
    [day] = read_index(data, lambda index: index.find(account_id=account_id, day=partition.day))
    return day


def read_revision(data):
    return read_index(data, lambda index: index.read_state().revision)


def remove_index(data):
    for path in data.state.glob("index.sqlite*"):
        path.unlink()


class TestPublications:
    def test_are_in_the_index_when_they_end(self, data):
        find(data)
        publish(data, "acme", FIRST, enrollment("u1"))
        publish(data, "acme", FIRST, {"n_all": 1}, table=ACCOUNT_COMPLETION)
        publish_all_accounts(data, FIRST, {"n_all": 1})
        found = find(data, is_compared=False)
        assert list(found) == ["snapshot_date=2026-03-01", "account_id=acme/snapshot_date=2026-03-01"]
        assert found == scan(data)

    def test_have_the_schema_version_of_their_enrollments(self, data):
        publish(data, "acme", FIRST, enrollment("u1"))
        publish_all_accounts(data, FIRST, {"n_all": 1})
        assert (get(data, ACME).schema_version, get(data, DayPartition(FIRST)).schema_version) == (SCHEMA_VERSION, None)

    def test_that_replace_a_file_get_a_later_revision(self, data):
        publish(data, "acme", FIRST, enrollment("u1"))
        publish(data, "beta", FIRST, enrollment("u1"))
        before = read_revision(data)
        publish(data, "acme", FIRST, enrollment("u2"))
        [changed] = read_index(data, lambda index: index.find(since=before))
        assert changed.partition == ACME
        assert read_index(data, lambda index: index.find_days(before)) == {FIRST: before + 1}

    def test_without_a_change_leave_the_revision(self, data):
        publish(data, "acme", FIRST, enrollment("u1"))
        before = read_revision(data)
        find(data)
        assert read_revision(data) == before

    def test_that_fail_leave_no_note(self, data):
        publish(data, "acme", FIRST, enrollment("u1"))
        with Publication(data, ACME, "run-2") as publication:
            publication.open(UNIFIED_ENROLLMENTS)
        assert read_index(data, lambda index: index.find_pending()) == []

    def test_need_no_index_to_have_worked_before(self, data):
        data.state.mkdir()
        data.index.write_bytes(b"no database")
        publish(data, "acme", FIRST, enrollment("u1"))
        assert find(data) == scan(data) != {}

    def test_are_not_begun_if_the_index_cannot_be_written(self, data, monkeypatch):
        def refuse(*_):
            raise LakeError("The disk is full.")

        monkeypatch.setattr(IndexFile, "begin", refuse)
        with pytest.raises(LakeError, match="disk is full"):
            publish(data, "acme", FIRST, enrollment("u1"))
        assert not data.file(UNIFIED_ENROLLMENTS, ACME).parent.exists()


class TestARunThatDies:
    """Its note in the index is found by the next reader, which looks at no other partition."""

    @pytest.mark.parametrize("is_first", [True, False], ids=["the first day", "a day that is replaced"])
    def test_after_publishing_hides_no_day(self, large, monkeypatch, is_first):
        partition = Partition("acme", THIRD) if is_first else ACME
        monkeypatch.setattr(publishing, "finish_changes", lambda *_: None)  # as if it died before
        publish(large, "acme", partition.day, enrollment("u9"))
        assert find(large, is_compared=False) == scan(large)

    def test_before_publishing_leaves_the_old_day(self, large):
        publication = Publication(large, ACME, "run-2")
        with publication.open(UNIFIED_ENROLLMENTS) as file:
            file.write(batch(UNIFIED_ENROLLMENTS, enrollment("u7")))
            file.close(PROVENANCE)
        before = find(large)
        assert before == scan(large)
        assert {one.partition for one in read_index(large, lambda index: index.find_pending())} == {ACME}

    def test_by_a_kill_at_any_instant_hides_no_day(self, tmp_path):
        code = """
import sys
from pathlib import Path
from lms_pipeline.lake.paths import DataDir
from lms_pipeline_tests.support.lake_files import FIRST, enrollment, publish
print("ready", flush=True)
for number in range(10_000):
    publish(DataDir(Path(sys.argv[1])), f"a{number % 7}", FIRST, enrollment(f"u{number}"))
    print(number, flush=True)
"""
        for published in (1, 8):
            with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                for _ in range(published + 1):
                    process.stdout.readline()
                process.kill()
            data = DataDir(tmp_path)
            assert find(data, is_compared=False) == scan(data) != {}


class TestChangesByHand:
    """In a lake of which a comparison looks at the files of one account only."""

    def test_an_account_that_was_copied_in_is_found(self, large, tmp_path):
        other = DataDir(tmp_path / "other")
        publish(other, "gamma", FIRST, enrollment("u1"))
        publish(other, "gamma", FIRST, {}, table=RAW_ENROLLMENTS)
        shutil.copytree(other.lake, large.lake, dirs_exist_ok=True)
        assert find(large) == scan(large)

    def test_a_day_that_was_copied_in_is_found(self, large, tmp_path):
        other = DataDir(tmp_path / "other")
        for account in ("acme", "beta"):
            publish(other, account, THIRD, enrollment("u1"))
        shutil.copytree(other.lake, large.lake, dirs_exist_ok=True)
        assert find(large) == scan(large)

    def test_a_day_that_was_removed_is_found(self, large):
        for account in ("acme", "beta"):
            shutil.rmtree(large.file(UNIFIED_ENROLLMENTS, Partition(account, FIRST)).parent)
        assert find(large) == scan(large)
        assert len(find(large)) == 2

    def test_an_account_that_was_removed_is_found(self, large):
        for account in ("acme", "beta"):
            shutil.rmtree(large.lake / "unified_enrollments" / f"account_id={account}")
        assert find(large) == {}

    def test_a_file_that_was_replaced_is_found_when_its_account_has_its_turn(self, large):
        for account in ("acme", "beta"):
            path = large.file(UNIFIED_ENROLLMENTS, Partition(account, FIRST))
            shutil.copyfile(path, path.with_name("new"))
            path.with_name("new").replace(path)
        find(large)
        assert find(large) == scan(large)

    def test_in_a_small_lake_any_change_is_found_at_once(self, data):
        for account in ("acme", "beta"):
            publish(data, account, FIRST, enrollment("u1"))
            publish(data, account, FIRST, {"n_all": 1}, table=ACCOUNT_COMPLETION)
        find(data)
        data.file(ACCOUNT_COMPLETION, BETA).unlink()
        os.utime(data.file(UNIFIED_ENROLLMENTS, ACME))
        assert find(data) == scan(data)

    def test_a_removed_day_of_all_accounts_is_found(self, large):
        publish_all_accounts(large, FIRST, {"n_all": 1})
        large.file(PORTFOLIO_COMPLETION, DayPartition(FIRST)).unlink()
        assert find(large) == scan(large)


class TestTheFile:
    def test_is_built_from_a_lake_of_an_earlier_version(self, data):
        publish(data, "acme", FIRST, enrollment("u1"))
        publish_all_accounts(data, FIRST, {"n_all": 1})
        remove_index(data)
        assert find(data, is_compared=False) == scan(data) != {}

    @pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(200)])
    def test_is_built_again_if_it_is_damaged(self, data, content):
        publish(data, "acme", FIRST, enrollment("u1"))
        remove_index(data)
        data.index.write_bytes(content)
        assert find(data) == scan(data) != {}

    @pytest.mark.parametrize(
        "table", ["published", "published_days", "pending_publications", "index_marks", "index_state"]
    )
    def test_is_built_again_without_one_of_its_tables(self, data, table):
        publish(data, "acme", FIRST, enrollment("u1"))
        with closing(sqlite3.connect(data.index)) as file:
            file.execute(f"DROP TABLE {table}")
        assert find(data) == scan(data) != {}

    def test_of_a_later_version_is_set_aside(self, data):
        publish(data, "acme", FIRST, enrollment("u1"))
        with closing(sqlite3.connect(data.index)) as file:
            file.execute("PRAGMA user_version = 99")
        assert find(data) == scan(data) != {}
        assert data.index.with_name("index.sqlite.damaged").exists()

    def test_of_an_earlier_version_is_made_again_without_a_warning(self, data, caplog):
        publish(data, "acme", FIRST, enrollment("u1"))
        remove_index(data)
        with closing(sqlite3.connect(data.index)) as file:
            file.executescript(TABLES_OF_VERSION_1)
        assert find(data, is_compared=False) == scan(data) != {}
        assert [one.owner for one in read_index(data, lambda index: index.find_pending())] == ["a run"]
        assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []
        assert not data.index.with_name("index.sqlite.damaged").exists()

    def test_that_was_copied_with_the_lake_is_built_again(self, data, tmp_path):
        publish(data, "acme", FIRST, enrollment("u1"))
        find(data)
        copy = DataDir(tmp_path / "copy")
        shutil.copytree(data.lake, copy.lake)
        shutil.copytree(data.state, copy.state)
        assert find(copy, is_compared=False) == scan(copy)

    def test_is_built_again_by_the_command(self, data):
        for day in (FIRST, SECOND):
            publish(data, "acme", day, enrollment("u1"))
        epoch = read_index(data, lambda index: index.read_state().epoch)
        assert rebuild_index(data) == 2
        assert read_index(data, lambda index: index.read_state().epoch) != epoch
        assert find(data) == scan(data)

    def test_keeps_the_notes_of_runs_at_work_when_it_is_built_again(self, data):
        begin_changes(data, ACME, "a run")
        rebuild_index(data)
        assert [one.owner for one in read_index(data, lambda index: index.find_pending())] == ["a run"]

    def test_serves_processes_that_publish_at_once(self, tmp_path):
        code = """
import sys
from datetime import timedelta
from pathlib import Path
from lms_pipeline.lake.paths import DataDir
from lms_pipeline_tests.support.lake_files import FIRST, enrollment, publish
for number in range(8):
    publish(DataDir(Path(sys.argv[1])), sys.argv[2], FIRST + timedelta(days=number), enrollment("u1"))
"""
        processes = [
            subprocess.Popen([sys.executable, "-c", code, str(tmp_path), f"account-{number}"]) for number in range(4)
        ]
        assert [process.wait() for process in processes] == [0, 0, 0, 0]
        data = DataDir(tmp_path)
        assert len(find(data, is_compared=False)) == 32
        assert find(data) == scan(data)


class TestCost:
    """What a reader looks at, in counts: folders that are listed, and footers that are read."""

    @pytest.fixture
    def counts(self, monkeypatch):
        counts = {"folders": 0, "footers": 0}
        list_folder, read_metadata = os.scandir, stored_footers.read_stored_metadata

        def scandir(path):
            counts["folders"] += 1
            return list_folder(path)

        def read(store, key):
            counts["footers"] += 1
            return read_metadata(store, key)

        monkeypatch.setattr("lms_pipeline.lake.scan.os.scandir", scandir)
        monkeypatch.setattr(index_sync, "read_stored_metadata", read)
        return counts

    @staticmethod
    def publish_history(data, days):
        for account in ("acme", "beta"):
            for number in range(days):
                publish(data, account, FIRST + timedelta(days=number), enrollment("u1"))

    def count_after(self, data, counts, days, monkeypatch):
        """Return what a reader looks at after one more day of one account, with so many days before."""
        monkeypatch.setattr(index_sync, "COMPARED_DAYS", 1)
        self.publish_history(data, days)
        for _ in range(3):  # until the turn is again that of the first account
            find(data)
        publish(data, "acme", FIRST + timedelta(days=days), enrollment("u1"))
        counts.update(folders=0, footers=0)
        find(data)
        return dict(counts)

    def test_of_a_reader_without_a_comparison_is_none(self, data, counts):
        self.publish_history(data, 3)
        find(data)
        counts.update(folders=0, footers=0)
        find(data, is_compared=False)
        assert counts == {"folders": 0, "footers": 0}

    def test_of_a_comparison_opens_no_file_that_is_known(self, data, counts, monkeypatch):
        assert self.count_after(data, counts, 4, monkeypatch)["footers"] == 0

    def test_of_a_comparison_does_not_grow_with_the_days_of_other_accounts(self, data, counts, monkeypatch, tmp_path):
        few = self.count_after(data, counts, 2, monkeypatch)["folders"]
        many = self.count_after(DataDir(tmp_path / "many"), counts, 12, monkeypatch)["folders"]
        # the days of the one account whose turn it is, and not those of the other
        assert many - few == 10
