"""Checks of the integrity of a published file."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline.checks.base import NothingToCheckError
from lms_pipeline.checks.snapshot import is_complete, key_is_unique, schema, served_is_stored
from lms_pipeline.lake.paths import Partition
from lms_pipeline.tables.pulled import COURSES, RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import SCHEMA_VERSION
from lms_pipeline_tests.support.lake_files import FIRST, enrollment


def rewrite(files, table, change, **entries):
    """Change a published file without the pipeline."""
    path = files.data.file(table, Partition("acme", FIRST))
    table_of_file = pq.read_table(path)
    metadata = pq.read_metadata(path).metadata | {
        f"lms_pipeline.{name}".encode(): value.encode() for name, value in entries.items()
    }
    del metadata[b"ARROW:schema"]
    pq.write_table(change(table_of_file).replace_schema_metadata(metadata), path)


class TestSchema:
    def test_passes_if_every_column_is_as_described(self, files):
        files.put({"course_id": "c1"}, table=COURSES)
        found = files.run(schema, COURSES)
        assert found.passed
        assert found.figures == {"columns": len(COURSES.columns), "schema_version": SCHEMA_VERSION, "rows": 1}

    def test_fails_with_the_name_of_a_missing_column(self, files):
        files.put({"course_id": "c1"}, table=COURSES)
        rewrite(files, COURSES, lambda table: table.drop_columns("course_title"))
        found = files.run(schema, COURSES)
        assert (found.passed, found.message) == (False, "1 column is not as described.")
        assert found.rows == [{"column": "course_title", "expected": "string", "found": "nothing"}]

    def test_fails_with_the_name_of_a_column_of_another_type(self, files):
        files.put({"course_id": "c1"}, table=COURSES)
        rewrite(files, COURSES, lambda table: table.set_column(2, "status", pa.array([1])))
        assert files.run(schema, COURSES).rows == [{"column": "status", "expected": "string", "found": "int64"}]

    def test_fails_if_a_column_is_nullable_that_must_not_be(self, files):
        files.put({"course_id": "c1"}, table=COURSES)
        rewrite(files, COURSES, lambda table: table.set_column(0, "course_id", pa.array([None], pa.string())))
        assert files.run(schema, COURSES).rows == [
            {"column": "course_id", "expected": "string not null", "found": "string"}
        ]

    def test_passes_a_file_of_an_older_schema_that_lacks_a_newer_column(self, files):
        files.put({"course_id": "c1"}, table=COURSES)
        rewrite(
            files, COURSES, lambda table: table.drop_columns("course_title"), schema_version=str(SCHEMA_VERSION - 1)
        )
        assert files.run(schema, COURSES).passed

    def test_fails_a_file_of_a_newer_schema(self, files):
        files.put({"course_id": "c1"}, table=COURSES)
        rewrite(files, COURSES, lambda table: table, schema_version=str(SCHEMA_VERSION + 1))
        found = files.run(schema, COURSES)
        assert (found.passed, found.message) == (
            False,
            f"The file has schema {SCHEMA_VERSION + 1}, and this version reads up to {SCHEMA_VERSION}: upgrade.",
        )

    def test_raises_what_to_do_if_there_is_no_file(self, files):
        with pytest.raises(NothingToCheckError, match=r"There is no courses of acme on 2026-03-01 to check"):
            files.run(schema, COURSES)


class TestKey:
    def test_passes_if_each_row_has_its_own(self, files):
        files.put_pulled(enrollment("u1", "c1"), enrollment("u1", "c2"))
        found = files.run(key_is_unique)
        assert (found.passed, found.message) == (True, "Every row has its own user_id and course_id.")

    def test_is_the_key_in_the_metadata_of_the_file(self, files):
        files.put_pulled(enrollment("u1"), enrollment("u1", enrollment_id="again"), key="enrollment_id")
        assert files.run(key_is_unique).passed

    def test_fails_with_the_keys_that_repeat(self, files):
        files.put_pulled(enrollment("u1"), enrollment("u1"), enrollment("u2"), enrollment("u1"))
        found = files.run(key_is_unique)
        assert not found.passed
        assert found.figures == {"key": "user_id, course_id", "rows_without_key": 0, "rows_repeated": 2}
        assert found.rows == [{"user_id": "u1", "course_id": "c1", "rows_with_it": 3}]

    def test_fails_with_the_rows_without_a_key(self, files):
        files.put_pulled(enrollment("u1", enrollment_id=None), enrollment("u2"), key="enrollment_id")
        found = files.run(key_is_unique)
        assert (found.passed, found.figures["rows_without_key"]) == (False, 1)
        assert found.rows == [{"enrollment_id": None, "rows_with_it": 1}]


class TestServedIsStored:
    def test_passes_if_the_counts_sum(self, files):
        files.put_pulled(
            enrollment("u1"),
            enrollment("u2"),
            served=5,
            carried=1,
            rejected=1,
            duplicates_identical=2,
            duplicates_conflicting=1,
        )
        found = files.run(served_is_stored)
        assert found.passed
        assert found.message == (
            "6 enrollments were fetched or carried over (5 served): 2 are stored, 1 rejected, 3 duplicates."
        )

    def test_fails_if_a_row_was_lost(self, files):
        files.put_pulled(enrollment("u1"), enrollment("u2"), served=3)
        found = files.run(served_is_stored)
        assert (found.passed, found.figures["difference"]) == (False, 1)
        assert found.message.endswith("0 duplicates; +1 is not accounted for.")

    def test_fails_if_rejected_rows_are_not_in_their_table(self, files):
        files.put_pulled(enrollment("u1"), served=3, rejected=2)
        files.put({"payload": "{}"}, table=REJECTED_ENROLLMENTS)
        found = files.run(served_is_stored)
        assert (found.passed, found.figures["rejected_stored"]) == (False, 1)

    def test_passes_if_the_rejected_file_was_removed_since(self, files):
        files.put_pulled(enrollment("u1"), served=3, rejected=2)
        assert files.run(served_is_stored).passed

    def test_passes_an_older_file_without_counts(self, files):
        files.put(enrollment("u1"))
        found = files.run(served_is_stored)
        assert (found.passed, found.message) == (
            True,
            "The file has no counts in its metadata: an older version wrote it.",
        )


class TestComplete:
    def test_passes_if_nothing_is_missing(self, files):
        files.put_pulled(enrollment("u1"))
        assert files.run(is_complete).passed

    def test_fails_if_the_pull_was_incomplete(self, files):
        files.put_pulled(enrollment("u1"), complete="false")
        assert not files.run(is_complete).passed

    def test_fails_if_another_file_is_of_another_run(self, files):
        files.put_pulled(enrollment("u1"))
        files.put({"payload": "{}"}, table=RAW_ENROLLMENTS, run_id="another")
        found = files.run(is_complete, UNIFIED_ENROLLMENTS)
        assert not found.passed
        assert "of different runs" in found.message
