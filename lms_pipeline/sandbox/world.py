"""The interface between the server and the data that it serves.

Belongs here: accounts, records, lists of records, and the protocol of a world. Not here: HTTP, cursors, formats.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from lms_pipeline.errors import LmsPipelineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class SandboxError(LmsPipelineError):
    """The sandbox can't start or can't be configured: a port in use, an unreadable records file, an unknown account."""


class Integration(msgspec.Struct, frozen=True):
    """The product behind an account."""

    id: str
    name: str
    category: str


class Account(msgspec.Struct, frozen=True):
    """An integrated account, as `GET /integrated-account` returns it."""

    id: str
    tenant_id: str
    status: str
    is_sandbox: bool
    integration: Integration
    created_at: datetime
    updated_at: datetime
    authentication_method: str = "api_key"
    context: Mapping[str, str] = {}
    """Variables of the connection. The real API puts secrets here, so clients must not keep it."""

    @property
    def requires_pair(self) -> bool:
        """Whether its provider returns an enrollment only for a learner and a course together."""
        return self.integration.name == "talentlms"


class Record(NamedTuple):
    """One object of the unified API, as the bytes of two JSON values."""

    unified: bytes
    """The unified object: not empty, and without `remote_data`."""
    remote: bytes | None
    """The provider's own object; None if the world has none."""


class Slice(NamedTuple):
    """Consecutive records of a list, and the position of the next record, or None at the end."""

    records: list[Record]
    next_position: int | None


class Listing:
    """The records `get_record(0)` to `get_record(length - 1)`, without those that are None.

    Records are built when they are served. A world that returns None for an absent record, instead of closing the
    gap, keeps all positions valid while the clock moves during a sweep.
    """

    def __init__(self, length: int, get_record: Callable[[int], Record | None]) -> None:
        self._length = length
        self._get_record = get_record

    @classmethod
    def of(cls, records: Sequence[Record]) -> Listing:
        """Return a list of records that exist already."""
        return cls(len(records), records.__getitem__)

    def filter(self, matches: Callable[[Record], bool]) -> Listing:
        """Return the matching records, each at its position in this list."""

        def get_record(position: int) -> Record | None:
            record = self._get_record(position)
            return record if record is not None and matches(record) else None

        return Listing(self._length, get_record)

    def read(self, start: int, limit: int) -> Slice:
        """Return at most `limit` records from position `start` on."""
        records: list[Record] = []
        for position in range(start, self._length):
            record = self._get_record(position)
            if record is None:
                continue
            if len(records) == limit:
                return Slice(records, position)
            records.append(record)
        return Slice(records, None)


class View(Protocol):
    """The state of an account at one instant."""

    def enrollments(self, user_id: str | None = None, course_id: str | None = None) -> Listing:
        """Return all enrollments, or those of a learner, of a course, or of both."""
        ...

    def users(self) -> Listing:
        """Return the users list."""
        ...

    def courses(self) -> Listing:
        """Return the courses list."""
        ...

    def user(self, user_id: str) -> Record | None:
        """Return one user; its provider's object may have more fields than in the list."""
        ...

    def course(self, course_id: str) -> Record | None:
        """Return one course; its provider's object may have more fields than in the list."""
        ...


class World(Protocol):
    """Accounts, and the state of each at any instant."""

    def accounts(self) -> Sequence[Account]:
        """Return all accounts; they are the same at every instant."""
        ...

    def view(self, account_id: str, at: datetime) -> View:
        """Return the state of one of `accounts()` at an instant in UTC."""
        ...


def convert_to_utc(instant: datetime) -> datetime:
    """Return the instant in UTC; a naive one is UTC already."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
