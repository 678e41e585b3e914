"""The vendor's page of `GET /unified/lms/course-enrollments` as plain Python over plain dicts.

Nothing here comes from the sandbox or the client: the tests compare both with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
DEFAULT_LIMIT, MAX_LIMIT = 100, 500


@dataclass(frozen=True)
class PageQuery:
    """A combination of the page's parameters."""

    user: str | None = None
    course: str | None = None
    limit: int | None = None
    ignore_limit: bool = False
    format: str = "unified"
    key_by: str | None = None
    ignore_remote_data: bool = False
    exclude: tuple[str, ...] = ()
    remote_query: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Enrollment:
    """A unified record, and the record of the provider, if any."""

    unified: Json
    remote: Json | None


def pages(enrollments: list[Enrollment], query: PageQuery) -> list[Any]:
    """Return what stands under `result`, page by page; for `stream`, one list of all records."""
    chosen = [one for one in enrollments if _is_chosen(one, query)]
    if query.format == "stream":
        return [[one.remote for one in chosen[: _stream_limit(query)]]]
    size = DEFAULT_LIMIT if query.limit is None or query.ignore_limit else min(query.limit, MAX_LIMIT)
    starts = range(0, max(1, len(chosen)), size)
    return [_result(chosen[start : start + size], query) for start in starts]


def _is_chosen(one: Enrollment, query: PageQuery) -> bool:
    fields = one.remote or {}
    return (
        query.user in {None, one.unified["user"]["id"]}
        and query.course in {None, one.unified["course"]["id"]}
        and all(str(fields[name]) == value for name, value in query.remote_query.items() if name in fields)
    )


def _stream_limit(query: PageQuery) -> int | None:
    return None if query.limit is None or query.ignore_limit else min(query.limit, MAX_LIMIT)


def _result(chosen: list[Enrollment], query: PageQuery) -> Any:
    match query.format:
        case "raw":
            return [one.remote for one in chosen]
        case "normalized":
            return {
                "records": {
                    one.unified["id"]: one.unified
                    | {"user": one.unified["user"]["id"], "course": one.unified["course"]["id"]}
                    for one in chosen
                },
                "user": {one.unified["user"]["id"]: one.unified["user"] for one in chosen},
                "course": {one.unified["course"]["id"]: one.unified["course"] for one in chosen},
            }
        case _ if query.key_by is not None:
            return {_key(one.unified, query.key_by): _record(one, query) for one in chosen}
        case _:
            return [_record(one, query) for one in chosen]


def _record(one: Enrollment, query: PageQuery) -> Json:
    fields = dict(one.unified)
    if one.remote is not None and not query.ignore_remote_data:
        fields["remote_data"] = one.remote
    return {name: value for name, value in fields.items() if name not in query.exclude}


def _key(unified: Json, name: str) -> str:
    """Return the key that JavaScript makes of a value."""
    match unified.get(name, "undefined"):
        case None:
            return "null"
        case dict():
            return "[object Object]"
        case value:
            return str(value)
