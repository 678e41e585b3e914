"""Turn enrollment records into Arrow batches of `unified_enrollments`, `raw_enrollments` and `rejected_enrollments`.

Belongs here: the columns that only enrollments have: raw payload, role, status. Not here: reading a record (`reader.py`),
building arrays (`columns.py`), rosters (`rosters.py`), how many records become rows at once (`responses.py`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, compress
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, STATUSES, Identity
from lms_pipeline.transform.coerce import OptionalRaw, Text, read_object_id
from lms_pipeline.transform.columns import (
    build_array,
    build_instants,
    build_primary_emails,
    build_record_batch,
    build_row_batch,
    build_table_batch,
    repeat_value,
    replace_blank,
)
from lms_pipeline.transform.reader import ReadRecords, RecordReader
from lms_pipeline.transform.responses import ResponseRecords
from lms_pipeline.transform.shapes import ENROLLMENT, ENROLLMENT_BY_PAIR
from lms_pipeline.truto.raw_json import DECODE_ERRORS, read_field
from lms_pipeline.truto.response import is_too_large

MAX_KEPT_BYTES = 64 * 2**10
"""Bytes that are kept of a record that is rejected because it is too large: they show whose it is, and what fills it."""

MAX_COUNTED_STATUSES, MAX_COUNTED_CHARACTERS = 1_000, 200
"""Undocumented statuses that are counted each by its name, and the characters of it: an LMS may send free text as the status."""
OTHER_STATUSES = "(others)"
"""The name under which further ones are counted."""

RawSource = Literal["remote_data", "raw"]
"""Where the raw payload of a response comes from: from each unified record, or from a response in the raw format."""
_STATUSES = pa.array(STATUSES)


@dataclass(slots=True)
class RawColumns:
    """Rows of `raw_enrollments` before they are a batch, column by column."""

    user_ids: list[str | None] = field(default_factory=list)
    course_ids: list[str | None] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    """When the response with each payload was received."""

    def extend(
        self,
        user_ids: Sequence[str | None],
        course_ids: Sequence[str | None],
        payloads: Sequence[OptionalRaw | bytes],
        times: Sequence[datetime],
    ) -> None:
        """Add raw payloads, each about a learner and a course; a missing one and null are none."""
        kept: tuple[Sequence[Any], ...] = (user_ids, course_ids, payloads, times)
        if payloads.count(msgspec.UNSET):
            kept = _select_rows(kept, [payload is not msgspec.UNSET for payload in payloads])
        jsons = list(map(bytes, kept[2]))
        if b"null" in jsons:
            kept = _select_rows((kept[0], kept[1], jsons, kept[3]), [json != b"null" for json in jsons])
            jsons = list(kept[2])
        self.user_ids += kept[0]
        self.course_ids += kept[1]
        self.payloads += jsons
        self.times += kept[3]


def _select_rows(columns: Sequence[Sequence[Any]], is_kept: Sequence[bool]) -> tuple[Sequence[Any], ...]:
    return tuple(list(compress(values, is_kept)) for values in columns)


@dataclass(frozen=True)
class EnrollmentBatches:
    """The enrollments of some responses. Every record served is a row of `unified` or of `rejected`."""

    unified: pa.RecordBatch
    raw: pa.RecordBatch
    rejected: pa.RecordBatch


class OtherPairError(Exception):
    """The response about a learner in a course holds the enrollment of another pair."""


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

    def flatten_responses(self, responses: Sequence[ResponseRecords]) -> EnrollmentBatches:
        """Return the batches of several responses, rows in their order.

        Raises:
            OtherPairError: a response is about another pair than the requested one.
        """
        records = list(chain.from_iterable(response.records for response in responses))
        origins = [response for response in responses for _ in response.records]
        read = self._reader.read(records)
        accepted = (
            [one for position, one in enumerate(origins) if position not in read.rejected] if read.rejected else origins
        )
        if any(response.pair for response in responses):
            _check_pairs(accepted, read)
        rejected = [
            (_read_payload(records[position]), error.reason, error.field, origins[position].fetched_at)
            for position, error in read.rejected.items()
        ]
        if self._raw_source == "remote_data":
            role_payloads: Sequence[OptionalRaw] = read.values["remote_data"]
            raw = _collect_remote_data(records, origins, read)
        else:  # a server may send remote_data although it was to be left out
            payloads = {id(response): _list_raw_payloads(response) for response in responses}
            role_payloads = [_get_only(payloads[id(origin)]) for origin in accepted]
            raw = _collect_raw_records(responses, payloads)
        return EnrollmentBatches(
            self._build_unified_batch(read, accepted, role_payloads),
            build_raw_batch(raw, self._raw_source),
            build_row_batch(REJECTED_ENROLLMENTS, rejected),
        )

    def _build_unified_batch(
        self, read: ReadRecords, origins: Sequence[ResponseRecords], role_payloads: Sequence[OptionalRaw]
    ) -> pa.RecordBatch:
        computed = {
            "user_email": build_primary_emails(read.values["user.emails"]),
            "status": self._build_statuses(read.values["status"]),
            "role": replace_blank(build_array(read_raw_roles(role_payloads), "string")),
            "source": repeat_value("unified", "string", read.count),
            "fetched_at": build_instants([origin.fetched_at for origin in origins]),
        }
        return build_record_batch(self._shape, read, computed)

    def _build_statuses(self, served: Sequence[str | None]) -> pa.Array:
        statuses = pc.fill_null(pc.utf8_lower(pc.utf8_trim_whitespace(build_array(served, "string"))), "")
        is_documented = pc.is_in(statuses, _STATUSES)
        if not is_documented.false_count:
            return statuses
        for status, count in Counter(statuses.filter(pc.invert(is_documented)).to_pylist()).items():
            name = status[:MAX_COUNTED_CHARACTERS]
            is_counted = name in self.undocumented_statuses or len(self.undocumented_statuses) < MAX_COUNTED_STATUSES
            self.undocumented_statuses[name if is_counted else OTHER_STATUSES] += count
        return pc.if_else(is_documented, statuses, "unknown")


def _check_pairs(origins: Sequence[ResponseRecords], read: ReadRecords) -> None:
    """Check that each enrollment is the one of the pair that was requested, if a pair was.

    Raises:
        OtherPairError: one is not.
    """
    ids = zip(read.values["user.id"], read.values["course.id"], strict=True)
    if any(origin.pair not in {None, pair} for origin, pair in zip(origins, ids, strict=True)):
        raise OtherPairError


def _collect_remote_data(
    records: Sequence[msgspec.Raw], origins: Sequence[ResponseRecords], read: ReadRecords
) -> RawColumns:
    """Return the raw rows of the payloads inside of the records, in their order, also of those that are rejected."""
    users, courses, payloads = (list(read.values[path]) for path in ("user.id", "course.id", "remote_data"))
    for position in read.rejected:  # in their order, so that each is inserted where it was
        for values, value in zip((users, courses, payloads), _read_ids_and_payload(records[position]), strict=True):
            values.insert(position, value)
    pairs = [origin.pair for origin in origins]
    if pairs.count(None) < len(pairs):
        users, courses = (
            [pair[index] if pair else value for pair, value in zip(pairs, values, strict=True)]
            for index, values in enumerate((users, courses))
        )
    raw = RawColumns()
    raw.extend(users, courses, payloads, [origin.fetched_at for origin in origins])
    return raw


def _collect_raw_records(
    responses: Sequence[ResponseRecords], payloads: Mapping[int, Sequence[msgspec.Raw]]
) -> RawColumns:
    """Return the raw rows of the records about pairs; `payloads` has those of each response by its identity."""
    raw = RawColumns()
    for response in responses:
        found = payloads[id(response)]
        user_id, course_id = response.pair or (None, None)
        received_at = response.fetched_at if response.raw is None else response.raw.received_at
        raw.extend([user_id] * len(found), [course_id] * len(found), found, [received_at] * len(found))
    return raw


def _list_raw_payloads(response: ResponseRecords) -> list[msgspec.Raw]:
    """Return the raw records about a pair, without those that are too large or null."""
    records = () if response.raw is None else response.raw.records
    return [record for record in records if not is_too_large(record) and bytes(record) != b"null"]


def _get_only(payloads: Sequence[msgspec.Raw]) -> OptionalRaw:
    """Return the only raw record; several, or none, say nothing about the enrollment."""
    return payloads[0] if len(payloads) == 1 else msgspec.UNSET


def _read_payload(record: msgspec.Raw) -> str:
    """Return the text of a rejected record as received; of one that is too large only its begin."""
    if is_too_large(record):
        return bytes(memoryview(record)[:MAX_KEPT_BYTES]).decode(errors="ignore")
    return bytes(record).decode()


class _PayloadRole(msgspec.Struct, frozen=True, gc=False):
    role: Text | None = None


_NO_ROLE = _PayloadRole()
_ROLES = msgspec.json.Decoder(list[_PayloadRole])


def read_raw_roles(payloads: Sequence[OptionalRaw]) -> list[str | None]:
    """Return the roles in raw records; None for one that has none, or one that is no text."""
    try:
        return [one.role for one in _ROLES.decode(b"[" + b",".join(payloads) + b"]")]  # type: ignore[arg-type] # UNSET is no buffer
    except (TypeError, *DECODE_ERRORS):  # one is missing, or no object
        return [read_field(payload, _PayloadRole, _NO_ROLE).role for payload in payloads]


class _EnrollmentParts(msgspec.Struct, frozen=True, gc=False):
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


def build_raw_batch(raw: RawColumns, source: RawSource | Literal["roster"]) -> pa.RecordBatch:
    """Return a batch of `raw_enrollments`, with the SHA-256 of each payload."""
    columns = {
        "user_id": build_array(raw.user_ids, "string"),
        "course_id": build_array(raw.course_ids, "string"),
        # a view, as the bodies are checked to be UTF-8 when they are read
        "payload": pa.array(raw.payloads, pa.binary()).view(pa.string()),
        "payload_sha256": build_array([hashlib.sha256(payload).hexdigest() for payload in raw.payloads], "string"),
        "source": repeat_value(source, "string", len(raw.payloads)),
        "fetched_at": build_instants(raw.times),
    }
    return build_table_batch(RAW_ENROLLMENTS, columns)
