"""From the records of an answer to Arrow batches of enrollments, with their raw and rejected beside them.

What belongs here: what is particular to enrollments: the raw payload, the role in it, the status. Reading records
is `records.py`, building arrays `columns.py`; the users and courses lists are `lists.py`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, STATUSES, Identity
from lms_pipeline.transform import coerce
from lms_pipeline.transform.coerce import NOT_READ
from lms_pipeline.transform.columns import (
    constant,
    json_text,
    primary_emails,
    record_batch,
    scalar_column,
    table_batch,
    without_empty,
)
from lms_pipeline.transform.reader import ABSENT, Record, RecordReader, Rejected
from lms_pipeline.transform.shapes import ENROLLMENT, ENROLLMENT_BY_PAIR


@dataclass(frozen=True)
class FlatEnrollments:
    """One answer's enrollments: every record served is a row of `unified` or of `rejected`."""

    unified: pa.RecordBatch
    raw: pa.RecordBatch
    rejected: pa.RecordBatch


@dataclass(frozen=True, slots=True)
class ResponseRecords:
    """The records of one answer; of one about a learner in a course, the ids that were asked for."""

    records: Sequence[msgspec.Raw]
    fetched_at: datetime
    pair: tuple[str, str] | None = None


class OtherPairError(Exception):
    """An answer about a learner in a course holds the enrollment of another."""


@dataclass
class _Rows:
    """What the records of answers become, before they are columns; each with the time of its answer."""

    unified: list[tuple[Record, datetime]] = field(default_factory=list)
    raw: list[tuple[str | None, str | None, bytes, datetime]] = field(default_factory=list)
    rejected: list[tuple[str, str, str | None, datetime]] = field(default_factory=list)


class EnrollmentFlattener:
    """Flattens the enrollments of one account, answer by answer."""

    def __init__(self, identity: Identity) -> None:
        self._shape = ENROLLMENT_BY_PAIR if identity == "pair" else ENROLLMENT
        self._reader = RecordReader(self._shape)
        self.undocumented_statuses: Counter[str] = Counter()
        """Statuses served that the page doesn't name, which are told as `unknown`; "" where there was none."""

    @property
    def counts(self) -> Counter[str]:
        """How the records were read, see `RecordReader.counts`."""
        return self._reader.counts

    def flatten(self, records: Sequence[msgspec.Raw], fetched_at: datetime) -> FlatEnrollments:
        """The batches of one answer, rows in the order served."""
        return self.flatten_answers([ResponseRecords(records, fetched_at)])

    def flatten_answers(self, answers: Iterable[ResponseRecords]) -> FlatEnrollments:
        """The batches of several answers, rows in their order.

        Raises:
            OtherPairError: an answer is not about what was asked for.
        """
        rows = _Rows()
        for answer in answers:
            for record in answer.records:
                self._read(record, answer, rows)
        return FlatEnrollments(self._unified(rows.unified), _raw(rows.raw), _rejected(rows.rejected))

    def _read(self, record: msgspec.Raw, answer: ResponseRecords, rows: _Rows) -> None:
        try:
            read = self._reader.read(record)
        except Rejected as rejection:
            text = bytes(record).decode()
            rows.rejected.append((text, rejection.reason, rejection.field, answer.fetched_at))
            user_id, course_id, payload = _found(record)
        else:
            rows.unified.append((read, answer.fetched_at))
            fields = read.fields
            user_id, course_id, payload = fields.user.id, fields.course.id, fields.remote_data
            if answer.pair not in {None, (user_id, course_id)}:
                raise OtherPairError
        if json_text(payload) is not None:
            user_id, course_id = answer.pair or (user_id, course_id)
            rows.raw.append((user_id, course_id, bytes(payload), answer.fetched_at))

    def _unified(self, rows: Sequence[tuple[Record, datetime]]) -> pa.RecordBatch:
        records = [record for record, _ in rows]
        computed = {
            "user_email": primary_emails(record.fields.user.emails for record in records),
            "status": self._status(records),
            "role": without_empty(scalar_column((_role(r.fields.remote_data) for r in records), "string")),
            "source": constant("unified", "string", len(records)),
            "fetched_at": scalar_column((fetched_at for _, fetched_at in rows), "timestamp"),
        }
        return record_batch(self._shape, records, computed)

    def _status(self, records: Sequence[Record]) -> pa.Array:
        served = scalar_column((record.fields.status for record in records), "string")
        status = pc.fill_null(pc.utf8_lower(pc.utf8_trim_whitespace(served)), "")
        documented = pc.is_in(status, pa.array(STATUSES))
        self.undocumented_statuses.update(status.filter(pc.invert(documented)).to_pylist())
        return pc.if_else(documented, status, "unknown")


class _Role(msgspec.Struct):
    role: str | None = None


class _Carrier(msgspec.Struct):
    user: msgspec.Raw = ABSENT
    course: msgspec.Raw = ABSENT
    remote_data: msgspec.Raw = ABSENT


class _WithId(msgspec.Struct):
    id: msgspec.Raw = ABSENT


_ROLE = msgspec.json.Decoder(_Role)
_CARRIER = msgspec.json.Decoder(_Carrier)
_WITH_ID = msgspec.json.Decoder(_WithId)


def _role(payload: msgspec.Raw) -> str | None:
    try:
        return _ROLE.decode(payload).role
    except NOT_READ:  # nothing, no object, or a role that is no text
        return None


def _found(record: msgspec.Raw) -> tuple[str | None, str | None, msgspec.Raw]:
    """The ids of learner and course that a rejected record has all the same, and its raw payload."""
    try:
        carrier = _CARRIER.decode(record)
    except NOT_READ:  # the record is no object
        return None, None, ABSENT
    return _id_of(carrier.user), _id_of(carrier.course), carrier.remote_data


def _id_of(raw: msgspec.Raw) -> str | None:
    try:
        value: str | None = coerce.read("id", _WITH_ID.decode(raw).id)
    except (*NOT_READ, coerce.Unreadable):
        return None
    return value


def _raw(rows: Sequence[tuple[str | None, str | None, bytes, datetime]]) -> pa.RecordBatch:
    return raw_batch(
        [user_id for user_id, _, _, _ in rows],
        [course_id for _, course_id, _, _ in rows],
        [payload for _, _, payload, _ in rows],
        "remote_data",
        [fetched_at for _, _, _, fetched_at in rows],
    )


def raw_batch(
    user_ids: Sequence[str | None],
    course_ids: Sequence[str | None],
    payloads: Sequence[bytes],
    source: Literal["remote_data", "roster", "raw"],
    fetched_at: Sequence[datetime],
) -> pa.RecordBatch:
    """A batch of `raw_enrollments`."""
    return table_batch(
        RAW_ENROLLMENTS,
        {
            "user_id": scalar_column(user_ids, "string"),
            "course_id": scalar_column(course_ids, "string"),
            "payload": scalar_column((payload.decode() for payload in payloads), "string"),
            "payload_sha256": scalar_column(
                (hashlib.sha256(payload).hexdigest() for payload in payloads), "string"
            ),
            "source": constant(source, "string", len(payloads)),
            "fetched_at": scalar_column(fetched_at, "timestamp"),
        },
    )


def _rejected(rows: Sequence[tuple[str, str, str | None, datetime]]) -> pa.RecordBatch:
    return table_batch(
        REJECTED_ENROLLMENTS,
        {
            "payload": scalar_column((payload for payload, _, _, _ in rows), "string"),
            "reason": scalar_column((reason for _, reason, _, _ in rows), "string"),
            "field": scalar_column((at for _, _, at, _ in rows), "string"),
            "fetched_at": scalar_column((fetched_at for _, _, _, fetched_at in rows), "timestamp"),
        },
    )
