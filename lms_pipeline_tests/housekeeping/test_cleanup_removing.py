"""Expired items are removed, and nothing else."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from lms_pipeline.housekeeping.cleanup import find_empty_folders, find_expired, find_old_responses, remove
from lms_pipeline.housekeeping.policy import ExpiredItem, RetentionPolicy, format_totals
from lms_pipeline.lake import publishing
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.lock import partition_lock
from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.lake.reading import read
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse
from lms_pipeline.storage.file_state import FileState
from lms_pipeline.storage.opening import open_local_storage
from lms_pipeline.tables.metrics import PORTFOLIO_COMPLETION
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket
from lms_pipeline_tests.support.data_directory import OLD, OLDER, RECENT, TODAY, age, describe, put, put_responses
from lms_pipeline_tests.support.lake_files import (
    PROVENANCE,
    enrollment,
    incompressible_text,
    limit_file_size,
    publish,
    publish_all_accounts,
    write,
)

POLICY = RetentionPolicy(today=TODAY, rejected_days=30)
PAYLOAD = '{"user": {"name": "Ann Example", "email": "ann@example.org"}}'


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


def list_files(data):
    """Return all files but those of the index, which follows the lake."""
    found = (path for path in data.root.rglob("*") if path.is_file() and not path.name.startswith("index"))
    return sorted(str(path.relative_to(data.root)) for path in found)


def test_all_expired_items_are_removed_and_the_second_time_none_is_left(data):
    put_responses(data, "acme", OLDER, RECENT)
    put(data.unpublished_file(UNIFIED_ENROLLMENTS, Partition("acme", OLD), "run-1"), days_ago=9)
    put(data.budgets / "hour-acme.sqlite", days_ago=31)
    expired = find_expired(data, POLICY)
    assert remove(data, expired) == expired
    assert find_expired(data, POLICY) == []
    assert list_files(data) == [
        "answers/account_id=acme/snapshot_date=2026-03-30.sqlite",
        "state/details/account_id=acme/snapshot_date=2026-03-30.parquet",
    ]


def test_responses_on_this_machine_are_removed_without_a_request(tmp_path):
    bucket = FolderBucket(tmp_path / "scratch", tmp_path / "bucket")
    data = open_in_bucket(tmp_path / "scratch", bucket)
    put_responses(data, "acme", OLD, RECENT)
    expired = list(find_old_responses(data, POLICY))
    bucket.requests.clear()
    removed = remove(data, expired)
    path = data.root / f"answers/account_id=acme/snapshot_date={OLD}.sqlite"
    assert [(item.kind, item.place) for item in removed] == [("answers", str(path))]
    assert not path.exists()
    assert bucket.requests == {}


def test_totals_are_counts_and_bytes_by_kind(data):
    put_responses(data, "acme", OLDER, OLD, RECENT)
    assert format_totals(remove(data, find_expired(data, POLICY))) == "2 answers (200 B), 2 details (20 B)"
    assert format_totals([]) == "nothing"


def test_an_item_that_has_disappeared_counts_as_removed(data):
    gone = ExpiredItem("answers", data.checkpoint_path(Partition("acme", OLD)), 100)
    assert remove(data, [gone]) == [gone]


def test_an_item_that_can_not_be_removed_is_reported_and_the_others_are_removed(data):
    (data.root / "file").write_text("")
    put_responses(data, "acme", OLD)
    other = ExpiredItem("answers", data.checkpoint_path(Partition("acme", OLD)), 100)
    warnings: list[str] = []
    removed = remove(data, [ExpiredItem("answers", data.root / "file" / "x", 1), other], warnings.append)
    assert removed == [other]
    assert len(warnings) == 1
    assert "file/x stays until the next housekeeping: " in warnings[0]


def test_old_responses_are_removed_for_one_account_only(data):
    put_responses(data, "acme", OLDER, OLD)
    put_responses(data, "other", OLD)
    put(data.unpublished_file(UNIFIED_ENROLLMENTS, Partition("acme", OLD), "run-1"), days_ago=9)
    removed = remove(data, find_old_responses(data, POLICY, ["acme"]))
    assert describe(data, removed) == [
        ("answers", "answers/account_id=acme/snapshot_date=2026-02-27.sqlite", 100),
        ("answers", "answers/account_id=acme/snapshot_date=2026-02-28.sqlite", 100),
        ("details", "state/details/account_id=acme/snapshot_date=2026-02-27.parquet", 10),
    ]
    assert list_files(data) == [
        "answers/account_id=other/snapshot_date=2026-02-28.sqlite",
        "lake/unified_enrollments/account_id=acme/snapshot_date=2026-02-28/.data.parquet.run-1",
        "state/details/account_id=acme/snapshot_date=2026-02-28.parquet",
        "state/details/account_id=other/snapshot_date=2026-02-28.parquet",
    ]


class TestFoldersOfPulls:
    @pytest.fixture
    def folder(self, data):
        folder = data.pull_folder(Partition("acme", OLD))
        put(folder / "waiting" / "rows.parquet")
        put(folder / "lock", 0)
        age(folder, 3)
        return folder

    def test_are_removed_whole(self, data, folder):
        assert len(remove(data, find_expired(data, POLICY))) == 1
        assert not folder.exists()

    def test_stay_while_a_run_holds_the_lock(self, data, folder):
        expired = find_expired(data, POLICY)
        warnings: list[str] = []
        with partition_lock(data, Partition("acme", OLD)) as lock:
            put(lock.scratch / "rows.parquet")
            assert remove(data, expired, warnings.append) == []
            assert (lock.scratch / "rows.parquet").exists()
        assert "acme on 2026-02-28 is being pulled by another run" in warnings[0]

    def test_are_created_again_by_the_next_pull(self, data, folder):
        remove(data, find_expired(data, POLICY))
        with partition_lock(data, Partition("acme", OLD)) as lock:
            assert lock.scratch.parent == folder


class ElsewhereState(FileState):
    """The state of all machines, which is not in the data directory."""

    is_local = False  # type: ignore[misc]


@pytest.fixture(params=["on this disk", "elsewhere"])
def waiting(request, tmp_path):
    """A data directory, and the name of a note in its state, which is on this disk or not."""
    state = ElsewhereState(tmp_path / "elsewhere") if request.param == "elsewhere" else FileState(tmp_path / "state")
    data = DataDir(tmp_path, replace(open_local_storage(tmp_path), state=state))
    return data, data.get_note(data.pull_folder(Partition("acme", OLD)) / "continues_later.json")


def test_the_note_of_a_pull_that_waits_stays_if_its_folder_was_found_before(waiting):
    data, note = waiting
    folder = data.pull_folder(Partition("acme", OLD))
    put(folder / "lock", 0, days_ago=9)
    age(folder, 9)
    expired = find_expired(data, POLICY)
    data.storage.state.write_note(note, b"{}")
    assert remove(data, expired) == expired != []
    assert data.storage.state.read_note(note) == b"{}"


def test_the_note_of_a_pull_that_waits_stays_if_an_unpublished_file_goes(waiting):
    data, note = waiting
    put(data.unpublished_file(UNIFIED_ENROLLMENTS, Partition("acme", OLD), "run-1"), days_ago=9)
    data.storage.state.write_note(note, b"{}")
    expired = find_expired(data, POLICY)
    assert remove(data, expired) == expired != []
    assert data.storage.state.read_note(note) == b"{}"


def test_an_old_note_on_this_disk_goes_with_its_folder(data):
    folder = data.pull_folder(Partition("acme", OLD))
    put(folder / "stopped.json", days_ago=9)
    age(folder, 9)
    remove(data, find_expired(data, POLICY))
    assert not folder.exists()


class TestPayloads:
    @pytest.fixture
    def rejected(self, data):
        """Two records that the published run rejected."""
        rows = [{"payload": PAYLOAD, "reason": "user.id is missing", "field": "user.id"}, {"payload": "[]"}]
        publish(data, "acme", OLD, *rows, table=REJECTED_ENROLLMENTS)
        publish(data, "acme", OLD, enrollment("u1"))
        return data.file(REJECTED_ENROLLMENTS, Partition("acme", OLD))

    def remove(self, data):
        return remove(data, [item for item in find_expired(data, POLICY) if item.kind == "rejected payloads"])

    def test_are_emptied_and_their_rows_keep_reason_and_field(self, data, rejected):
        before = pq.read_table(rejected)
        assert len(self.remove(data)) == 1
        after = pq.read_table(rejected)
        assert after.column("payload").to_pylist() == ["", ""]
        assert after.drop_columns("payload").equals(before.drop_columns("payload"))
        assert b"ann@example.org" not in rejected.read_bytes()

    def test_leave_no_folder_of_a_pull_to_the_next_housekeeping(self, data, rejected):
        self.remove(data)
        assert not data.pull_folder(Partition("acme", OLD)).exists()

    def test_are_removed_once(self, data, rejected):
        self.remove(data)
        assert self.remove(data) == []

    def test_stay_in_raw_enrollments(self, data, rejected):
        publish(data, "acme", OLD, {"payload": PAYLOAD}, table=RAW_ENROLLMENTS)
        self.remove(data)
        assert read("raw_enrollments", data_dir=data.root).column("payload").to_pylist() == [PAYLOAD]

    def test_leave_the_file_readable_and_under_its_run_id(self, data, rejected):
        before = read_metadata(rejected)
        self.remove(data)
        after = read_metadata(rejected)
        kept = before.keys() - {"digest", "checksum"}
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
        assert read("rejected_enrollments", data_dir=data.root).num_rows == 2
        build_warehouse(data)
        with open_warehouse(data) as connection:
            assert connection.sql("SELECT count(*), max(payload) FROM rejected_enrollments").fetchall() == [(2, "")]

    def test_of_an_unfinished_pull_are_emptied_and_its_file_stays_unreadable(self, data, rejected):
        other = {**PROVENANCE, "run_id": "run-2"}
        write(rejected, REJECTED_ENROLLMENTS, {"payload": PAYLOAD}, metadata=other)
        self.remove(data)
        assert b"ann@example.org" not in rejected.read_bytes()
        assert read("rejected_enrollments", data_dir=data.root).num_rows == 0

    def test_stay_while_a_run_holds_the_partition(self, data, rejected):
        expired = find_expired(data, POLICY)
        with partition_lock(data, Partition("acme", OLD)):
            assert remove(data, expired) == []
        assert pq.read_table(rejected).column("payload").to_pylist() == [PAYLOAD, "[]"]

    def test_of_a_file_that_was_damaged_meanwhile_cost_no_look_at_the_partition(self, data, rejected, monkeypatch):
        expired = find_expired(data, POLICY)
        rejected.write_bytes(b"no Parquet")
        noted = []
        monkeypatch.setattr(publishing, "begin_changes", lambda *arguments: noted.append(arguments))
        assert remove(data, expired) == []
        assert noted == []
        assert [path.name for path in rejected.parent.iterdir()] == ["data.parquet"]

    def test_stay_unchanged_on_a_full_disk(self, data, rejected):
        rows = [{"reason": incompressible_text(number), "payload": PAYLOAD} for number in range(100)]
        publish(data, "acme", OLD, *rows, table=REJECTED_ENROLLMENTS)
        warnings: list[str] = []
        with limit_file_size(300_000):
            assert remove(data, find_expired(data, POLICY), warnings.append) == []
        assert "can't be written: the file is larger than" in warnings[0]
        assert pq.read_table(rejected).column("payload").to_pylist() == [PAYLOAD] * 100
        assert [path.name for path in rejected.parent.iterdir()] == ["data.parquet"]


class TestFoldersOfFailedPulls:
    @pytest.fixture
    def folder(self, data):
        folder = data.file(UNIFIED_ENROLLMENTS, Partition("acme", OLD)).parent
        folder.mkdir(parents=True)
        return folder

    def test_are_removed_with_the_last_one_of_their_account(self, data, folder):
        remove(data, find_expired(data, POLICY))
        assert list(data.lake.rglob("*")) == [data.lake / "unified_enrollments"]

    def test_leave_the_other_days_of_their_account(self, data, folder):
        other = put(data.file(UNIFIED_ENROLLMENTS, Partition("acme", RECENT)))
        remove(data, find_empty_folders(data, POLICY))
        assert (folder.exists(), other.exists()) == (False, True)

    def test_stay_while_a_run_pulls_the_partition(self, data, folder):
        with partition_lock(data, Partition("acme", OLD)):
            assert remove(data, find_empty_folders(data, POLICY), lambda _warning: None) == []
        assert folder.exists()

    def test_stay_if_a_run_has_filled_them(self, data, folder):
        found = list(find_empty_folders(data, POLICY))
        put(folder / "data.parquet")
        remove(data, found)
        assert (folder / "data.parquet").exists()

    def test_leave_no_folder_of_a_pull_to_the_next_housekeeping(self, data, folder):
        remove(data, find_empty_folders(data, POLICY))
        assert not data.pull_folder(Partition("acme", OLD)).exists()

    def test_leave_a_pull_that_waits_for_its_lms(self, data, folder):
        waiting = put(data.pull_folder(Partition("acme", OLD)) / "continues_later.json")
        remove(data, find_empty_folders(data, POLICY))
        assert (folder.exists(), waiting.exists()) == (False, True)


def test_the_folder_of_an_unpublished_file_goes_with_it(data):
    put(data.unpublished_file(UNIFIED_ENROLLMENTS, Partition("acme", OLD), "run-1"), days_ago=9)
    remove(data, find_expired(data, POLICY))
    assert list(data.lake.rglob("*")) == [data.lake / "unified_enrollments"]


def test_an_unpublished_file_of_all_accounts_goes_with_its_folder(data):
    put(data.unpublished_file(PORTFOLIO_COMPLETION, DayPartition(OLD), "run-1"), days_ago=9)
    publish_all_accounts(data, RECENT, {"accounts": 1})
    remove(data, find_expired(data, POLICY))
    assert list_files(data) == ["lake/portfolio_completion/snapshot_date=2026-03-30/data.parquet"]
    assert not data.file(PORTFOLIO_COMPLETION, DayPartition(OLD)).parent.exists()
