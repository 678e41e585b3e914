"""What can be asked of the API, typed, and how it is written into a URL.

What belongs here: the parameters of Truto's page of `GET /unified/lms/course-enrollments`, and what values they take.
How they are written is `encoding.py`; where each is tested, `docs/truto.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from datetime import date, datetime
from typing import Any, Literal, get_args

from lms_pipeline.errors import LmsPipelineError

Parameter = tuple[str, str]


class QueryError(LmsPipelineError):
    """A query that can't be asked; the message says why."""


def encoded(name: str | None, value: Any) -> Iterator[Parameter]:  # noqa: ANN401 - whatever can be told
    """The parameters that tell `value` under `name`; None is left out.

    Raises:
        QueryError: a value that a query can't hold, or a name that would be read as another.
    """
    match value:
        case None:
            return
        case Mapping():
            for key, inner in value.items():
                yield from encoded(_nested(name, key), inner)
        case str():
            yield name or "", value
        case bool():
            yield name or "", "true" if value else "false"
        case float() if not math.isfinite(value):
            raise QueryError(f"{value} is no number that can stand in a query, as in {name}.")
        case int() | float():
            yield name or "", str(value)
        case datetime() | date():
            yield name or "", value.isoformat()
        case Sequence() if not isinstance(value, bytes | bytearray):
            yield from _items(name, value)
        case _:
            raise QueryError(f"A value of type {type(value).__name__} can't stand in a query, as in {name}.")


def _items(name: str | None, values: Sequence[Any]) -> Iterator[Parameter]:
    for item in values:
        if isinstance(item, Sequence) and not isinstance(item, str):
            raise QueryError(f"A list in a list can't stand in a query, as in {name}.")
        yield from encoded(f"{name}[]", item)


def _nested(name: str | None, key: object) -> str:
    if not isinstance(key, str) or not key or set(key) & set("[]"):
        raise QueryError(f"{key!r} can't be the name of a parameter: it is a text without brackets.")
    return key if name is None else f"{name}[{key}]"


ResponseFormat = Literal["unified", "raw", "normalized", "stream"]
"""`debug`, which the newest docs add, is none of them: it may hold credentials."""
Resource = Literal["course-enrollments", "users", "courses"]
AccountStatus = Literal["active", "connecting", "post_install_error", "validation_error", "needs_reauth"]


@dataclass(frozen=True, slots=True)
class EmailFilter:
    """An e-mail address of a learner."""

    email: str | None = None
    is_primary: bool | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Whose enrollments. Filters that a provider can't apply are ignored without a word; the id is what most go by."""

    id: str
    name: str | None = None
    emails: tuple[EmailFilter, ...] = ()


@dataclass(frozen=True, slots=True)
class CourseFilter:
    """The enrollments in which course; as for `UserFilter`."""

    id: str
    title: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectQuery:
    """What can be asked of a single record. What is None or empty is left out, and the server's default holds.

    Raises:
        QueryError: a value that the API could not take, or that would not mean what it says.
    """

    account_id: str
    _: KW_ONLY
    response_format: ResponseFormat = "unified"
    ignore_remote_data: bool = False
    exclude_fields: tuple[str, ...] = ()
    """Fields to leave out of each record, by their names at its top."""
    remote_query: Mapping[str, Any] = field(default_factory=dict)
    """Parameters for the LMS behind Truto, passed on untouched: texts, numbers, booleans, and lists and objects of them."""

    def __post_init__(self) -> None:
        """Refuse what could not be sent, or would be read as something else."""
        if not self.account_id:
            raise QueryError("A query needs the id of an integrated account.")
        if self.response_format not in get_args(ResponseFormat):
            known = ", ".join(get_args(ResponseFormat))
            raise QueryError(
                f"The response format {self.response_format!r} can't be asked for: it is one of {known}."
            )
        for name in self.exclude_fields:
            if not name or set(name) & set(",[]"):
                raise QueryError(f"{name!r} can't be excluded: a field's name has no comma and no bracket.")
        list(encoded("remote_query", self.remote_query))

    def parameters(self) -> list[Parameter]:
        """The query in a fixed order; httpx percent-encodes names and values."""
        return list(encoded(None, self._told()))

    def _told(self) -> dict[str, Any]:
        return {
            "integrated_account_id": self.account_id,
            "truto_response_format": None if self.response_format == "unified" else self.response_format,
            "truto_ignore_remote_data": self.ignore_remote_data or None,
            "truto_exclude_fields": self.exclude_fields,
            "remote_query": self.remote_query,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery(ObjectQuery):
    """What can be asked of a list of one account.

    Raises:
        QueryError: as for `ObjectQuery`.
    """

    limit: int | None = None
    """Records in a page."""
    ignore_limit: bool = False
    user: UserFilter | None = None
    course: CourseFilter | None = None
    key_by: str | None = None
    """A field of the records; of two with the same value the API keeps one, so it has to be unique."""

    def __post_init__(self) -> None:
        """Refuse what could not be sent, or would be read as something else."""
        super(ListQuery, self).__post_init__()
        check_limit(self.limit)
        for name, asked in (("user", self.user), ("course", self.course)):
            if asked is not None and not asked.id:
                raise QueryError(f"The enrollments of a {name} without an id can't be asked for.")
        if self.key_by == "":
            raise QueryError("Records can't be keyed by a field without a name.")

    def parameters(self, cursor: str | None = None) -> list[Parameter]:
        """The query of one page, in a fixed order; httpx percent-encodes names and values."""
        told = {
            "integrated_account_id": self.account_id,
            "limit": self.limit,
            "next_cursor": cursor,
            "user": None if self.user is None else asdict(self.user),
            "course": None if self.course is None else asdict(self.course),
            "truto_key_by": self.key_by,
            "truto_ignore_limit": self.ignore_limit or None,
        }
        return list(encoded(None, {**told, **self._told()}))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsQuery:
    """Which integrated accounts are listed; all of them where nothing is told."""

    integration: str | None = None
    status: AccountStatus | None = None
    tenant_id: str | None = None
    is_sandbox: bool | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be sent, or would be read as something else."""
        check_limit(self.limit)
        if self.status is not None and self.status not in get_args(AccountStatus):
            raise QueryError(
                f"There is no status {self.status!r}: it is one of {', '.join(get_args(AccountStatus))}."
            )

    def parameters(self, cursor: str | None = None) -> list[Parameter]:
        """The query of one page."""
        told = {
            "integration.name": self.integration,
            "status": self.status,
            "tenant_id": self.tenant_id,
            "is_sandbox": self.is_sandbox,
            "limit": self.limit,
            "next_cursor": cursor,
        }
        return list(encoded(None, told))


def check_limit(limit: object) -> None:
    """Refuse a page of nothing.

    Raises:
        QueryError: the limit is no whole number from 1 on.
    """
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise QueryError(
            f"A page of {limit!r} records can't be asked for: the limit is a whole number from 1 on."
        )
