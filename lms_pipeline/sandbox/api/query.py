"""What a request asks for, read from its parameters.

What belongs here: names, defaults and limits of the query parameters. Parameters that the API has and that are not
read here are taken and ignored, as the API does with filters that a provider can't apply.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from lms_pipeline.sandbox.http import bad_request

if TYPE_CHECKING:
    from lms_pipeline.sandbox.wire.parameters import Name, Parameters

DEFAULT_LIMIT = 100
MAX_LIMIT = 500

Format = Literal["unified", "raw", "normalized", "stream", "debug"]


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
    remote_query: tuple[tuple[Name, str], ...]
    """What the provider is asked besides, untouched."""

    @property
    def filters(self) -> tuple[object, ...]:
        """What chooses the records: a cursor holds as long as this stays the same, in whatever order it is asked."""
        return self.user_id, self.course_id, tuple(sorted(self.remote_query, key=itemgetter(0)))


def read_query(parameters: Parameters) -> Query:
    """Read the query of a unified route.

    Raises:
        Refusal: 400, where a value can't be read.
    """
    limit = read_limit(parameters)
    ignore_limit = read_flag(parameters, "truto_ignore_limit") or False
    return Query(
        limit=DEFAULT_LIMIT if limit is None or ignore_limit else limit,
        has_limit=limit is not None and not ignore_limit,
        cursor=parameters.text("next_cursor"),
        user_id=parameters.text("user", "id") or None,
        course_id=parameters.text("course", "id") or None,
        format=_format(parameters),
        key_by=parameters.text("truto_key_by") or None,
        ignore_remote_data=read_flag(parameters, "truto_ignore_remote_data") or False,
        exclude_fields=frozenset(parameters.items("truto_exclude_fields")),
        remote_query=tuple(parameters.below("remote_query")),
    )


def read_limit(parameters: Parameters) -> int | None:
    """How many records a page may have: `limit`, and never more than `MAX_LIMIT`; None where it isn't told."""
    text = parameters.text("limit")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or not text.strip("0"):
        raise bad_request("limit must be a positive integer")
    return MAX_LIMIT if len(text) > 18 else min(int(text), MAX_LIMIT)


def read_flag(parameters: Parameters, name: str) -> bool | None:
    """A boolean parameter; None where it is missing or empty."""
    text = parameters.text(name)
    if text not in {"", "true", "false"}:
        raise bad_request(f"{name} must be true or false")
    return None if not text else text == "true"


def _format(parameters: Parameters) -> Format:
    told = parameters.text("truto_response_format") or "unified"
    try:
        known: Format = msgspec.convert(told, Format)
    except msgspec.ValidationError:
        raise bad_request(f"truto_response_format {told} is not supported") from None
    return known
