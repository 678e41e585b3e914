"""Turn enrollment records into Arrow batches of `unified_enrollments`, `raw_enrollments` and `rejected_enrollments`.

Belongs here: the columns that only enrollments have: raw payload, role, status. Not here: reading a record (`reader.py`),
building arrays (`columns.py`), rosters (`rosters.py`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, STATUSES, Identity
from lms_pipeline.transform.coerce import OptionalRaw, Text, read_object_id
from lms_pipeline.transform.columns import (
    build_array,
    build_primary_emails,
    build_record_batch,
    build_row_batch,
    repeat_value,
    replace_blank,
)
from lms_pipeline.transform.reader import Record, RecordReader, RejectedRecordError
from lms_pipeline.transform.shapes import ENROLLMENT, ENROLLMENT_BY_PAIR
from lms_pipeline.truto.raw_json import read_field
from lms_pipeline.truto.response import Page, is_too_large

MAX_KEPT_BYTES = 64 * 2**10
"""Bytes that are kept of a record that is rejected because it is too large: they show whose it is, and what fills it."""

RawSource = Literal["remote_data", "raw"]
"""Where the raw payload of a response comes from: from each unified record, or from a response in the raw format."""
RawRow = tuple[str | None, str | None, bytes, datetime]
"""The learner, the course, the raw payload and the time of its response."""


@dataclass(frozen=True, slots=True)
class ResponseRecords:
    """The records of one response, and the requested (user id, course id) if the request was about a pair."""

    records: Sequence[msgspec.Raw]
    fetched_at: datetime
    pair: tuple[str, str] | None = None
    raw: Page | None = None
    """The response about the pair in the raw format; None if there is none."""


@dataclass(frozen=True)
class EnrollmentBatches:
    """The enrollments of some responses. Every record served is a row of `unified` or of `rejected`."""

    unified: pa.RecordBatch
    raw: pa.RecordBatch
    rejected: pa.RecordBatch


def split_responses(responses: Iterable[ResponseRecords], max_bytes: int) -> Iterator[list[ResponseRecords]]:
    """Yield the records, in their order, in parts of at most `max_bytes`; a larger record is a part of its own.

    A response with a raw one stays whole: its raw records must be stored once.
    """
    part: list[ResponseRecords] = []
    part_bytes = 0
    for response in responses:
        if response.raw is not None:
            size = sum(memoryview(record).nbytes for record in (*response.records, *response.raw.records))
            if part_bytes and part_bytes + size > max_bytes:
                yield part
                part, part_bytes = [], 0
            part.append(response)
            part_bytes += size
            continue
        start = 0
        for index, record in enumerate(response.records):
            size = memoryview(record).nbytes
            if part_bytes and part_bytes + size > max_bytes:
                part.append(replace(response, records=response.records[start:index]))
                yield part
                part, part_bytes, start = [], 0, index
            part_bytes += size
        part.append(replace(response, records=response.records[start:]))
    yield part


class OtherPairError(Exception):
    """The response about a learner in a course holds the enrollment of another pair."""


@dataclass
class _Rows:
    """The rows of a batch before they are columns, each with the time of its response."""

    unified: list[tuple[Record, datetime, OptionalRaw]] = field(default_factory=list)
    """With the payload that has the role."""
    raw: list[RawRow] = field(default_factory=list)
    rejected: list[tuple[str, str, str | None, datetime]] = field(default_factory=list)


class EnrollmentFlattener:
    """Flattens the enrollments of one account, response by response."""

    def __init__(self, identity: Identity, raw_source: RawSource = "remote_data") -> None:
        self._raw_source = raw_source
        self._shape = ENROLLMENT_BY_PAIR if identity == "pair" else ENROLLMENT
        self._reader = RecordReader(self._shape)
        self.undocumented_statuses: Counter[str] = Counter()
        """Statuses served that are not documented and are stored as `unknown`; "" counts the missing ones."""

    @property
    def counts(self) -> Counter[str]:
        """How the records were read, see `RecordReader.counts`."""
        return self._reader.counts

    def flatten_responses(self, responses: Iterable[ResponseRecords]) -> EnrollmentBatches:
        """Return the batches of several responses, rows in their order.

        Raises:
            OtherPairError: a response is about another pair than the requested one.
        """
        rows = _Rows()
        for response in responses:
            payload = _add_raw_records(response, rows)
            for record in response.records:
                self._add_record(record, response, payload, rows)
        return EnrollmentBatches(
            self._build_unified_batch(rows.unified),
            build_raw_batch(rows.raw, self._raw_source),
            build_row_batch(REJECTED_ENROLLMENTS, rows.rejected),
        )

    def _add_record(
        self, raw: msgspec.Raw, response: ResponseRecords, raw_format_payload: OptionalRaw, rows: _Rows
    ) -> None:
        payload: OptionalRaw
        try:
            record = self._reader.read(raw)
        except RejectedRecordError as error:
            text = _read_payload(raw)
            rows.rejected.append((text, error.reason, error.field, response.fetched_at))
            user_id, course_id, payload = _read_ids_and_payload(raw)
        else:
            fields = record.fields
            user_id, course_id, payload = fields.user.id, fields.course.id, fields.remote_data
            role_payload = payload if self._raw_source == "remote_data" else raw_format_payload
            rows.unified.append((record, response.fetched_at, role_payload))
            if response.pair not in {None, (user_id, course_id)}:
                raise OtherPairError
        if self._raw_source == "raw":  # a server may send remote_data although it was to be left out
            return
        if not isinstance(payload, msgspec.UnsetType) and bytes(payload) != b"null":
            user_id, course_id = response.pair or (user_id, course_id)
            rows.raw.append((user_id, course_id, bytes(payload), response.fetched_at))

    def _build_unified_batch(self, rows: Sequence[tuple[Record, datetime, OptionalRaw]]) -> pa.RecordBatch:
        records = [record for record, _, _ in rows]
        roles = (read_raw_role(payload) for _, _, payload in rows)
        computed = {
            "user_email": build_primary_emails(record.fields.user.emails for record in records),
            "status": self._build_statuses(records),
            "role": replace_blank(build_array(roles, "string")),
            "source": repeat_value("unified", "string", len(records)),
            "fetched_at": build_array((fetched_at for _, fetched_at, _ in rows), "timestamp"),
        }
        return build_record_batch(self._shape, records, computed)

    def _build_statuses(self, records: Sequence[Record]) -> pa.Array:
        served = build_array((record.fields.status for record in records), "string")
        statuses = pc.fill_null(pc.utf8_lower(pc.utf8_trim_whitespace(served)), "")
        is_documented = pc.is_in(statuses, pa.array(STATUSES))
        self.undocumented_statuses.update(statuses.filter(pc.invert(is_documented)).to_pylist())
        return pc.if_else(is_documented, statuses, "unknown")


def _add_raw_records(response: ResponseRecords, rows: _Rows) -> OptionalRaw:
    """Add the raw records about a pair, and return the only one; several, or none, say nothing about the enrollment."""
    page = response.raw
    if page is None:
        return msgspec.UNSET
    payloads = [record for record in page.records if not is_too_large(record) and bytes(record) != b"null"]
    user_id, course_id = response.pair or (None, None)
    rows.raw.extend((user_id, course_id, bytes(payload), page.received_at) for payload in payloads)
    return payloads[0] if len(payloads) == 1 else msgspec.UNSET


def _read_payload(record: msgspec.Raw) -> str:
    """Return the text of a rejected record as received; of one that is too large only its begin."""
    if is_too_large(record):
        return bytes(memoryview(record)[:MAX_KEPT_BYTES]).decode(errors="ignore")
    return bytes(record).decode()


class _PayloadRole(msgspec.Struct, frozen=True):
    role: Text | None = None


_NO_ROLE = _PayloadRole()


def read_raw_role(payload: OptionalRaw) -> str | None:
    """Return the role in a raw record; None if it has none, or one that is no text."""
    return read_field(payload, _PayloadRole, _NO_ROLE).role


class _EnrollmentParts(msgspec.Struct, frozen=True):
    user: OptionalRaw = msgspec.UNSET
    course: OptionalRaw = msgspec.UNSET
    remote_data: OptionalRaw = msgspec.UNSET


_NO_PARTS = _EnrollmentParts()


def _read_ids_and_payload(record: msgspec.Raw) -> tuple[str | None, str | None, OptionalRaw]:
    """Return what a rejected record may still have: the ids of learner and course, and the raw payload."""
    if is_too_large(record):
        return None, None, msgspec.UNSET
    parts = read_field(record, _EnrollmentParts, _NO_PARTS)
    return read_object_id(parts.user), read_object_id(parts.course), parts.remote_data


def build_raw_batch(rows: Iterable[RawRow], source: RawSource | Literal["roster"]) -> pa.RecordBatch:
    """Return a batch of `raw_enrollments`, with the SHA-256 of each payload."""
    return build_row_batch(
        RAW_ENROLLMENTS,
        [
            (user_id, course_id, payload.decode(), hashlib.sha256(payload).hexdigest(), source, fetched_at)
            for user_id, course_id, payload, fetched_at in rows
        ],
    )
