"""Records as an answer serves them, and what becomes of them."""

import json
from datetime import UTC, datetime
from typing import Any

from lms_pipeline.transform.enrollments import EnrollmentFlattener
from lms_pipeline.truto.response import read_page

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINIMAL: dict[str, Any] = {"id": "e1", "user": {"id": "u1"}, "course": {"id": "c1"}}


def page(*records):
    """The records of a page; each a JSON text, or what can be made one."""
    texts = [record if isinstance(record, str) else json.dumps(record) for record in records]
    return read_page(f'{{"result":[{",".join(texts)}]}}'.encode(), NOON).records


def flattened(*records, identity="enrollment_id"):
    """The batches of one page, and the flattener that made them."""
    flattener = EnrollmentFlattener(identity)
    return flattener.flatten(page(*records), NOON), flattener


def row(record, identity="enrollment_id"):
    """The one unified row of one record."""
    flat, _ = flattened(record, identity=identity)
    (only,) = flat.unified.to_pylist()
    return only


def row_with(**fields):
    """The unified row of a record with these fields beside what it needs."""
    return row(MINIMAL | fields)


def row_of_text(fields):
    """The unified row of a record with these fields, given as JSON text."""
    return row(json.dumps(MINIMAL)[:-1] + f",{fields}}}")


def extra(row):
    """The members of the row's `extra`."""
    return json.loads(row["extra"] or "{}")
