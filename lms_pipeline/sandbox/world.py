"""What the server asks of a world, and the plain things that a world answers with.

What belongs here: the interface between the wire and what is served over it. A world knows nothing of HTTP:
no cursors, no statuses, no formats. The server knows nothing of where a record comes from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from lms_pipeline.sandbox.listing import Listing


class Integration(msgspec.Struct, frozen=True):
    """The product behind an account."""

    id: str
    name: str
    category: str


class Account(msgspec.Struct, frozen=True):
    """An integrated account as `GET /integrated-account` tells it."""

    id: str
    tenant_id: str
    status: str
    is_sandbox: bool
    integration: Integration
    created_at: datetime
    updated_at: datetime
    authentication_method: str = "api_key"
    context: Mapping[str, str] = {}
    """Variables of the connection, among which secrets may be; nobody but the account's owner has a use for them."""

    @property
    def demands_pair(self) -> bool:
        """Whether its provider tells an enrollment only to who asks for a learner in a course."""
        return self.integration.name == "talentlms"


class Record(NamedTuple):
    """One object of the unified API, as the bytes of two JSON values."""

    unified: bytes
    """The unified object, never empty and without `remote_data`."""
    remote: bytes | None
    """What the provider said; None where the world doesn't know."""


class View(Protocol):
    """An account as it is at one instant."""

    def enrollments(self, user_id: str | None = None, course_id: str | None = None) -> Listing:
        """The enrollments, or those of a learner, of a course, or of the pair."""
        ...

    def users(self) -> Listing:
        """The users list."""
        ...

    def courses(self) -> Listing:
        """The courses list."""
        ...

    def user(self, user_id: str) -> Record | None:
        """A user asked for by id: its provider may tell more of it than in the list."""
        ...

    def course(self, course_id: str) -> Record | None:
        """A course asked for by id: its provider may tell more of it than in the list."""
        ...


class World(Protocol):
    """Accounts, and the state of each at any instant."""

    def accounts(self) -> Sequence[Account]:
        """All accounts, whatever the instant."""
        ...

    def view(self, account_id: str, at: datetime) -> View:
        """The account's state at an instant in UTC; the account is one of `accounts()`."""
        ...
