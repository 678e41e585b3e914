"""The tables that a pull publishes. The expected columns are typed in from the published design."""

import pyarrow as pa
import pytest

from lms_pipeline.tables.pulled import (
    COURSES,
    LEARNERS,
    PULLED_TABLES,
    RAW_ENROLLMENTS,
    REJECTED_ENROLLMENTS,
    STATUSES,
    UNIFIED_ENROLLMENTS,
)
from lms_pipeline.tables.schema import arrow_schema
from lms_pipeline.transform.enrollments import EnrollmentFlattener
from lms_pipeline.transform.users_courses import ListFlattener
from lms_pipeline_tests.support.served_records import MINIMAL, build_response

EMAILS = "list<struct<email: string, is_primary: bool, type: string>>"
URLS = "list<struct<type: string, url: string>>"
TIME = "timestamp[us, UTC]"

UNIFIED = [
    ("enrollment_id", "string"),
    ("user_id", "string not null"),
    ("user_name", "string"),
    ("user_email", "string"),
    ("user_emails", EMAILS),
    ("course_id", "string not null"),
    ("course_title", "string"),
    ("status", "string not null"),
    ("status_raw", "string"),
    ("progress_percent", "double"),
    ("score", "double"),
    ("is_mandatory", "bool"),
    ("attempt_number", "int64"),
    ("attempts_count", "int64"),
    ("assigned_at", TIME),
    ("enrolled_at", TIME),
    ("started_at", TIME),
    ("completed_at", TIME),
    ("due_at", TIME),
    ("last_activity_at", TIME),
    ("created_at", TIME),
    ("updated_at", TIME),
    ("assigned_by_id", "string"),
    ("assigned_by_name", "string"),
    ("time_spent_seconds", "int64"),
    ("custom_fields", "string"),
    ("urls", URLS),
    ("role", "string"),
    ("extra", "string"),
    ("source", "string not null"),
    ("fetched_at", f"{TIME} not null"),
]
RAW = [
    ("user_id", "string"),
    ("course_id", "string"),
    ("payload", "string not null"),
    ("payload_sha256", "string not null"),
    ("source", "string not null"),
    ("fetched_at", f"{TIME} not null"),
]
REJECTED = [
    ("payload", "string not null"),
    ("reason", "string not null"),
    ("field", "string"),
    ("fetched_at", f"{TIME} not null"),
]
USERS = [
    ("user_id", "string not null"),
    ("user_name", "string"),
    ("user_email", "string"),
    ("user_emails", EMAILS),
    ("status", "string"),
    ("created_at", TIME),
    ("updated_at", TIME),
    ("extra", "string"),
    ("fetched_at", f"{TIME} not null"),
]
TITLES = [
    ("course_id", "string not null"),
    ("course_title", "string"),
    ("status", "string"),
    ("created_at", TIME),
    ("updated_at", TIME),
    ("extra", "string"),
    ("fetched_at", f"{TIME} not null"),
]


def describe_schema(schema):
    """Return name and type of each column as Arrow writes them."""
    types = (str(column.type).replace("tz=", "").replace("item: ", "") for column in schema)
    return [
        (column.name, kind if column.nullable else f"{kind} not null")
        for column, kind in zip(schema, types, strict=True)
    ]


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (UNIFIED_ENROLLMENTS, UNIFIED),
        (RAW_ENROLLMENTS, RAW),
        (REJECTED_ENROLLMENTS, REJECTED),
        (LEARNERS, USERS),
        (COURSES, TITLES),
    ],
    ids=lambda table: getattr(table, "name", ""),
)
def test_a_table_has_the_columns_of_the_design(table, columns):
    assert describe_schema(arrow_schema(table)) == columns


def test_the_commit_mark_is_published_last():
    assert PULLED_TABLES[-1] is UNIFIED_ENROLLMENTS


def test_the_statuses_are_the_ten_documented_ones():
    documented = "assigned enrolled in_progress completed passed failed withdrawn expired overdue unknown"
    assert list(STATUSES) == documented.split()


@pytest.mark.parametrize("records", [[], [MINIMAL]], ids=["none", "one"])
def test_the_batches_of_enrollments_have_the_schemas_of_their_tables(records):
    batches = EnrollmentFlattener("pair").flatten_responses([build_response(*records)])
    tables = (UNIFIED_ENROLLMENTS, RAW_ENROLLMENTS, REJECTED_ENROLLMENTS)
    assert [batches.unified.schema, batches.raw.schema, batches.rejected.schema] == list(map(arrow_schema, tables))


@pytest.mark.parametrize("table", [LEARNERS, COURSES], ids=lambda table: table.name)
def test_the_batches_of_a_list_have_the_schema_of_their_table(table):
    batch: pa.RecordBatch = ListFlattener(table.name).flatten([build_response({"id": "x"})])
    assert batch.schema == arrow_schema(table)
