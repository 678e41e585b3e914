"""The audit that a file passes before it is published."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline.lake.engine import duckdb_session
from lms_pipeline.lake.publishing import AuditError, KeyFaults, audit_counts, audit_file, find_key_faults
from lms_pipeline.tables.pulled import COURSES, RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import arrow_schema
from lms_pipeline_tests.support.lake_files import batch, enrollment, write

PAIR = ("user_id", "course_id")


def audit(path, table, key):
    with duckdb_session() as connection:
        return audit_file(connection, path, table, key)


def courses(tmp_path, *ids):
    return write(tmp_path / "a.parquet", COURSES, *({"course_id": one} for one in ids))


def test_a_valid_file_passes_and_its_rows_are_counted(tmp_path):
    assert audit(courses(tmp_path, "c1", "c2"), COURSES, COURSES.key) == 2
    assert audit(courses(tmp_path), COURSES, COURSES.key) == 0


def test_rows_may_repeat_if_there_is_no_key(tmp_path):
    path = write(tmp_path / "a.parquet", RAW_ENROLLMENTS, *[{"payload": "{}"}] * 3)
    assert audit(path, RAW_ENROLLMENTS, ()) == 3


def test_a_repeated_key_is_refused(tmp_path):
    path = courses(tmp_path, "c1", "c2", "c1", "c1")
    with pytest.raises(AuditError, match=r"^2 rows of courses repeat the key of another; nothing was published\.$"):
        audit(path, COURSES, COURSES.key)


def test_a_pair_is_repeated_only_if_both_columns_are(tmp_path):
    rows = [enrollment("u1", "c1"), enrollment("u1", "c2"), enrollment("u2", "c1")]
    assert audit(write(tmp_path / "a.parquet", UNIFIED_ENROLLMENTS, *rows), UNIFIED_ENROLLMENTS, PAIR) == 3
    rows.append(enrollment("u1", "c2"))
    with pytest.raises(AuditError, match=r"^1 row of unified_enrollments repeats"):
        audit(write(tmp_path / "b.parquet", UNIFIED_ENROLLMENTS, *rows), UNIFIED_ENROLLMENTS, PAIR)


def test_a_key_without_a_value_is_refused(tmp_path):
    rows = [enrollment("u1", enrollment_id=None), enrollment("u2"), enrollment("u3", enrollment_id=None)]
    path = write(tmp_path / "a.parquet", UNIFIED_ENROLLMENTS, *rows)
    with pytest.raises(AuditError, match=r"^2 rows of unified_enrollments have no enrollment_id; nothing was"):
        audit(path, UNIFIED_ENROLLMENTS, ("enrollment_id",))
    assert audit(path, UNIFIED_ENROLLMENTS, PAIR) == 3


def test_the_columns_must_be_the_tables_in_order_type_and_nullability(tmp_path):
    good = pa.Table.from_batches([batch(COURSES, {"course_id": "c1"})])
    schema = arrow_schema(COURSES)
    others = {
        "fewer": good.drop_columns(["extra"]),
        "more": good.append_column("more", pa.array(["x"])),
        "order": good.select(list(reversed(COURSES.column_names))),
        "type": good.set_column(2, "status", pa.array([1])),
        "null": good.cast(pa.schema([field.with_nullable(nullable=True) for field in schema])),
        "name": good.rename_columns([name.upper() for name in COURSES.column_names]),
    }
    for name, table in others.items():
        path = tmp_path / f"{name}.parquet"
        pq.write_table(table, path)
        with pytest.raises(
            AuditError, match=r"^The new file of courses does not have the table's columns; nothing was"
        ):
            audit(path, COURSES, COURSES.key)


def test_every_enrollment_must_be_accounted_for():
    audit_counts(received=6, unified=3, rejected=2, duplicates=1)
    for received in (5, 7):
        with pytest.raises(
            AuditError,
            match=rf"^{received} enrollments were fetched or carried over, but 3 are stored, 2 rejected and 1 duplicate; nothing was",
        ):
            audit_counts(received=received, unified=3, rejected=2, duplicates=1)


def test_keys_are_counted_in_a_file_without_statistics(tmp_path):
    rows = batch(UNIFIED_ENROLLMENTS, enrollment("u1", enrollment_id=None), enrollment("u2"), enrollment("u2"))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_batches([rows]), path, write_statistics=False)
    assert find_key_faults(path, ("enrollment_id",), tmp_path) == KeyFaults(nulls={"enrollment_id": 1}, repeated=1)
