"""The records of responses on their way to rows: which of them become rows together.

Belongs here: joining small responses and cutting large ones, by their bytes. Not here: reading the records (`reader.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate

import msgspec

from lms_pipeline.truto.response import Page

MAX_BATCH_BYTES = 2**20
"""Bytes of the records that become rows together: there are four copies of each record while they do, and more of them do not
fit into the processor's cache."""


@dataclass(frozen=True, slots=True)
class ResponseRecords:
    """The records of one response, and the requested (user id, course id) if the request was about a pair."""

    records: Sequence[msgspec.Raw]
    fetched_at: datetime
    pair: tuple[str, str] | None = None
    raw: Page | None = None
    """The response about the pair in the raw format; None if there is none."""


def split_responses(responses: Iterable[ResponseRecords], max_bytes: int) -> Iterator[list[ResponseRecords]]:
    """Yield the records, in their order, in parts of at most `max_bytes`; a larger record is a part of its own.

    Responses are joined until a part has half of that: a page of 500 records takes 8.5 µs a record by itself, and 7.7 with
    a second one. A larger response is cut in halves, and is not joined, so that no part holds its body for another one. A
    response with a raw one stays whole: its raw records must be stored once.
    """
    part: list[ResponseRecords] = []
    part_bytes = 0
    for response in responses:
        ends = _measure_records(response.records)
        size = ends[-1] if response.raw is None else ends[-1] + _measure_records(response.raw.records)[-1]
        if part and part_bytes + size > max_bytes:
            yield part
            part, part_bytes = [], 0
        if size > max_bytes and response.raw is None:
            for start, stop in _cut(ends, max_bytes, 0, len(response.records)):
                yield [replace(response, records=response.records[start:stop])]
            continue
        part.append(response)
        part_bytes += size
        if part_bytes > max_bytes // 2:
            yield part
            part, part_bytes = [], 0
    if part:
        yield part


def _measure_records(records: Sequence[msgspec.Raw]) -> list[int]:
    """Return the bytes before each record, and at the end those of all."""
    return list(accumulate((memoryview(record).nbytes for record in records), initial=0))


def _cut(ends: Sequence[int], max_bytes: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield slices of the records from `start` to `stop`, of at most `max_bytes` or one record each."""
    if stop - start == 1 or ends[stop] - ends[start] <= max_bytes:
        yield start, stop
        return
    middle = (start + stop) // 2
    yield from _cut(ends, max_bytes, start, middle)
    yield from _cut(ends, max_bytes, middle, stop)
