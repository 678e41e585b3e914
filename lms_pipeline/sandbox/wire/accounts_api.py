"""The routes of integrated accounts.

What belongs here: listing and finding accounts. What an account can do is `discovery_api.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lms_pipeline.sandbox.api.query import DEFAULT_LIMIT, read_flag, read_limit
from lms_pipeline.sandbox.http import no_such_account
from lms_pipeline.sandbox.pagination import Place, read_cursor, write_cursor
from lms_pipeline.sandbox.wire.answers import Answer, json_answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lms_pipeline.sandbox.state import Controls
    from lms_pipeline.sandbox.wire.asked import Asked
    from lms_pipeline.sandbox.wire.parameters import Parameters
    from lms_pipeline.sandbox.world import Account


class AccountsApi:
    """Answers about the accounts of a world."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls

    def list(self, asked: Asked) -> Answer:
        """`GET /integrated-account`."""
        parameters = asked.parameters
        limit = read_limit(parameters) or DEFAULT_LIMIT
        start = read_cursor(asked.route, parameters.text("next_cursor")).position
        matching = list(self._matching(parameters))
        following = start + limit
        more = following < len(matching)
        return json_answer(
            {
                self._controls.switches.accounts_under: matching[start:following],
                "next_cursor": write_cursor(asked.route, Place(following)) if more else None,
                "limit": limit,
            }
        )

    def get(self, asked: Asked) -> Answer:
        """`GET /integrated-account/{id}`."""
        account = self._controls.connections.account(asked.path_parameters["id"])
        if account is None:
            raise no_such_account()
        return json_answer(account)

    def _matching(self, parameters: Parameters) -> Iterator[Account]:
        is_sandbox = read_flag(parameters, "is_sandbox")
        integration = parameters.text("integration.name") or parameters.text("integration", "name")
        status, tenant_id = parameters.text("status"), parameters.text("tenant_id")
        for account in self._controls.connections.accounts():
            if (
                integration in {"", account.integration.name}
                and status in {"", account.status}
                and tenant_id in {"", account.tenant_id}
                and is_sandbox in {None, account.is_sandbox}
            ):
                yield account
