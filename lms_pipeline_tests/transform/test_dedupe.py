"""Rows that wait: duplicates go, names come, the order stays."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline.lake import files
from lms_pipeline.lake.disk import LakeError
from lms_pipeline.lake.files import TableFile
from lms_pipeline.tables.pulled import COURSES, LEARNERS, UNIFIED_ENROLLMENTS
from lms_pipeline.transform import dedupe
from lms_pipeline.transform.dedupe import Duplicates, StagedRows
from lms_pipeline_tests.support.lake_files import NOON, batch, enrollment, files_of_at_most, noise, write

PAIR = ("user_id", "course_id")
BY_ID = ("enrollment_id",)


@pytest.fixture(params=[32_768, 3], ids=["in one piece", "in pieces of 3"])
def piece(request, monkeypatch):
    """The same, whether the rows fit into one piece or take several."""
    monkeypatch.setattr(dedupe, "ROWS_PER_GROUP", request.param)
    monkeypatch.setattr(files, "ROWS_PER_GROUP", request.param)


@pytest.fixture
def settle(tmp_path):
    """Let batches wait and settle them; gives the rows that are left, and the duplicates."""

    def settled(*batches, key=PAIR, learners=(), courses=()):
        lists = (
            write(tmp_path / "learners.parquet", LEARNERS, *learners),
            write(tmp_path / "courses.parquet", COURSES, *courses),
        )
        with (
            TableFile(UNIFIED_ENROLLMENTS, tmp_path / "settled.parquet") as into,
            StagedRows(UNIFIED_ENROLLMENTS, key, tmp_path / "waiting") as waiting,
        ):
            for rows in batches:
                waiting.add(batch(UNIFIED_ENROLLMENTS, *rows))
            duplicates = waiting.deduplicate_and_enrich(into, *lists)
            into.close({})
        return pq.read_table(into.path).to_pylist(), duplicates

    return settled


def users(rows):
    return [row["user_id"] for row in rows]


@pytest.mark.usefixtures("piece")
class TestDuplicates:
    def test_of_equal_keys_the_last_row_alone_is_left_at_its_own_place(self, settle):
        rows, duplicates = settle(
            [enrollment("u1", score=1.0), enrollment("u2")],
            [enrollment("u3"), enrollment("u1", score=2.0)],
            [enrollment("u4"), enrollment("u1", score=3.0), enrollment("u5")],
        )
        assert users(rows) == ["u2", "u3", "u4", "u1", "u5"]
        assert [row["score"] for row in rows] == [None, None, None, 3.0, None]
        assert duplicates == Duplicates(identical=0, conflicting=2)

    def test_identical_and_conflicting_ones_are_counted_apart_against_the_row_that_is_left(self, settle):
        rows, duplicates = settle(
            [enrollment("u1", score=9.0), enrollment("u2"), enrollment("u1", score=1.0)],
            [enrollment("u1", score=9.0), enrollment("u2", status="failed")],
        )
        assert users(rows) == ["u1", "u2"]
        assert duplicates == Duplicates(identical=1, conflicting=2)
        assert duplicates.total == 3

    def test_rows_fetched_at_another_time_are_identical_all_the_same(self, settle):
        _, duplicates = settle(
            [enrollment("u1"), enrollment("u1", fetched_at=NOON + timedelta(minutes=1))], key=BY_ID
        )
        assert duplicates == Duplicates(identical=1, conflicting=0)

    def test_a_difference_within_a_list_is_a_conflict(self, settle):
        one, other = ([{"email": f"{name}@example.org"}] for name in ("ann", "bob"))
        _, duplicates = settle([enrollment("u1", user_emails=one), enrollment("u1", user_emails=other)])
        assert duplicates == Duplicates(identical=0, conflicting=1)

    def test_by_pair_the_enrollments_own_id_does_not_count(self, settle):
        rows, duplicates = settle(
            [
                enrollment("u1", enrollment_id=None),
                enrollment("u1", enrollment_id="e2"),
                enrollment("u1", "c2"),
            ]
        )
        assert [row["enrollment_id"] for row in rows] == ["e2", "u1-c2"]
        assert duplicates == Duplicates(identical=0, conflicting=1)

    def test_by_id_a_learner_may_be_enrolled_twice_in_a_course(self, settle):
        rows, duplicates = settle(
            [enrollment("u1", enrollment_id="e1"), enrollment("u1", enrollment_id="e2")], key=BY_ID
        )
        assert [row["enrollment_id"] for row in rows] == ["e1", "e2"]
        assert duplicates.total == 0

    def test_ids_that_run_into_each_other_are_other_keys(self, settle):
        rows, duplicates = settle([enrollment("u1", "1c"), enrollment("u11", "c"), enrollment("U1", "1c")])
        assert len(rows) == 3
        assert duplicates.total == 0


@pytest.mark.parametrize("lacking", PAIR)
def test_a_pair_is_never_without_its_learner_or_course(settle, lacking):
    with pytest.raises(
        pa.ArrowInvalid, match=f"Column '{lacking}' is declared non-nullable but contains nulls"
    ):
        settle([enrollment("u1") | {lacking: None}])


@pytest.mark.usefixtures("piece")
def test_rows_keep_the_order_in_which_they_were_served(settle):
    served = [f"u{number * 7 % 20}" for number in range(20)]
    rows, _ = settle(*([enrollment(user)] for user in served))
    assert users(rows) == served


def test_no_rows_settle_to_none(settle):
    assert settle() == ([], Duplicates(0, 0))
    assert settle([], []) == ([], Duplicates(0, 0))


ANN = {
    "user_id": "u1",
    "user_name": "Ann",
    "user_email": "ann@example.org",
    "user_emails": [{"email": "ann@example.org", "is_primary": True, "type": "work"}],
}


class TestNames:
    def test_come_from_the_lists_where_an_enrollment_lacks_them(self, settle):
        [row], _ = settle(
            [enrollment("u1")], learners=[ANN], courses=[{"course_id": "c1", "course_title": "Fire safety"}]
        )
        assert {name: row[name] for name in ANN} == ANN
        assert row["course_title"] == "Fire safety"

    def test_stay_where_an_enrollment_has_them(self, settle):
        own: dict[str, Any] = {
            "user_name": "Anna",
            "user_email": "anna@example.org",
            "user_emails": [{"email": "anna@example.org", "is_primary": None, "type": None}],
            "course_title": "Fire",
        }
        [row], _ = settle(
            [enrollment("u1", **own)],
            learners=[ANN],
            courses=[{"course_id": "c1", "course_title": "Fire safety"}],
        )
        assert {name: row[name] for name in own} == own

    def test_each_is_filled_by_itself(self, settle):
        [row], _ = settle([enrollment("u1", user_name="Anna")], learners=[ANN])
        assert (row["user_name"], row["user_email"]) == ("Anna", "ann@example.org")

    def test_an_empty_list_of_addresses_is_lacking(self, settle):
        [row], _ = settle([enrollment("u1", user_emails=[])], learners=[ANN])
        assert row["user_emails"] == ANN["user_emails"]

    def test_stay_null_where_no_list_knows_them(self, settle):
        [row], _ = settle(
            [enrollment("u1", user_emails=[])],
            learners=[ANN | {"user_id": "u2"}],
            courses=[{"course_id": "c1"}],
        )
        assert [row[name] for name in ("user_name", "user_email", "user_emails", "course_title")] == [
            None,
            None,
            [],
            None,
        ]

    def test_make_no_difference_to_what_a_duplicate_is(self, settle):
        _, duplicates = settle([enrollment("u1"), enrollment("u1", user_name="Ann")], learners=[ANN])
        assert duplicates == Duplicates(identical=0, conflicting=1)


class TestLists:
    def test_settle_alike(self, tmp_path):
        with (
            TableFile(COURSES, tmp_path / "settled.parquet") as into,
            StagedRows(COURSES, COURSES.key, tmp_path / "waiting") as waiting,
        ):
            for title in ("Old", "New"):
                waiting.add(batch(COURSES, {"course_id": "c1", "course_title": title}, {"course_id": "c2"}))
            assert waiting.settle(into) == Duplicates(identical=1, conflicting=1)
            into.close({})
        titles = pq.read_table(into.path, columns=["course_id", "course_title"]).to_pylist()
        assert titles == [
            {"course_id": "c1", "course_title": "New"},
            {"course_id": "c2", "course_title": None},
        ]


class TestDisk:
    def test_nothing_waits_any_more_once_the_block_ends(self, tmp_path):
        with StagedRows(COURSES, COURSES.key, tmp_path / "waiting") as waiting:
            waiting.add(batch(COURSES, {"course_id": "c1"}))
            assert waiting.path.exists()
        assert list((tmp_path / "waiting").iterdir()) == []

    def test_a_file_that_grows_too_large_is_one_sentence(self, tmp_path):
        rows = batch(COURSES, *({"course_id": noise(number)} for number in range(100)))

        def settle(waiting: StagedRows, rows: pa.RecordBatch, into: TableFile) -> None:
            waiting.add(rows)
            waiting.settle(into)

        with (
            files_of_at_most(200_000),
            pytest.raises(
                LakeError, match=r"waiting/courses\.parquet can't be written: .*; make room and run it"
            ),
            TableFile(COURSES, tmp_path / "settled.parquet") as into,
            StagedRows(COURSES, COURSES.key, tmp_path / "waiting") as waiting,
        ):
            settle(waiting, rows, into)
        assert [path.name for path in tmp_path.rglob("*")] == ["waiting"]

    def test_rows_that_are_not_settled_cost_no_room(self, tmp_path):
        rows = batch(COURSES, *({"course_id": noise(number)} for number in range(100)))
        with files_of_at_most(200_000), StagedRows(COURSES, COURSES.key, tmp_path) as waiting:
            waiting.add(rows)
        assert list(tmp_path.iterdir()) == []

    def test_a_full_disk_is_one_sentence(self, tmp_path):
        (tmp_path / "courses.parquet").symlink_to("/dev/full")
        with pytest.raises(LakeError, match="the disk is full"):
            StagedRows(COURSES, COURSES.key, tmp_path)
