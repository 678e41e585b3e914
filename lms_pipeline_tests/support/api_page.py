"""What the vendor's page says of `GET /unified/lms/course-enrollments`, in plain Python over plain dicts.

Nothing here comes from the sandbox or the client: both are held against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
DEFAULT, MOST = 100, 500


@dataclass(frozen=True)
class Question:
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
    """A unified record, and what the provider said; None where it said nothing."""

    unified: Json
    remote: Json | None


def pages(enrollments: list[Enrollment], asked: Question) -> list[Any]:
    """What stands under `result`, page by page; of `stream`, the one list of all that is told."""
    chosen = [one for one in enrollments if _is_chosen(one, asked)]
    if asked.format == "stream":
        return [[one.remote for one in chosen[: _stream_limit(asked)]]]
    size = DEFAULT if asked.limit is None or asked.ignore_limit else min(asked.limit, MOST)
    starts = range(0, max(1, len(chosen)), size)
    return [_result(chosen[start : start + size], asked) for start in starts]


def _is_chosen(one: Enrollment, asked: Question) -> bool:
    told = one.remote or {}
    return (
        asked.user in {None, one.unified["user"]["id"]}
        and asked.course in {None, one.unified["course"]["id"]}
        and all(str(told[name]) == value for name, value in asked.remote_query.items() if name in told)
    )


def _stream_limit(asked: Question) -> int | None:
    return None if asked.limit is None or asked.ignore_limit else min(asked.limit, MOST)


def _result(chosen: list[Enrollment], asked: Question) -> Any:
    match asked.format:
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
        case _ if asked.key_by is not None:
            return {_key(one.unified, asked.key_by): _record(one, asked) for one in chosen}
        case _:
            return [_record(one, asked) for one in chosen]


def _record(one: Enrollment, asked: Question) -> Json:
    told = dict(one.unified)
    if one.remote is not None and not asked.ignore_remote_data:
        told["remote_data"] = one.remote
    return {name: value for name, value in told.items() if name not in asked.exclude}


def _key(unified: Json, name: str) -> str:
    """As JavaScript makes keys."""
    match unified.get(name, "undefined"):
        case None:
            return "null"
        case dict():
            return "[object Object]"
        case value:
            return str(value)
