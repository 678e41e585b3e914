"""The footer of a file, with its checksum: any byte that changed on the disk is found before the file is read."""

from __future__ import annotations

import hashlib

import pyarrow.parquet as pq
import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.files import TableFile, check_unchanged, read_metadata
from lms_pipeline.tables.pulled import COURSES
from lms_pipeline_tests.support.lake_files import batch, write
from lms_pipeline_tests.support.parquet_damage import change_value

ROWS = [{"course_id": f"c{number}", "course_title": f"Course {number}"} for number in range(3)]


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "a.parquet", COURSES, *ROWS)


def test_is_computed_as_documented(path):
    """The SHA-256 of the file with 64 zeros in place of the checksum."""
    value = read_metadata(path)["checksum"]
    content = path.read_bytes().replace(value.encode(), b"sha256:" + b"0" * 64)
    assert value == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_rows_that_ended_are_readable_before_the_metadata_are_known(tmp_path):
    with TableFile(COURSES, tmp_path / "a.parquet") as file:
        file.write(batch(COURSES, *ROWS))
        file.end_rows()
        before, names = pq.read_table(file.path), set(read_metadata(file.path))
        file.close({"run_id": "run-1"})
    assert names == set()
    assert pq.read_table(file.path).equals(before)
    assert read_metadata(file.path)["run_id"] == "run-1"


def test_the_footer_describes_the_row_groups_as_before(tmp_path):
    with TableFile(COURSES, tmp_path / "a.parquet") as file:
        file.write(batch(COURSES, *ROWS))
        file.end_rows()
        before = pq.read_metadata(file.path)
        file.close({})
    after = pq.read_metadata(file.path)
    assert after.row_group(0).to_dict() == before.row_group(0).to_dict()
    assert (after.num_rows, after.created_by) == (before.num_rows, before.created_by)
    assert after.schema.equals(before.schema)


def test_a_file_without_metadata_is_removed(tmp_path):
    with TableFile(COURSES, tmp_path / "a.parquet") as file:
        file.write(batch(COURSES, *ROWS))
        file.end_rows()
    assert list(tmp_path.iterdir()) == []


def test_a_file_as_it_was_written_passes(path):
    check_unchanged(path)
    assert pq.read_table(path, columns=["course_id"]).column(0).to_pylist() == ["c0", "c1", "c2"]


def test_a_file_without_a_checksum_passes(path):
    rows = pq.read_table(path).replace_schema_metadata({"lms_pipeline.run_id": "run-1"})
    pq.write_table(rows, path)
    check_unchanged(path)


def test_each_changed_byte_is_found(path):
    """But for those of the entry's name: no value is another then, and the file is one without a checksum."""
    content, name = path.read_bytes(), b"lms_pipeline.checksum"
    in_name = range(content.rindex(name), content.rindex(name) + len(name))
    for position in set(range(len(content))) - set(in_name):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(LakeError, match=rf"^{path} (is damaged: restore it, or run|can't be read: ).*\.$"):
            check_unchanged(path)


def test_a_changed_value_is_one_sentence(path):
    change_value(path, "course_title")
    with pytest.raises(LakeError, match=rf"^{path} is damaged: restore it, or run `lms-pipeline replay` for its day; "):
        check_unchanged(path)


@pytest.mark.parametrize("end", [-1, -20, 4, 0])
def test_a_file_that_was_cut_is_one_sentence(path, end):
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(LakeError, match=rf"^{path} is damaged"):
        check_unchanged(path)


def test_a_file_with_something_after_its_end_is_one_sentence(path):
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(LakeError, match=rf"^{path} is damaged"):
        check_unchanged(path)
