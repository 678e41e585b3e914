"""Raw records that were requested in Truto's raw format: their rows, and the ids and the role in them.

Belongs here: what a provider's own record says about its enrollment. Not here: raw payloads that come inside a unified
record (`enrollments.py`), the requests (`extract/raw_format.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import pyarrow as pa

from lms_pipeline.tables.pulled import RAW_COURSE_NAMES, RAW_ENROLLMENT_ID_NAMES, RAW_USER_NAMES
from lms_pipeline.transform.coerce import read_object_id, read_value_or_none
from lms_pipeline.transform.columns import build_array, replace_blank
from lms_pipeline.transform.enrollments import RawColumns, build_raw_batch, read_raw_roles
from lms_pipeline.truto.raw_json import read_object
from lms_pipeline.truto.response import is_too_large

ROLES = pa.schema({name: pa.string() for name in ("enrollment_id", "user_id", "course_id", "role")})
"""Columns of the ids and roles of raw records, which `dedupe.py` joins with the enrollments."""

_ID_SUFFIXES = ("_id", "Id")


@dataclass(frozen=True, slots=True)
class RawListBatches:
    """Raw records of one response."""

    raw: pa.RecordBatch
    """Rows of `raw_enrollments`."""
    roles: pa.RecordBatch
    """Ids and role of each record, in the columns of `ROLES`."""


def build_raw_list_batches(records: Sequence[msgspec.Raw], fetched_at: datetime) -> RawListBatches:
    """Return the rows of the records of a raw list. A null is no record; one that is too large is left out, and so missing."""
    ids: list[tuple[str | None, str | None, str | None]] = []
    found: list[msgspec.Raw] = []
    for record in records:
        if is_too_large(record):
            continue
        if bytes(record) == b"null":
            continue
        members = read_object(record)
        user_id, course_id = read_raw_id(members, RAW_USER_NAMES), read_raw_id(members, RAW_COURSE_NAMES)
        ids.append((_read_enrollment_id(members), user_id, course_id))
        found.append(record)
    enrollment_ids, user_ids, course_ids = zip(*ids, strict=True) if ids else ((), (), ())
    raw = RawColumns()
    raw.extend(user_ids, course_ids, found, [fetched_at] * len(found))
    columns = [enrollment_ids, user_ids, course_ids, read_raw_roles(found)]
    arrays = [replace_blank(build_array(values, "string")) for values in columns]
    return RawListBatches(build_raw_batch(raw, "raw"), pa.RecordBatch.from_arrays(arrays, schema=ROLES))


def read_raw_id(members: Mapping[str, msgspec.Raw], names: Sequence[str]) -> str | None:
    """Return the id that a raw record has under one of these names: as `user_id` or `userId`, or as `user.id`."""
    for name in names:
        for suffix in _ID_SUFFIXES:
            found: str | None = read_value_or_none("id", members.get(f"{name}{suffix}", msgspec.UNSET))
            if found is not None:
                return found
        if (found := read_object_id(members.get(name, msgspec.UNSET))) is not None:
            return found
    return None


def _read_enrollment_id(members: Mapping[str, msgspec.Raw]) -> str | None:
    """Return the id of the enrollment itself; a plain `id` counts if no other name says more."""
    for name in RAW_ENROLLMENT_ID_NAMES:
        found: str | None = read_value_or_none("id", members.get(name, msgspec.UNSET))
        if found is not None:
            return found
    return None
