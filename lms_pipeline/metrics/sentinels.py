"""Count the timestamps of stored enrollments that meant "no date" when they were read.

Belongs here: finding them in `extra`, where `transform/reader.py` and `transform/rosters.py` keep them. Not here: what a
sentinel is (`transform/timestamps.py`).
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from lms_pipeline.transform.coerce import OptionalRaw, SentinelDateError, UnreadableValueError, read_value
from lms_pipeline.transform.rosters import EPOCHS, read_epoch
from lms_pipeline.transform.shapes import ENROLLMENT
from lms_pipeline.truto.raw_json import DECODE_ERRORS

_TIMESTAMPS = tuple(name for name, kind in ENROLLMENT.record.fields.items() if kind == "timestamp")
_KEPT = msgspec.json.Decoder(
    msgspec.defstruct("_Kept", [(name, OptionalRaw, msgspec.UNSET) for name in (*_TIMESTAMPS, *EPOCHS)])
)


def count_sentinel_dates(extra: str) -> int:
    """Return how many timestamps in the `extra` of an enrollment mean "no date"; others in it are unreadable."""
    try:
        kept = _KEPT.decode(extra)
    except DECODE_ERRORS:
        return 0
    raws = ((name, getattr(kept, name)) for name in kept.__struct_fields__)
    return sum(_is_sentinel(name, bytes(raw)) for name, raw in raws if raw is not msgspec.UNSET)


@lru_cache(maxsize=1_000)
def _is_sentinel(name: str, json: bytes) -> bool:
    """Return whether the JSON of a field means "no date". An LMS has few such values, and sends them in every record."""
    raw = msgspec.Raw(json)
    try:
        read_epoch(raw) if name in EPOCHS else read_value("timestamp", raw)
    except UnreadableValueError as error:
        return isinstance(error, SentinelDateError)
    return False
