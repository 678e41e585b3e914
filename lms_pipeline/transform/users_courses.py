"""The users and courses lists, flattened like enrollments.

What belongs here: where a name or a title comes from. Their other fields are not published; see `shapes.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
import pyarrow as pa

from lms_pipeline.transform.columns import (
    constant,
    primary_emails,
    record_batch,
    scalar_column,
    without_empty,
)
from lms_pipeline.transform.reader import Record, RecordReader, Rejected
from lms_pipeline.transform.shapes import COURSE, USER

ListName = Literal["learners", "courses"]
_SHAPES = {"learners": USER, "courses": COURSE}


class ListFlattener:
    """Flattens the users or the courses of one account, answer by answer."""

    def __init__(self, name: ListName) -> None:
        self._shape = _SHAPES[name]
        self._reader = RecordReader(self._shape)

    @property
    def counts(self) -> Counter[str]:
        """How the records were read, see `RecordReader.counts`; `rejected` are those without a usable id."""
        return self._reader.counts

    def flatten(self, records: Sequence[msgspec.Raw], fetched_at: datetime) -> pa.RecordBatch:
        """The batch of one answer, rows in the order served."""
        read: list[Record] = []
        for record in records:
            try:
                read.append(self._reader.read(record))
            except Rejected:
                self.counts["rejected"] += 1
        computed = {"fetched_at": constant(fetched_at, "timestamp", len(read))}
        if self._shape is USER:
            computed["user_name"] = without_empty(scalar_column((_name(r.fields) for r in read), "string"))
            computed["user_email"] = primary_emails(r.fields.emails for r in read)
        else:
            computed["course_title"] = without_empty(
                scalar_column((_title(r.fields) for r in read), "string")
            )
        return record_batch(self._shape, read, computed)


def _name(user: Any) -> str | None:  # noqa: ANN401 (a struct made at run time)
    return next(_told(user.name), None) or " ".join(_told(user.first_name, user.last_name))


def _title(course: Any) -> str | None:  # noqa: ANN401 (a struct made at run time)
    return next(_told(course.title, course.name), None)


def _told(*texts: str | None) -> Iterator[str]:
    return (text for text in texts if text and not text.isspace())
