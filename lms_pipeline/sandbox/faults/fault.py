"""The base class of faults: which requests one strikes, and the points of a request at which it can act."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from lms_pipeline.sandbox.connections import Connections
    from lms_pipeline.sandbox.http import Request, Response
    from lms_pipeline.sandbox.pagination import Page, Place

LISTS = frozenset(f"/unified/lms/{name}" for name in ("course-enrollments", "users", "courses"))
Count = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


def _build_tag(name: str) -> str:
    """Return the name of a class in scripts: `shifted_page` for `ShiftedPage`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Fault(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="fault", tag=_build_tag
):
    """Selects the requests to strike; a subclass overrides the methods by which it acts."""

    account: str | None = None
    """The id of the account; None for any, and for requests that name none."""
    route: str | None = None
    """A route as `/unified/lms/users/{id}`, or one path below it as `/unified/lms/users/7`; None for any."""
    after: Count = 0
    """The number of matching requests that pass before the first one is struck."""
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """The number of requests to strike; None for no limit."""
    rate: Share = 1.0
    """The share of requests to strike, drawn at random from the script's seed."""

    only_with_cursor: ClassVar[bool] = False
    """Whether it matches only the second and later pages."""
    only_in_lists: ClassVar[bool] = False
    """Whether it matches only the lists of the unified model."""

    @property
    def kind(self) -> str:
        """Its name in scripts."""
        return str(self.__struct_config__.tag)

    def matches(self, request: Request) -> bool:
        """Return whether the request is one that it can strike."""
        if self.only_in_lists and request.route not in LISTS:
            return False
        if self.only_with_cursor and not request.parameters.get("next_cursor"):
            return False
        return self.account in {None, request.account_id} and self.route in {
            None,
            request.route,
            request.path,
        }

    def refuse(self, request: Request, connections: Connections) -> None:
        """Act before the handler; may raise a `Refusal`."""

    def move_start(self, place: Place) -> Place:
        """Return where the page starts."""
        return place

    def change_page(self, page: Page) -> Page:
        """Return the page to encode."""
        return page

    def change_response(self, response: Response) -> Response:
        """Return the response to send."""
        return response

    def wrap_app(self, app: ASGIApp, response: Response) -> ASGIApp:  # noqa: ARG002 - for those that send it
        """Return the application that sends the response; `app` sends it as usual."""
        return app
