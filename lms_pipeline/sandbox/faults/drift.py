"""Records whose types drifted.

What belongs here: the same values in other types, as mappings bring them that nobody checks. What the provider said
stays as it is.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lms_pipeline.sandbox.world import Record

_EXACT_DIGITS = 15
"""A longer number may lose digits as a float, and nobody could say what the id was."""


def drifted(record: Record) -> Record:
    """The record with every scalar of its unified part in another type, where there is one that keeps the value."""
    return record._replace(unified=msgspec.json.encode(_other(msgspec.json.decode(record.unified))))


def _other(value: Any) -> Any:  # noqa: ANN401 - any JSON
    match value:
        case dict():
            return {key: _other(of) for key, of in value.items()}
        case list():
            return [_other(of) for of in value]
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case str() if value.isascii() and value.isdecimal() and len(value) <= _EXACT_DIGITS:
            return int(value) if str(int(value)) == value else value
        case _:
            return value
