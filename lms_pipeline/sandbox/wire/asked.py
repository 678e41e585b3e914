"""A request as the handlers see it.

What belongs here: what is read of a request before anything is decided.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from lms_pipeline.sandbox.wire.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Scope

    from lms_pipeline.sandbox.faults.fault import Fault


class Asked:
    """A request, the route it came to, and the faults that strike it."""

    def __init__(self, scope: Scope, route: str | None) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.route = route or self.path
        """With the ids left out, as `/unified/lms/users/{id}`."""
        self.query_string: str = scope["query_string"].decode("latin-1")
        self.path_parameters: dict[str, str] = scope["path_params"]
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.faults: Sequence[Fault] = ()

    @property
    def authorization(self) -> str:
        """The header; empty where there is none."""
        found = (value for name, value in self._headers if name == b"authorization")
        return next(found, b"").decode("latin-1")

    @cached_property
    def parameters(self) -> Parameters:
        """The query."""
        return Parameters(self.query_string)

    @cached_property
    def account_id(self) -> str | None:
        """The account that the request names, if any."""
        if self.route.startswith("/integrated-account/"):
            return self.path_parameters.get("id") or None
        return self.parameters.text("integrated_account_id") or None
