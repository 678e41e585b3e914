"""What is due is removed, and nothing else."""

import pyarrow.parquet as pq
import pytest

from lms_pipeline.housekeeping.cleanup import planned, remove
from lms_pipeline.housekeeping.policy import ExpiredItem, RetentionPolicy, format_totals
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.lock import partition_lock
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.reading import read
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.data_directory import GAP_ALERT_DAYS, OLD, OLDER, TODAY, age, kept, put
from lms_pipeline_tests.support.lake_files import (
    PROVENANCE,
    enrollment,
    incompressible_text,
    limit_file_size,
    publish,
    write,
)

RULES = RetentionPolicy(today=TODAY, rejected_days=30)
PAYLOAD = '{"user": {"name": "Ann Example", "email": "ann@example.org"}}'


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


def files(data):
    return sorted(str(path.relative_to(data.root)) for path in data.root.rglob("*") if path.is_file())


def test_what_was_planned_is_removed_and_the_second_time_there_is_nothing(data):
    kept(data, "acme", OLDER, GAP_ALERT_DAYS)
    put(data.unpublished_file(UNIFIED_ENROLLMENTS, Partition("acme", OLD), "run-1"), days_ago=9)
    put(data.budgets / "hour-acme.sqlite", days_ago=31)
    due = planned(data, RULES)
    assert remove(data, due) == due
    assert planned(data, RULES) == []
    assert files(data) == [
        "answers/account_id=acme/snapshot_date=2026-03-30.sqlite",
        "state/details/account_id=acme/snapshot_date=2026-03-30.parquet",
    ]


def test_what_is_removed_is_told_by_counts_and_bytes(data):
    kept(data, "acme", OLDER, OLD, GAP_ALERT_DAYS)
    assert format_totals(remove(data, planned(data, RULES))) == "2 answers (200 B), 2 details (20 B)"
    assert format_totals([]) == "nothing"


def test_what_has_gone_meanwhile_counts_as_removed(data):
    gone = ExpiredItem("answers", data.answers(Partition("acme", OLD)), 100)
    assert remove(data, [gone]) == [gone]


def test_what_can_not_be_removed_is_told_and_keeps_no_other_from_it(data):
    (data.root / "file").write_text("")
    kept(data, "acme", OLD)
    other = ExpiredItem("answers", data.answers(Partition("acme", OLD)), 100)
    warnings: list[str] = []
    removed = remove(data, [ExpiredItem("answers", data.root / "file" / "x", 1), other], warnings.append)
    assert removed == [other]
    assert len(warnings) == 1
    assert "file/x is left for the next time: " in warnings[0]


class TestFoldersOfPulls:
    @pytest.fixture
    def folder(self, data):
        folder = data.pull(Partition("acme", OLD))
        put(folder / "waiting" / "rows.parquet")
        put(folder / "lock", 0)
        age(folder, 3)
        return folder

    def test_go_whole(self, data, folder):
        assert len(remove(data, planned(data, RULES))) == 1
        assert not folder.exists()

    def test_stay_while_somebody_is_at_the_pull(self, data, folder):
        due = planned(data, RULES)
        warnings: list[str] = []
        with partition_lock(data, Partition("acme", OLD)) as waiting:
            put(waiting / "rows.parquet")
            assert remove(data, due, warnings.append) == []
            assert (waiting / "rows.parquet").exists()
        assert "acme on 2026-02-28 is being pulled by another run" in warnings[0]

    def test_are_made_anew_by_the_next_pull(self, data, folder):
        remove(data, planned(data, RULES))
        with partition_lock(data, Partition("acme", OLD)) as waiting:
            assert waiting.parent == folder


class TestPayloads:
    @pytest.fixture
    def rejected(self, data):
        """Two records rejected by the run that published the day."""
        rows = [{"payload": PAYLOAD, "reason": "user.id is missing", "field": "user.id"}, {"payload": "[]"}]
        publish(data, "acme", OLD, *rows, table=REJECTED_ENROLLMENTS)
        publish(data, "acme", OLD, enrollment("u1"))
        return data.file(REJECTED_ENROLLMENTS, Partition("acme", OLD))

    def remove(self, data):
        return remove(data, [one for one in planned(data, RULES) if one.kind == "rejected payloads"])

    def test_go_and_their_rows_stay_with_reason_and_field(self, data, rejected):
        before = pq.read_table(rejected)
        assert len(self.remove(data)) == 1
        after = pq.read_table(rejected)
        assert after.column("payload").to_pylist() == ["", ""]
        assert after.drop_columns("payload").equals(before.drop_columns("payload"))
        assert b"ann@example.org" not in rejected.read_bytes()

    def test_are_removed_once(self, data, rejected):
        self.remove(data)
        assert self.remove(data) == []

    def test_stay_in_the_tables_of_what_was_pulled(self, data, rejected):
        publish(data, "acme", OLD, {"payload": PAYLOAD}, table=RAW_ENROLLMENTS)
        self.remove(data)
        assert read("raw_enrollments", data_dir=data.root).column("payload").to_pylist() == [PAYLOAD]

    def test_leave_the_file_one_of_its_run_that_may_be_read(self, data, rejected):
        told = read_metadata(rejected)
        self.remove(data)
        after = read_metadata(rejected)
        assert {name: after[name] for name in told if name != "digest"} == {
            name: told[name] for name in told if name != "digest"
        }
        assert read("rejected_enrollments", data_dir=data.root).num_rows == 2
        build_warehouse(data)
        with open_warehouse(data) as connection:
            assert connection.sql("SELECT count(*), max(payload) FROM rejected_enrollments").fetchall() == [
                (2, "")
            ]

    def test_of_a_pull_that_never_came_to_its_mark_go_too_and_it_stays_unreadable(self, data, rejected):
        other = {**PROVENANCE.metadata(), "run_id": "run-2"}
        write(rejected, REJECTED_ENROLLMENTS, {"payload": PAYLOAD}, metadata=other)
        self.remove(data)
        assert b"ann@example.org" not in rejected.read_bytes()
        assert read("rejected_enrollments", data_dir=data.root).num_rows == 0

    def test_stay_while_somebody_is_at_the_day(self, data, rejected):
        due = planned(data, RULES)
        with partition_lock(data, Partition("acme", OLD)):
            assert remove(data, due) == []
        assert pq.read_table(rejected).column("payload").to_pylist() == [PAYLOAD, "[]"]

    def test_stay_whole_where_the_disk_is_full(self, data, rejected):
        rows = [{"reason": incompressible_text(number), "payload": PAYLOAD} for number in range(10)]
        publish(data, "acme", OLD, *rows, table=REJECTED_ENROLLMENTS)
        warnings: list[str] = []
        with limit_file_size(10_000):
            assert remove(data, planned(data, RULES), warnings.append) == []
        assert "free some space" in warnings[0]
        assert pq.read_table(rejected).column("payload").to_pylist() == [PAYLOAD] * 10
        assert [path.name for path in rejected.parent.iterdir()] == ["data.parquet"]
