"""Turn the records of the users and courses lists into Arrow batches of `learners` and `courses`.

Belongs here: the names and titles, which more than one field can give. Not here: the fields themselves (`shapes.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Literal

import pyarrow as pa

from lms_pipeline.transform.columns import (
    build_array,
    build_instants,
    build_primary_emails,
    build_record_batch,
    replace_blank,
)
from lms_pipeline.transform.reader import ReadRecords, RecordReader
from lms_pipeline.transform.responses import ResponseRecords
from lms_pipeline.transform.shapes import COURSE, USER

ListName = Literal["learners", "courses"]
_SHAPES = {"learners": USER, "courses": COURSE}


class ListFlattener:
    """Flattens the users or the courses of one account, response by response."""

    def __init__(self, name: ListName) -> None:
        self._shape = _SHAPES[name]
        self._reader = RecordReader(self._shape)

    @property
    def counts(self) -> Counter[str]:
        """How the records were read, see `RecordReader.counts`. `rejected` are the records without a usable id."""
        return self._reader.counts

    def flatten(self, responses: Sequence[ResponseRecords]) -> pa.RecordBatch:
        """Return the batch of several responses, its rows in the order served."""
        read = self._reader.read(list(chain.from_iterable(response.records for response in responses)))
        times = [response.fetched_at for response in responses for _ in response.records]
        if read.rejected:
            self.counts["rejected"] += len(read.rejected)
            times = [time for position, time in enumerate(times) if position not in read.rejected]
        computed = {"fetched_at": build_instants(times)}
        if self._shape is USER:
            computed["user_name"] = _choose(_choose_name, read, "name", "first_name", "last_name")
            computed["user_email"] = build_primary_emails(read.values["emails"])
        else:
            computed["course_title"] = _choose(_choose_title, read, "title", "name")
        return build_record_batch(self._shape, read, computed)


def _choose(choose: Callable[..., str | None], read: ReadRecords, *paths: str) -> pa.Array:
    """Return the column of what `choose` makes of the texts at these paths."""
    return replace_blank(build_array(list(map(choose, *(read.values[path] for path in paths))), "string"))


def _choose_name(name: str | None, first_name: str | None, last_name: str | None) -> str:
    full_name = _drop_blank(name)
    return full_name[0] if full_name else " ".join(_drop_blank(first_name, last_name))


def _choose_title(title: str | None, name: str | None) -> str | None:
    return next(iter(_drop_blank(title, name)), None)


def _drop_blank(*texts: str | None) -> list[str]:
    return [text for text in texts if text and not text.isspace()]
