"""What every fault has: whom it strikes, when, and the places where it can take hold of a request.

What belongs here: the interface. The faults are `refusing.py`, `paging.py`, `spoiling.py` and `sending.py`, by the
place where they take hold; which of them are due is `script.py`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from lms_pipeline.sandbox.connections import Connections
    from lms_pipeline.sandbox.pagination import Place
    from lms_pipeline.sandbox.wire.answers import Answer
    from lms_pipeline.sandbox.wire.asked import Asked
    from lms_pipeline.sandbox.wire.pages import Page

LISTS = frozenset(f"/unified/lms/{name}" for name in ("course-enrollments", "users", "courses"))
Count = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


def _tag(name: str) -> str:
    """`ShiftedPage` is written `shifted_page`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Fault(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="fault", tag=_tag
):
    """Strikes the requests that it concerns; does nothing by itself."""

    account: str | None = None
    """The id of the account; None for any, and for requests that name none."""
    route: str | None = None
    """A route as `/unified/lms/users/{id}`, or one path below it as `/unified/lms/users/7`; None for any."""
    after: Count = 0
    """So many of the requests that it concerns pass first."""
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """How many requests it strikes; None for no end."""
    rate: Share = 1.0
    """The share of requests that it strikes, drawn at random from the script's seed."""

    only_with_cursor: ClassVar[bool] = False
    """Whether it concerns the second page and later ones alone."""
    only_in_lists: ClassVar[bool] = False
    """Whether it concerns the lists of the unified model alone."""

    @property
    def kind(self) -> str:
        """Its name in scripts."""
        return str(self.__struct_config__.tag)

    def concerns(self, asked: Asked) -> bool:
        """Whether it is about such a request at all."""
        if self.only_in_lists and asked.route not in LISTS:
            return False
        if self.only_with_cursor and not asked.parameters.text("next_cursor"):
            return False
        return self.account in {None, asked.account_id} and self.route in {None, asked.route, asked.path}

    def refuse(self, asked: Asked, connections: Connections) -> None:
        """Before anything is looked up; may raise a `Refusal`."""

    def begin(self, place: Place) -> Place:
        """Where a page begins."""
        return place

    def turn(self, page: Page) -> Page:
        """A page of a list, before it is written."""
        return page

    def spoil(self, answer: Answer) -> Answer:
        """A finished answer, before it is sent."""
        return answer

    def send(self, answer: Answer, usual: ASGIApp) -> ASGIApp:  # noqa: ARG002 - for those that send it themselves
        """How an answer goes over the socket."""
        return usual
