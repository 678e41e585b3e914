"""Records as a response serves them, and the rows that they become."""

import json
from datetime import UTC, datetime
from typing import Any

from lms_pipeline.transform.enrollments import EnrollmentFlattener
from lms_pipeline.transform.responses import ResponseRecords
from lms_pipeline.truto.response import read_page

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINIMAL: dict[str, Any] = {"id": "e1", "user": {"id": "u1"}, "course": {"id": "c1"}}
"""An enrollment with the required fields only."""


def read_records(*records):
    """Return the records of a page. Each argument is a JSON text, or a value to encode."""
    texts = [record if isinstance(record, str) else json.dumps(record) for record in records]
    return read_page(f'{{"result":[{",".join(texts)}]}}'.encode(), NOON).records


def build_response(*records):
    """Return these records as those of one response."""
    return ResponseRecords(read_records(*records), NOON)


def flatten(*records, identity="enrollment_id"):
    """Return the batches of one page, and the flattener that built them."""
    flattener = EnrollmentFlattener(identity)
    return flattener.flatten_responses([build_response(*records)]), flattener


def flatten_row(record, identity="enrollment_id"):
    """Return the unified row of one record."""
    batches, _ = flatten(record, identity=identity)
    (row,) = batches.unified.to_pylist()
    return row


def flatten_row_with(**fields):
    """Return the unified row of the minimal record with these fields added."""
    return flatten_row(MINIMAL | fields)


def flatten_row_of_text(fields):
    """Return the unified row of the minimal record with these fields added, given as JSON text."""
    return flatten_row(json.dumps(MINIMAL)[:-1] + f",{fields}}}")


def parse_extra(row):
    """Return the members of the row's `extra`."""
    return json.loads(row["extra"] or "{}")
