"""What a request asks for, read from its query.

What belongs here: names, defaults and limits of the query parameters. Parameters that the API has and that are not
read here are taken and ignored, as the API does with filters that a provider can't apply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from lms_pipeline.sandbox.refusals import bad_request

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

DEFAULT_LIMIT = 100
MAX_LIMIT = 500

Format = Literal["unified", "raw"]


class Query(NamedTuple):
    """The parameters that all unified routes share, and the two filters of the enrollments."""

    limit: int
    cursor: str
    user_id: str | None
    course_id: str | None
    format: Format
    ignore_remote_data: bool


def read_query(parameters: QueryParams) -> Query:
    """Read the query of a unified route.

    Raises:
        Refusal: 400, where a value can't be read.
    """
    return Query(
        limit=read_limit(parameters),
        cursor=parameters.get("next_cursor", ""),
        user_id=parameters.get("user[id]") or None,
        course_id=parameters.get("course[id]") or None,
        format=_format(parameters),
        ignore_remote_data=read_flag(parameters, "truto_ignore_remote_data") or False,
    )


def read_limit(parameters: QueryParams) -> int:
    """How many records a page may have: `limit`, and never more than `MAX_LIMIT`."""
    text = parameters.get("limit", "")
    if not text:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit()) or not text.strip("0"):
        raise bad_request("limit must be a positive integer")
    return MAX_LIMIT if len(text) > len(str(MAX_LIMIT)) else min(int(text), MAX_LIMIT)


def read_flag(parameters: QueryParams, name: str) -> bool | None:
    """A boolean parameter; None where it is missing or empty."""
    text = parameters.get(name, "")
    if text not in {"", "true", "false"}:
        raise bad_request(f"{name} must be true or false")
    return None if not text else text == "true"


def _format(parameters: QueryParams) -> Format:
    match parameters.get("truto_response_format", "") or "unified":
        case "unified":
            return "unified"
        case "raw":
            return "raw"
        case other:
            raise bad_request(f"truto_response_format {other} is not supported")
