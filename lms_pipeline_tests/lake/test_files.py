"""A single file: row groups, metadata, the digest, and its removal if it can't be finished."""

import hashlib
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_pipeline.lake import files
from lms_pipeline.lake.disk import LakeError
from lms_pipeline.lake.files import Digest, TableFile, read_metadata
from lms_pipeline.tables.pulled import COURSES, RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import SCHEMA_VERSION, arrow_schema
from lms_pipeline_tests.support.lake_files import NOON, batch, enrollment, incompressible_text, limit_file_size, write


def group_sizes(path):
    found = pq.read_metadata(path)
    return [found.row_group(number).num_rows for number in range(found.num_row_groups)]


@pytest.mark.parametrize("sizes", [[25], [1] * 25, [9, 11, 5], [10, 10, 5], [3, 0, 21, 0, 1]])
def test_row_groups_have_equal_sizes_for_any_batches(tmp_path, monkeypatch, sizes):
    monkeypatch.setattr(files, "ROWS_PER_GROUP", 10)
    numbers = iter(range(25))
    with TableFile(COURSES, tmp_path / "a.parquet") as file:
        for size in sizes:
            file.write(batch(COURSES, *({"course_id": f"c{next(numbers)}"} for _ in range(size))))
        file.close({})
    assert file.rows == 25
    assert group_sizes(file.path) == [10, 10, 5]
    ids = pq.read_table(file.path, columns=["course_id"]).column("course_id").to_pylist()
    assert ids == [f"c{number}" for number in range(25)]


def test_a_file_without_rows_has_the_schema(tmp_path):
    path = write(tmp_path / "a.parquet", UNIFIED_ENROLLMENTS)
    assert pq.read_metadata(path).num_rows == 0
    assert pq.read_schema(path).remove_metadata().equals(arrow_schema(UNIFIED_ENROLLMENTS))


def test_a_file_has_its_provenance_as_metadata(tmp_path):
    path = write(tmp_path / "deep" / "er" / "a.parquet", COURSES, {"course_id": "c1"})
    metadata = pq.read_metadata(path).metadata
    assert {key: value for key, value in metadata.items() if key.startswith(b"lms_pipeline.")} == {
        b"lms_pipeline.schema_version": str(SCHEMA_VERSION).encode(),
        b"lms_pipeline.run_id": b"run-1",
        b"lms_pipeline.pulled_at": b"2026-03-02T12:00:00+00:00",
        b"lms_pipeline.strategy": b"sweep",
        b"lms_pipeline.requests": b"7",
        b"lms_pipeline.complete": b"true",
        b"lms_pipeline.digest": read_metadata(path)["digest"].encode(),
    }
    assert len(read_metadata(path)["digest"]) == 32


def test_a_file_is_compressed_with_zstd(tmp_path):
    path = write(tmp_path / "a.parquet", COURSES, {"course_id": "c1"})
    assert pq.read_metadata(path).row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize(
    "other",
    [
        batch(COURSES, {"course_id": "c1"}),
        batch(RAW_ENROLLMENTS).select(["user_id", "course_id"]),
        pa.RecordBatch.from_arrays(
            batch(RAW_ENROLLMENTS).columns,
            schema=pa.schema([f.with_nullable(nullable=True) for f in arrow_schema(RAW_ENROLLMENTS)]),
        ),
    ],
)
def test_a_batch_of_another_table_is_refused(tmp_path, other):
    path = tmp_path / "a.parquet"
    with TableFile(RAW_ENROLLMENTS, path) as file, pytest.raises(LakeError, match="other columns than the"):
        file.write(other)
    assert not path.exists()


def test_a_file_that_is_not_closed_is_removed(tmp_path):
    with TableFile(COURSES, tmp_path / "a.parquet") as file:
        file.write(batch(COURSES, {"course_id": "c1"}))
    assert list(tmp_path.iterdir()) == []


class TestDisk:
    def rows(self) -> pa.RecordBatch:
        """Return rows that take half a megabyte, however well they are compressed."""
        return batch(COURSES, *({"course_id": incompressible_text(number)} for number in range(100)))

    def test_a_file_that_grows_too_large_is_one_sentence_and_is_removed(self, tmp_path):
        path = tmp_path / "a.parquet"
        rows = self.rows()

        def fill(file: TableFile) -> None:
            file.write(rows)
            file.close({})

        with limit_file_size(200_000), pytest.raises(LakeError) as caught, TableFile(COURSES, path) as file:
            fill(file)
        assert str(caught.value) == (
            f"{path} can't be written: the file is larger than the disk or the limits of the user allow; "
            "free some space and run it again."
        )
        assert list(tmp_path.iterdir()) == []

    def test_a_full_disk_is_one_sentence(self, tmp_path):
        path = tmp_path / "a.parquet"
        path.symlink_to("/dev/full")
        with pytest.raises(LakeError, match=r"can't be written: the disk is full; free some space and run it again\.$"):
            TableFile(COURSES, path)

    def test_a_file_in_the_place_of_a_folder_is_one_sentence(self, tmp_path):
        (tmp_path / "lake").write_text("")
        path = tmp_path / "lake" / "courses" / "a.parquet"
        with pytest.raises(LakeError, match=rf"^{path} can't be written: Not a directory; .*\.$"):
            TableFile(COURSES, path)

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"no Parquet at all", b"PAR1" + bytes(50) + b"PAR1"])
    def test_a_file_that_is_no_parquet_is_one_sentence(self, tmp_path, content):
        path = tmp_path / "a.parquet"
        path.write_bytes(content)
        with pytest.raises(LakeError, match=rf"^{path} is damaged: restore it, or remove it and pull"):
            read_metadata(path)


def digest_of(*batches: pa.RecordBatch) -> str:
    digest = Digest()
    for one in batches:
        digest.update(pa.Table.from_batches([one]))
    return digest.hexdigest()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": TEXTS,
            "course_id": TEXTS,
            "user_name": st.none() | TEXTS,
            "progress_percent": st.none() | st.floats(allow_nan=False),
            "is_mandatory": st.none() | st.booleans(),
            "attempt_number": st.none() | st.integers(-(2**63), 2**63 - 1),
            "due_at": st.none() | st.timedeltas(timedelta(0), timedelta(days=9)).map(lambda wait: NOON + wait),
            "user_emails": st.none()
            | st.lists(st.fixed_dictionaries({"email": TEXTS, "is_primary": st.booleans()}), max_size=2),
        }
    ),
    max_size=12,
)


class TestDigest:
    @settings(max_examples=10, deadline=None)
    @given(ROWS, st.randoms(use_true_random=False), st.integers(1, 12))
    def test_is_the_same_in_any_order_and_batches(self, rows, chance, size):
        whole = digest_of(batch(UNIFIED_ENROLLMENTS, *rows))
        chance.shuffle(rows)
        shuffled = batch(UNIFIED_ENROLLMENTS, *rows)
        pieces = [shuffled.slice(start, size) for start in range(0, len(rows), size)]
        assert digest_of(*pieces) == whole

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

    def test_of_no_rows_is_zero(self):
        assert digest_of() == digest_of(batch(COURSES)) == "0" * 32

    def test_is_computed_as_documented(self):
        """The sum, modulo 2**128, of the MD5 of each row as JSON without `fetched_at`."""
        texts = [
            f'{{"course_id":"{name}","course_title":null,"status":null,"created_at":null,"updated_at":null,"extra":null}}'
            for name in ("c1", "c2")
        ]
        numbers = [int.from_bytes(hashlib.md5(text.encode()).digest(), "little") for text in texts]  # noqa: S324
        assert digest_of(batch(COURSES, {"course_id": "c1"}, {"course_id": "c2"})) == f"{sum(numbers) % 2**128:032x}"


def test_the_digest_of_a_file_does_not_depend_on_its_row_groups(tmp_path, monkeypatch):
    rows = [{"course_id": f"c{number}"} for number in range(25)]
    one = read_metadata(write(tmp_path / "one.parquet", COURSES, *rows))
    monkeypatch.setattr(files, "ROWS_PER_GROUP", 10)
    several = read_metadata(write(tmp_path / "several.parquet", COURSES, *rows))
    assert one["digest"] == several["digest"] == digest_of(batch(COURSES, *rows))
