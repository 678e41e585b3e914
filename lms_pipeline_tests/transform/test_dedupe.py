"""Rows as they are published: duplicates are dropped, missing names are filled, the order stays."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.lake import engine, files
from lms_pipeline.lake.files import TableFile
from lms_pipeline.tables.pulled import COURSES, LEARNERS, UNIFIED_ENROLLMENTS
from lms_pipeline.transform.dedupe import Duplicates, SharedKeyError, Sources
from lms_pipeline.transform.dedupe import deduplicate as deduplicate_file
from lms_pipeline.transform.raw_format import ROLES
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.lake_files import NOON, batch, enrollment, incompressible_text, limit_file_size, write

PAIR = ("user_id", "course_id")
BY_ID = ("enrollment_id",)


@pytest.fixture(params=[32_768, 3], ids=["one row group", "row groups of 3"])
def row_groups(request, monkeypatch):
    """Run the test with all rows in one row group, and with several row groups."""
    monkeypatch.setattr(files, "ROWS_PER_GROUP", request.param)


@pytest.fixture
def write_and_deduplicate(tmp_path):
    """Write batches of a table and deduplicate them; returns the name of the file with the rows that are left, and the
    duplicates."""

    def run(table, key, *batches, sources=None):
        with (
            TableFile(table, tmp_path / "first.parquet") as first,
            TableFile(table, tmp_path / "second.parquet") as second,
        ):
            for rows in batches:
                first.write(rows)
            file, duplicates = deduplicate_file(
                first, key, open_second=lambda: second, scratch=tmp_path / "scratch", sources=sources
            )
            file.close({})
            assert file.rows == pq.read_metadata(file.path).num_rows
        return file.path, duplicates

    return run


@pytest.fixture
def deduplicate(tmp_path, write_and_deduplicate):
    """Write enrollments and deduplicate them; returns the rows that are left, and the duplicates."""

    def run(*batches, key=PAIR, learners=(), courses=()):
        sources = Sources(
            write(tmp_path / "learners.parquet", LEARNERS, *learners),
            write(tmp_path / "courses.parquet", COURSES, *courses),
        )
        made = (batch(UNIFIED_ENROLLMENTS, *rows) for rows in batches)
        path, duplicates = write_and_deduplicate(UNIFIED_ENROLLMENTS, key, *made, sources=sources)
        return pq.read_table(path).to_pylist(), duplicates

    return run


def users(rows):
    return [row["user_id"] for row in rows]


SMALL_DIFFERENCES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"user_emails": None}, {"user_emails": []}),
    ({"user_emails": []}, {"user_emails": [{"email": None}]}),
    ({"user_emails": [{"email": "a"}]}, {"user_emails": [{"type": "a"}]}),
    ({"urls": [{"url": "a"}, {"url": "b"}]}, {"urls": [{"url": "a, url: b"}]}),
    ({"user_name": None}, {"user_name": "NULL"}),
    ({"user_name": "a"}, {"course_title": "a"}),
    ({"score": 0.1}, {"score": 0.1000000000000001}),
    ({"is_mandatory": None}, {"is_mandatory": False}),
    ({"due_at": NOON}, {"due_at": NOON + timedelta(microseconds=1)}),
]


@pytest.mark.usefixtures("row_groups")
class TestDuplicates:
    def test_of_equal_keys_only_the_last_row_stays_at_its_position(self, deduplicate):
        rows, duplicates = deduplicate(
            [enrollment("u1", score=1.0), enrollment("u2")],
            [enrollment("u3"), enrollment("u1", score=2.0)],
            [enrollment("u4"), enrollment("u1", score=3.0), enrollment("u5")],
        )
        assert users(rows) == ["u2", "u3", "u4", "u1", "u5"]
        assert [row["score"] for row in rows] == [None, None, None, 3.0, None]
        assert duplicates == Duplicates(identical=0, conflicting=2)

    def test_identical_and_conflicting_rows_are_counted_separately_against_the_row_that_stays(self, deduplicate):
        rows, duplicates = deduplicate(
            [enrollment("u1", score=9.0), enrollment("u2"), enrollment("u1", score=1.0)],
            [enrollment("u1", score=9.0), enrollment("u2", status="failed")],
        )
        assert users(rows) == ["u1", "u2"]
        assert duplicates == Duplicates(identical=1, conflicting=2)
        assert duplicates.total == 3

    def test_rows_that_differ_only_in_when_they_were_fetched_are_identical(self, deduplicate):
        _, duplicates = deduplicate(
            [enrollment("u1"), enrollment("u1", fetched_at=NOON + timedelta(minutes=1))], key=BY_ID
        )
        assert duplicates == Duplicates(identical=1, conflicting=0)

    def test_a_difference_within_a_list_is_a_conflict(self, deduplicate):
        one, other = ([{"email": f"{name}@example.org"}] for name in ("ann", "bob"))
        _, duplicates = deduplicate([enrollment("u1", user_emails=one), enrollment("u1", user_emails=other)])
        assert duplicates == Duplicates(identical=0, conflicting=1)

    def test_small_differences_are_conflicts(self, deduplicate):
        pairs = enumerate(SMALL_DIFFERENCES)
        _, duplicates = deduplicate([enrollment(f"u{number}", **row) for number, pair in pairs for row in pair])
        assert duplicates == Duplicates(identical=0, conflicting=len(SMALL_DIFFERENCES))

    def test_by_pair_the_enrollment_id_is_not_part_of_the_key(self, deduplicate):
        rows, duplicates = deduplicate(
            [enrollment("u1", enrollment_id=None), enrollment("u1", enrollment_id="e2"), enrollment("u1", "c2")]
        )
        assert [row["enrollment_id"] for row in rows] == ["e2", "u1-c2"]
        assert duplicates == Duplicates(identical=0, conflicting=1)

    def test_by_id_a_learner_may_have_two_enrollments_in_a_course(self, deduplicate):
        rows, duplicates = deduplicate(
            [enrollment("u1", enrollment_id="e1"), enrollment("u1", enrollment_id="e2")], key=BY_ID
        )
        assert [row["enrollment_id"] for row in rows] == ["e1", "e2"]
        assert duplicates.total == 0

    def test_ids_that_are_equal_when_concatenated_are_different_keys(self, deduplicate):
        rows, duplicates = deduplicate([enrollment("u1", "1c"), enrollment("u11", "c"), enrollment("U1", "1c")])
        assert len(rows) == 3
        assert duplicates.total == 0


def numbered(user_id, course_id="c1", number="e1", **more):
    return enrollment(user_id, course_id, enrollment_id=number, **more)


SHARED = {
    "by two learners in a course": ([[numbered("u1"), numbered("u2")]], 1),
    "by two courses of a learner": ([[numbered("u1"), numbered("u1", "c2")]], 1),
    "with equal content otherwise": ([[numbered("u1", score=1.0), numbered("u2", score=1.0)]], 1),
    "over batches": ([[numbered("u1")], [numbered("u2")]], 1),
    "beside a true duplicate": ([[numbered("u1"), numbered("u1"), numbered("u2")]], 2),
    "with the first and the last row alike": ([[numbered("u1"), numbered("u2"), numbered("u1")]], 1),
    "by ids that differ in case": ([[numbered("u1"), numbered("U1")]], 1),
    "by all rows of a course": ([[numbered(f"u{n}") for n in range(5)], [numbered(f"u{n}") for n in range(5, 9)]], 8),
    "twice": ([[numbered("u1"), numbered("u2"), numbered("u1", number="e2"), numbered("u1", "c2", "e2")]], 2),
}


@pytest.mark.usefixtures("row_groups")
class TestSharedIds:
    @pytest.mark.parametrize(("batches", "rows"), SHARED.values(), ids=SHARED)
    def test_are_refused_and_counted(self, deduplicate, batches, rows):
        with pytest.raises(SharedKeyError) as caught:
            deduplicate(*batches, key=BY_ID)
        assert caught.value.rows == rows

    def test_by_pair_every_learner_and_course_stays(self, deduplicate):
        """Each case has learners of its own."""
        batches = [
            [row | {"user_id": f"{case} {row['user_id']}"} for row in rows]
            for case, (of_case, _) in SHARED.items()
            for rows in of_case
        ]
        pairs = {(row["user_id"], row["course_id"]) for rows in batches for row in rows}
        stored, _ = deduplicate(*batches)
        assert sorted((row["user_id"], row["course_id"]) for row in stored) == sorted(pairs)


@pytest.mark.parametrize("lacking", PAIR)
def test_a_row_without_learner_or_course_is_refused(deduplicate, lacking):
    with pytest.raises(pa.ArrowInvalid, match=f"Column '{lacking}' is declared non-nullable but contains nulls"):
        deduplicate([enrollment("u1") | {lacking: None}])


@pytest.mark.usefixtures("row_groups")
def test_rows_keep_the_order_in_which_they_were_served(deduplicate):
    served = [f"u{number * 7 % 20}" for number in range(20)]
    rows, _ = deduplicate(*([enrollment(user)] for user in served))
    assert users(rows) == served


def test_no_rows_give_no_rows_and_no_duplicates(deduplicate):
    assert deduplicate() == ([], Duplicates(0, 0))
    assert deduplicate([], []) == ([], Duplicates(0, 0))


ANN = {
    "user_id": "u1",
    "user_name": "Ann",
    "user_email": "ann@example.org",
    "user_emails": [{"email": "ann@example.org", "is_primary": True, "type": "work"}],
}


class TestNames:
    def test_come_from_the_lists_if_an_enrollment_has_none(self, deduplicate):
        [row], _ = deduplicate(
            [enrollment("u1")], learners=[ANN], courses=[{"course_id": "c1", "course_title": "Fire safety"}]
        )
        assert {name: row[name] for name in ANN} == ANN
        assert row["course_title"] == "Fire safety"

    def test_stay_if_an_enrollment_has_them(self, deduplicate):
        own: dict[str, Any] = {
            "user_name": "Anna",
            "user_email": "anna@example.org",
            "user_emails": [{"email": "anna@example.org", "is_primary": None, "type": None}],
            "course_title": "Fire",
        }
        [row], _ = deduplicate(
            [enrollment("u1", **own)], learners=[ANN], courses=[{"course_id": "c1", "course_title": "Fire safety"}]
        )
        assert {name: row[name] for name in own} == own

    def test_are_filled_independently_of_each_other(self, deduplicate):
        [row], _ = deduplicate([enrollment("u1", user_name="Anna")], learners=[ANN])
        assert (row["user_name"], row["user_email"]) == ("Anna", "ann@example.org")

    def test_replace_an_empty_list_of_addresses(self, deduplicate):
        [row], _ = deduplicate([enrollment("u1", user_emails=[])], learners=[ANN])
        assert row["user_emails"] == ANN["user_emails"]

    def test_stay_null_if_they_are_in_no_list(self, deduplicate):
        [row], _ = deduplicate(
            [enrollment("u1", user_emails=[])], learners=[ANN | {"user_id": "u2"}], courses=[{"course_id": "c1"}]
        )
        assert [row[name] for name in ("user_name", "user_email", "user_emails", "course_title")] == [
            None,
            None,
            [],
            None,
        ]

    def test_are_filled_after_duplicates_are_compared(self, deduplicate):
        _, duplicates = deduplicate([enrollment("u1"), enrollment("u1", user_name="Ann")], learners=[ANN])
        assert duplicates == Duplicates(identical=0, conflicting=1)


def build_named(**more):
    """Return the enrollment of Ann in c1 that lacks nothing which the lists have."""
    return enrollment(
        "u1", **({name: ANN[name] for name in ANN if name != "user_id"} | {"course_title": "Fire safety"} | more)
    )


class TestWrites:
    """Rows are written a second time only if that changes them."""

    def run(self, tmp_path, write_and_deduplicate, *rows, learners=(ANN,), roles=None):
        sources = Sources(
            write(tmp_path / "learners.parquet", LEARNERS, *learners),
            write(tmp_path / "courses.parquet", COURSES),
            roles,
        )
        path, _ = write_and_deduplicate(UNIFIED_ENROLLMENTS, PAIR, batch(UNIFIED_ENROLLMENTS, *rows), sources=sources)
        return path.stem

    @pytest.mark.parametrize(
        "row",
        [
            build_named(user_name="Anna"),
            build_named(source="carried"),
            enrollment("u2"),
            enrollment("u2", user_emails=[], source="carried"),
        ],
        ids=["nothing is missing", "carried and the same", "in no list", "carried and in no list"],
    )
    def test_once_if_the_lists_change_nothing(self, tmp_path, write_and_deduplicate, row):
        assert self.run(tmp_path, write_and_deduplicate, row) == "first"

    @pytest.mark.parametrize(
        "rows",
        [
            [build_named(user_name=None)],
            [build_named(user_emails=[])],
            [build_named(user_name="Anna", source="carried")],
            [enrollment("u2"), build_named(user_email=None)],
            [build_named(), build_named()],
        ],
        ids=["no name", "no address", "another name in a carried row", "in another row", "a duplicate"],
    )
    def test_twice_if_a_row_changes(self, tmp_path, write_and_deduplicate, rows):
        assert self.run(tmp_path, write_and_deduplicate, *rows) == "second"

    @pytest.mark.parametrize(
        ("role", "raw_role", "file"),
        [(None, "mentor", "second"), (None, None, "first"), ("learner", "mentor", "first")],
    )
    def test_twice_if_a_missing_role_is_known(self, tmp_path, write_and_deduplicate, role, raw_role, file):
        raw = {"enrollment_id": "u1-c1", "user_id": None, "course_id": None, "role": raw_role}
        pq.write_table(pa.Table.from_pylist([raw], ROLES), tmp_path / "roles.parquet")
        row = build_named(role=role)
        assert self.run(tmp_path, write_and_deduplicate, row, roles=tmp_path / "roles.parquet") == file

    @pytest.mark.usefixtures("row_groups")
    def test_keep_the_order_with_names_from_the_lists(self, deduplicate):
        served = [f"u{number * 7 % 20}" for number in range(20)]
        learners = [{"user_id": user, "user_name": f"Name of {user}"} for user in sorted(served)]
        rows, _ = deduplicate(*([enrollment(user)] for user in served), learners=learners)
        assert [row["user_name"] for row in rows] == [f"Name of {user}" for user in served]


class TestLists:
    def test_are_deduplicated_by_their_own_key(self, write_and_deduplicate):
        batches = [
            batch(COURSES, {"course_id": "c1", "course_title": title}, {"course_id": "c2"}) for title in ("Old", "New")
        ]
        path, duplicates = write_and_deduplicate(COURSES, COURSES.key, *batches)
        assert duplicates == Duplicates(identical=1, conflicting=1)
        titles = pq.read_table(path, columns=["course_id", "course_title"]).to_pylist()
        assert titles == [{"course_id": "c1", "course_title": "New"}, {"course_id": "c2", "course_title": None}]


class TestMemory:
    @pytest.mark.parametrize(("rows", "kilobytes"), [(600, 100), *choose([], [(60, 1_000)]), (3, 30_000)])
    def test_does_not_grow_with_what_a_row_holds(self, write_and_deduplicate, monkeypatch, rows, kilobytes):
        """Every second row is a duplicate: DuckDB compares its content, and takes six bytes for each byte of JSON."""
        monkeypatch.setattr(engine, "MEMORY_LIMIT", "250MB")
        text = '"' * (kilobytes * 1_000)
        batches = (
            batch(COURSES, {"course_id": f"c{number // 2}", "extra": f"{number % 4}{text}"}) for number in range(rows)
        )
        _, duplicates = write_and_deduplicate(COURSES, COURSES.key, *batches)
        assert duplicates == Duplicates(identical=0, conflicting=rows // 2)


class TestDisk:
    def test_the_files_that_are_not_published_are_removed(self, tmp_path, write_and_deduplicate):
        path, _ = write_and_deduplicate(COURSES, COURSES.key, *[batch(COURSES, {"course_id": "c1"})] * 2)
        assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]

    def test_a_file_that_grows_too_large_is_one_sentence(self, tmp_path, write_and_deduplicate):
        rows = batch(COURSES, *({"course_id": incompressible_text(number)} for number in range(100)))
        with (
            limit_file_size(200_000),
            pytest.raises(LakeError, match=r"first\.parquet can't be written: .*; free some space and run it"),
        ):
            write_and_deduplicate(COURSES, COURSES.key, rows)
        assert list(tmp_path.rglob("*.parquet")) == []
