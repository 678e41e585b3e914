"""A single file: row groups, metadata, and its removal if it can't be finished."""

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.lake import files
from lms_pipeline.lake.files import TableFile, read_metadata
from lms_pipeline.tables.pulled import COURSES, RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import SCHEMA_VERSION, arrow_schema
from lms_pipeline_tests.support.lake_files import batch, incompressible_text, limit_file_size, write

DIGITS = b"0" * 32
"""In place of the hexadecimal digits of a digest or checksum."""


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


def test_a_finished_file_takes_no_more_rows(tmp_path):
    with TableFile(COURSES, tmp_path / "a.parquet") as file:
        file.end_rows()
        with pytest.raises(LakeError, match="is finished"):
            file.write(batch(COURSES, {"course_id": "c1"}))
    assert file.rows == 0


def titles(*sizes):
    return batch(
        COURSES, *({"course_id": f"c{number}", "course_title": "x" * size} for number, size in enumerate(sizes))
    )


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([titles(*[1_000] * 12)], [3, 3, 3, 3]),  # 12 kB are cut into quarters
        ([titles(1_000)] * 9, [4, 4, 1]),
        ([titles(1), titles(6_000), titles(1)], [1, 1, 1]),
        ([titles(6_000, 7_000)], [1, 1]),
        ([titles(100)] * 25, [10, 10, 5]),
        ([titles(*[100] * 25)], [10, 10, 5]),
    ],
    ids=["one batch", "many batches", "a large row", "two large rows", "small rows", "small rows in one batch"],
)
def test_row_groups_have_a_limit_in_bytes_too(tmp_path, monkeypatch, batches, expected):
    monkeypatch.setattr(files, "ROWS_PER_GROUP", 10)
    monkeypatch.setattr(files, "MAX_GROUP_BYTES", 5_000)
    with TableFile(COURSES, tmp_path / "a.parquet") as file:
        for one in batches:
            file.write(one)
        file.close({})
    assert group_sizes(file.path) == expected
    served = pa.Table.from_batches(batches).select(["course_id", "course_title"])
    assert pq.read_table(file.path, columns=["course_id", "course_title"]).to_pylist() == served.to_pylist()


def test_usual_enrollments_with_their_raw_payload_fill_whole_row_groups(tmp_path):
    payload = "x" * 600
    rows = batch(RAW_ENROLLMENTS, *[{"payload": payload, "payload_sha256": "0" * 64}] * 1_000)
    with TableFile(RAW_ENROLLMENTS, tmp_path / "a.parquet") as file:
        for _ in range(40):
            file.write(rows)
        file.close({})
    assert group_sizes(file.path) == [32_768, 7_232]


def test_a_file_without_rows_has_the_schema(tmp_path):
    path = write(tmp_path / "a.parquet", UNIFIED_ENROLLMENTS)
    assert pq.read_metadata(path).num_rows == 0
    assert pq.read_schema(path).remove_metadata().equals(arrow_schema(UNIFIED_ENROLLMENTS))


def test_a_file_has_its_provenance_as_metadata(tmp_path):
    path = write(tmp_path / "deep" / "er" / "a.parquet", COURSES, {"course_id": "c1"})
    metadata = pq.read_metadata(path).metadata
    digits = re.compile(rb"[0-9a-f]{32,}$")
    assert {key: digits.sub(DIGITS, value) for key, value in metadata.items() if key.startswith(b"lms_pipeline.")} == {
        b"lms_pipeline.schema_version": str(SCHEMA_VERSION).encode(),
        b"lms_pipeline.run_id": b"run-1",
        b"lms_pipeline.pulled_at": b"2026-03-02T12:00:00+00:00",
        b"lms_pipeline.strategy": b"sweep",
        b"lms_pipeline.requests": b"7",
        b"lms_pipeline.complete": b"true",
        b"lms_pipeline.digest": b"2:" + DIGITS,
        b"lms_pipeline.checksum": b"sha256:" + DIGITS,
    }


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
        with pytest.raises(LakeError, match=rf"^{path} is damaged: restore it, or run `lms-pipeline replay`"):
            read_metadata(path)


def test_the_digest_of_a_file_does_not_depend_on_its_row_groups(tmp_path, monkeypatch):
    rows = [{"course_id": f"c{number}"} for number in range(25)]
    one = read_metadata(write(tmp_path / "one.parquet", COURSES, *rows))
    monkeypatch.setattr(files, "ROWS_PER_GROUP", 10)
    several = read_metadata(write(tmp_path / "several.parquet", COURSES, *rows))
    assert one["digest"] == several["digest"]
