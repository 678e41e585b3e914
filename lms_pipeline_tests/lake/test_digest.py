"""The digest: of the values of the rows in their order, whatever their batches and their memory."""

import hashlib
import math
import struct
import tracemalloc
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_pipeline.lake.digest import Digest
from lms_pipeline.tables.pulled import COURSES, RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import arrow_schema
from lms_pipeline_tests.support.lake_files import NOON, batch, enrollment


def digest_of(*batches: pa.RecordBatch) -> str:
    digest = Digest(batches[0].schema)
    for one in batches:
        digest.update(one)
    return digest.hexdigest()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
VALUES = {
    "user_id": TEXTS,
    "course_id": TEXTS,
    "user_name": st.none() | TEXTS,
    "progress_percent": st.none() | st.floats(allow_nan=False),
    "is_mandatory": st.none() | st.booleans(),
    "attempt_number": st.none() | st.integers(-(2**63), 2**63 - 1),
    "due_at": st.none() | st.timedeltas(timedelta(0), timedelta(days=9)).map(lambda wait: NOON + wait),
    "user_emails": st.none()
    | st.lists(st.none() | st.fixed_dictionaries({"email": TEXTS, "is_primary": st.booleans()}), max_size=2),
}
ROWS = st.lists(st.fixed_dictionaries(VALUES), max_size=12)


class TestDigest:
    @settings(max_examples=50, deadline=None)
    @given(ROWS, st.lists(st.integers(0, 12)))
    def test_is_the_same_in_any_batches(self, rows, cuts):
        whole = batch(UNIFIED_ENROLLMENTS, *rows)
        ends = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
        pieces = [whole.slice(start, end - start) for start, end in pairwise(ends)]
        assert digest_of(*pieces) == digest_of(whole)

    def test_does_not_depend_on_when_the_rows_were_fetched(self):
        earlier, later = (
            digest_of(batch(COURSES, {"course_id": "c1", "fetched_at": at})) for at in (NOON, NOON + timedelta(days=1))
        )
        assert earlier == later

    @pytest.mark.parametrize("column", [c.name for c in UNIFIED_ENROLLMENTS.columns if c.name != "fetched_at"])
    def test_changes_with_every_other_column(self, column):
        kind = arrow_schema(UNIFIED_ENROLLMENTS).field(column).type
        values = {
            pa.string(): "other",
            pa.float64(): 1.5,
            pa.int64(): 2**60 + 1,
            pa.bool_(): False,
            pa.timestamp("us", tz="UTC"): NOON + timedelta(microseconds=1),
        }
        other = values.get(kind, [{"type": "work"}])
        plain = enrollment("u1")
        assert digest_of(batch(UNIFIED_ENROLLMENTS, plain)) != digest_of(
            batch(UNIFIED_ENROLLMENTS, plain | {column: other})
        )

    def test_changes_with_a_repeated_row(self):
        row = {"course_id": "c1"}
        found = {digest_of(batch(COURSES, *[row] * count)) for count in range(4)}
        assert len(found) == 4

    def test_differs_for_one_value_in_different_columns(self):
        title, status = ({"course_id": "c1", name: "x"} for name in ("course_title", "status"))
        assert digest_of(batch(COURSES, title)) != digest_of(batch(COURSES, status))

    def test_changes_with_the_order_of_the_rows(self):
        first, second = {"course_id": "c1"}, {"course_id": "c2"}
        assert digest_of(batch(COURSES, first, second)) != digest_of(batch(COURSES, second, first))

    def test_changes_where_texts_are_cut_elsewhere(self):
        one, other = ([{"course_id": first}, {"course_id": second}] for first, second in (("ab", "c"), ("a", "bc")))
        assert digest_of(batch(COURSES, *one)) != digest_of(batch(COURSES, *other))

    @pytest.mark.parametrize(
        "values",
        [
            ([None], [[]], [[None]], [[{"url": None}]], [[{"url": ""}]], [[{"url": ""}, None]]),
            ([[{"url": "a"}], [{"url": "b"}]], [[{"url": "a"}, {"url": "b"}], []], [[], [{"url": "a"}, {"url": "b"}]]),
            ([[{"url": "a", "type": None}]], [[{"url": None, "type": "a"}]]),
        ],
        ids=["empty and null", "cut elsewhere", "another field"],
    )
    def test_differs_for_lists_that_look_alike(self, values):
        found = {
            digest_of(batch(UNIFIED_ENROLLMENTS, *(enrollment("u1", urls=one) for one in rows))) for rows in values
        }
        assert len(found) == len(values)

    def test_of_no_rows_is_that_of_an_empty_batch(self):
        assert Digest(arrow_schema(COURSES)).hexdigest() == digest_of(batch(COURSES))

    def test_is_computed_as_documented(self):
        """The SHA-256 of each stream of two courses, one without a title, worked out with struct alone."""
        nothing = hashlib.sha256(b"").digest()

        def describe(name, *streams):
            return hashlib.sha256(name.encode()).digest() + b"".join(hashlib.sha256(one).digest() for one in streams)

        def describe_nulls(name):
            return describe(name, b"\0\0") + nothing * 2

        whole = (
            describe("course_id", b"\1\1", struct.pack("<2i", 2, 3), b"c1c23")
            + describe("course_title", b"\0\1", struct.pack("<i", 2), "é".encode())
            + describe_nulls("status")
            + describe("created_at", b"\1\0", b"", struct.pack("<q", 1_772_452_800_000_000))
            + describe_nulls("updated_at")
            + describe_nulls("extra")
        )
        rows: list[dict[str, Any]] = [
            {"course_id": "c1", "created_at": NOON},
            {"course_id": "c23", "course_title": "é"},
        ]
        assert digest_of(batch(COURSES, *rows)) == f"2:{hashlib.sha256(whole).hexdigest()[:32]}"


def spoil_nulls(values: pa.Array) -> pa.Array:
    """Return an equal array with other bytes under its nulls."""
    if pa.types.is_list(values.type) or pa.types.is_struct(values.type) or values.null_count in (0, len(values)):
        return values
    filled = values.fill_null(values.drop_null()[-1])
    return pa.Array.from_buffers(values.type, len(values), [values.is_valid().buffers()[1], *filled.buffers()[1:]])


class TestEqualValues:
    """However the memory of an array looks, equal values have one digest."""

    @settings(max_examples=50, deadline=None)
    @given(ROWS, st.integers(0, 5), st.integers(0, 5))
    def test_in_a_slice_of_a_larger_batch(self, rows, before, after):
        added = [enrollment(f"x{number}", user_name="x") for number in range(before + after)]
        large = batch(UNIFIED_ENROLLMENTS, *added[:before], *rows, *added[before:])
        assert digest_of(large.slice(before, len(rows))) == digest_of(batch(UNIFIED_ENROLLMENTS, *rows))

    @settings(max_examples=50, deadline=None)
    @given(ROWS)
    def test_with_other_bytes_under_nulls(self, rows):
        plain = batch(UNIFIED_ENROLLMENTS, *rows)
        spoilt = pa.RecordBatch.from_arrays([spoil_nulls(column) for column in plain.columns], schema=plain.schema)
        assert spoilt.equals(plain)
        assert digest_of(spoilt) == digest_of(plain)

    def test_with_bytes_under_a_null_text_and_a_null_list(self):
        texts = pa.StringArray.from_buffers(
            3, pa.py_buffer(struct.pack("<4i", 0, 1, 4, 5)), pa.py_buffer(b"axxxb"), pa.py_buffer(b"\x05")
        )
        lists = pa.ListArray.from_arrays(
            pa.array([0, 1, 3, 4], pa.int32()), pa.array([1, 8, 9, 2], pa.int64()), mask=pa.array([False, True, False])
        )
        found = [
            digest_of(pa.record_batch({"texts": one, "lists": other}))
            for one, other in [
                (texts, lists),
                (pa.array(["a", None, "b"]), pa.array([[1], None, [2]], pa.list_(pa.int64()))),
            ]
        ]
        assert found[0] == found[1]

    def test_after_a_round_trip_through_parquet(self, tmp_path):
        rows = batch(
            UNIFIED_ENROLLMENTS,
            enrollment("u1", score=math.nan, urls=[None, {"url": "a"}], is_mandatory=True),
            enrollment("u2", score=-0.0, urls=[], due_at=NOON),
        )
        pq.write_table(pa.Table.from_batches([rows]), tmp_path / "a.parquet", row_group_size=1)
        assert digest_of(*pq.read_table(tmp_path / "a.parquet").to_batches()) == digest_of(rows)

    @pytest.mark.parametrize(
        ("one", "other"),
        [(0.0, -0.0), (math.nan, struct.unpack("<d", b"\1\0\0\0\0\0\xf8\xff")[0])],
        ids=["zero", "NaN"],
    )
    def test_of_one_number_with_two_notations(self, one, other):
        first, second = (digest_of(batch(UNIFIED_ENROLLMENTS, enrollment("u1", score=score))) for score in (one, other))
        assert first == second

    @settings(max_examples=50, deadline=None)
    @given(ROWS.filter(bool), st.data())
    def test_but_not_with_one_value_changed(self, rows, data):
        number = data.draw(st.integers(0, len(rows) - 1))
        name = data.draw(st.sampled_from(sorted(rows[number])))
        changed = [dict(row) for row in rows]
        changed[number][name] = data.draw(VALUES[name])
        one, other = (batch(UNIFIED_ENROLLMENTS, *found) for found in (rows, changed))
        assert (digest_of(one) == digest_of(other)) == one.equals(other)


@pytest.mark.parametrize(("rows", "kilobytes"), [(600, 100), (60, 1_000), (2, 30_000)])
def test_large_rows_take_little_memory(rows, kilobytes):
    payload = pa.repeat(pa.scalar('"' * (kilobytes * 1_000)), rows)
    names = arrow_schema(RAW_ENROLLMENTS).names
    large = pa.record_batch({name: payload if name == "payload" else pa.nulls(rows, pa.string()) for name in names})
    tracemalloc.start()
    digest_of(large)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
