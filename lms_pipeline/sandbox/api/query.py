"""Query parameters of the API: their names, defaults and limits.

The API ignores parameters that it doesn't know, and filters that a provider can't apply; so does this module.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lms_pipeline.sandbox.http import Format, bad_request

if TYPE_CHECKING:
    from lms_pipeline.sandbox.http import ParameterName, Parameters

DEFAULT_LIMIT = 100
MAX_LIMIT = 500


class Query(NamedTuple):
    """The parameters that all unified routes share, and the filters."""

    limit: int
    has_limit: bool
    cursor: str
    user_id: str | None
    course_id: str | None
    format: Format
    key_by: str | None
    ignore_remote_data: bool
    exclude_fields: frozenset[str]
    remote_query: tuple[tuple[ParameterName, str], ...]
    """Parameters for the provider, unchanged."""

    @property
    def filters(self) -> tuple[object, ...]:
        """The parameters that choose the records, in a fixed order; a cursor is valid while they stay the same."""
        return self.user_id, self.course_id, tuple(sorted(self.remote_query, key=itemgetter(0)))


def read_query(parameters: Parameters) -> Query:
    """Read the query of a unified route.

    Raises:
        Refusal: 400 for an invalid value.
    """
    limit = None if read_flag(parameters, "truto_ignore_limit") else read_limit(parameters)
    return Query(
        limit=DEFAULT_LIMIT if limit is None else limit,
        has_limit=limit is not None,
        cursor=parameters.get("next_cursor"),
        user_id=parameters.get("user", "id") or None,
        course_id=parameters.get("course", "id") or None,
        format=_read_format(parameters),
        key_by=parameters.get("truto_key_by") or None,
        ignore_remote_data=read_flag(parameters, "truto_ignore_remote_data") or False,
        exclude_fields=frozenset(parameters.get_list("truto_exclude_fields")),
        remote_query=tuple(parameters.get_nested("remote_query")),
    )


def read_limit(parameters: Parameters) -> int | None:
    """Return the page size in `limit`, at most `MAX_LIMIT`; None if it is missing."""
    text = parameters.get("limit")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or not text.strip("0"):
        raise bad_request("limit must be a positive integer")
    return MAX_LIMIT if len(text) > 18 else min(int(text), MAX_LIMIT)


def read_flag(parameters: Parameters, name: str) -> bool | None:
    """Return a boolean parameter; None if it is missing or empty."""
    text = parameters.get(name)
    if text not in {"", "true", "false"}:
        raise bad_request(f"{name} must be true or false")
    return None if not text else text == "true"


def _read_format(parameters: Parameters) -> Format:
    text = parameters.get("truto_response_format") or "unified"
    try:
        known: Format = msgspec.convert(text, Format)
    except msgspec.ValidationError:
        raise bad_request(f"truto_response_format {text} is not supported") from None
    return known
