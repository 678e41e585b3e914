"""Turn the records of the users and courses lists into Arrow batches of `learners` and `courses`.

Belongs here: the names and titles, which more than one field can give. Not here: the fields themselves (`shapes.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
import pyarrow as pa

from lms_pipeline.transform.columns import (
    build_array,
    build_primary_emails,
    build_record_batch,
    repeat_value,
    replace_blank,
)
from lms_pipeline.transform.reader import Record, RecordReader, RejectedRecordError
from lms_pipeline.transform.shapes import COURSE, USER

ListName = Literal["learners", "courses"]
_SHAPES = {"learners": USER, "courses": COURSE}


class ListFlattener:
    """Flattens the users or the courses of one account, page by page."""

    def __init__(self, name: ListName) -> None:
        self._shape = _SHAPES[name]
        self._reader = RecordReader(self._shape)

    @property
    def counts(self) -> Counter[str]:
        """How the records were read, see `RecordReader.counts`. `rejected` are the records without a usable id."""
        return self._reader.counts

    def flatten(self, records: Sequence[msgspec.Raw], fetched_at: datetime) -> pa.RecordBatch:
        """Return the batch of one page, its rows in the order served."""
        accepted: list[Record] = []
        for record in records:
            try:
                accepted.append(self._reader.read(record))
            except RejectedRecordError:
                self.counts["rejected"] += 1
        structs = [record.fields for record in accepted]
        computed = {"fetched_at": repeat_value(fetched_at, "timestamp", len(accepted))}
        if self._shape is USER:
            computed["user_name"] = replace_blank(build_array(map(_choose_name, structs), "string"))
            computed["user_email"] = build_primary_emails(user.emails for user in structs)
        else:
            computed["course_title"] = replace_blank(build_array(map(_choose_title, structs), "string"))
        return build_record_batch(self._shape, accepted, computed)


def _choose_name(user: Any) -> str:  # noqa: ANN401 (a struct made at run time)
    full_name = _drop_blank(user.name)
    return full_name[0] if full_name else " ".join(_drop_blank(user.first_name, user.last_name))


def _choose_title(course: Any) -> str | None:  # noqa: ANN401 (a struct made at run time)
    return next(iter(_drop_blank(course.title, course.name)), None)


def _drop_blank(*texts: str | None) -> list[str]:
    return [text for text in texts if text and not text.isspace()]
