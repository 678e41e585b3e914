"""Query parameters of the API: typed, validated, and written as the API reads them.

Belongs here: the parameters of Truto's page of `GET /unified/lms/course-enrollments` and the values they accept;
`docs/truto.md` names the test of each. Not here: paths (`request.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import date
from typing import Any, Literal, get_args

from lms_pipeline.errors import LmsPipelineError

Parameter = tuple[str, str]
ResponseFormat = Literal["unified", "raw", "normalized", "stream"]
"""Without `debug`, which the newest docs add: its body may hold credentials."""
Resource = Literal["course-enrollments", "users", "courses"]


class QueryError(LmsPipelineError):
    """A query that can't be sent; the message says why."""


@dataclass(frozen=True, slots=True)
class EmailFilter:
    """An e-mail address of a learner."""

    email: str | None = None
    is_primary: bool | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Only enrollments of this learner. Providers silently ignore filters that they can't apply; most apply the id."""

    id: str
    name: str | None = None
    emails: tuple[EmailFilter, ...] = ()


@dataclass(frozen=True, slots=True)
class CourseFilter:
    """Only enrollments in this course; as for `UserFilter`."""

    id: str
    title: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectQuery:
    """Parameters of a single record. What is None or empty is left out, and the server's default holds.

    Raises:
        QueryError: a value that the API could not accept, or would read as another.
    """

    account_id: str
    _: KW_ONLY
    response_format: ResponseFormat = "unified"
    ignore_remote_data: bool = False
    exclude_fields: tuple[str, ...] = ()
    """Top-level fields to leave out of each record."""
    remote_query: Mapping[str, Any] = field(default_factory=dict)
    """Parameters for the LMS behind Truto, passed on unchanged: texts, numbers, booleans, and lists and objects of them."""

    def __post_init__(self) -> None:
        if not self.account_id:
            raise QueryError("A query needs the id of an integrated account.")
        if self.response_format not in get_args(ResponseFormat):
            known = ", ".join(get_args(ResponseFormat))
            raise QueryError(f"The response format {self.response_format!r} can't be requested: it is one of {known}.")
        for name in self.exclude_fields:
            if not name or set(name) & set(",[]"):
                raise QueryError(f"{name!r} can't be excluded: a field's name has no comma and no bracket.")
        list(encode_parameters("remote_query", self.remote_query))

    def to_parameters(self) -> list[Parameter]:
        """Return the parameters in a fixed order, not encoded yet: `Request.query` does that."""
        return list(encode_parameters("", self._shared_values()))

    def _shared_values(self) -> dict[str, Any]:
        return {
            "integrated_account_id": self.account_id,
            "truto_response_format": None if self.response_format == "unified" else self.response_format,
            "truto_ignore_remote_data": self.ignore_remote_data or None,
            "truto_exclude_fields": self.exclude_fields,
            "remote_query": self.remote_query,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery(ObjectQuery):
    """Parameters of a list of one account.

    Raises:
        QueryError: as for `ObjectQuery`.
    """

    limit: int | None = None
    """Records in a page."""
    ignore_limit: bool = False
    user: UserFilter | None = None
    course: CourseFilter | None = None
    key_by: str | None = None
    """A unique field of the records: of two records with the same value the API sends one."""

    def __post_init__(self) -> None:
        super(ListQuery, self).__post_init__()
        limit: object = self.limit
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
            raise QueryError(f"A page of {limit!r} records can't be requested: the limit is a whole number from 1 on.")
        for name, filter_ in (("user", self.user), ("course", self.course)):
            if filter_ is not None and not filter_.id:
                raise QueryError(f"The enrollments of a {name} without an id can't be requested.")
        if self.key_by == "":
            raise QueryError("Records can't be keyed by a field without a name.")

    def to_parameters(self, cursor: str | None = None) -> list[Parameter]:
        """Return the parameters of one page in a fixed order, not encoded yet: `Request.query` does that."""
        values = {
            "integrated_account_id": self.account_id,
            "limit": self.limit,
            "next_cursor": cursor,
            "user": _list_fields(self.user),
            "course": _list_fields(self.course),
            "truto_key_by": self.key_by,
            "truto_ignore_limit": self.ignore_limit or None,
        }
        values |= self._shared_values()
        return list(encode_parameters("", {name: value for name, value in values.items() if value is not None}))


def _list_fields(filter_: UserFilter | CourseFilter | EmailFilter | None) -> dict[str, Any] | None:
    """Return the fields of a filter that have a value; `asdict` copies each one, which takes five times as long."""
    if filter_ is None:
        return None
    values = ((name, getattr(filter_, name)) for name in filter_.__match_args__)
    return {
        name: list(map(_list_fields, one)) if isinstance(one, tuple) else one for name, one in values if one is not None
    }


def encode_parameters(name: str, value: Any) -> Iterator[Parameter]:  # noqa: ANN401 (any JSON value)
    """Yield the parameters of a value: objects as `name[key]`, lists as `name[]`, booleans as `true`; None is left out.

    Of an object without a name, the keys are the names.

    Raises:
        QueryError: a value that a query can't hold, or a name that would be read as another.
    """
    match value:
        case None:
            return
        case str():
            yield name, value
        case Mapping():
            for key, inner in value.items():
                yield from encode_parameters(_nest(name, key), inner)
        case bool():
            yield name, "true" if value else "false"
        case float() if not math.isfinite(value):
            raise QueryError(f"{value} is no number that can stand in a query, as in {name}.")
        case int() | float():
            yield name, str(value)
        case date():
            yield name, value.isoformat()
        case Sequence() if not isinstance(value, bytes | bytearray):
            yield from _encode_items(name, value)
        case _:
            raise QueryError(f"A value of type {type(value).__name__} can't stand in a query, as in {name}.")


def _encode_items(name: str, values: Sequence[Any]) -> Iterator[Parameter]:
    for item in values:
        if isinstance(item, Sequence) and not isinstance(item, str):
            raise QueryError(f"A list in a list can't stand in a query, as in {name}.")
        yield from encode_parameters(f"{name}[]", item)


def _nest(name: str, key: object) -> str:
    if not isinstance(key, str) or not key or set(key) & set("[]"):
        raise QueryError(f"{key!r} can't be the name of a parameter: it is a text without brackets.")
    return f"{name}[{key}]" if name else key
