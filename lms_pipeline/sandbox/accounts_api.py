"""The routes below `/integrated-account`.

What belongs here: listing and finding accounts. An account is the same at every instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lms_pipeline.sandbox.bodies import page_body
from lms_pipeline.sandbox.cursors import listing_name, read_cursor, write_cursor
from lms_pipeline.sandbox.query import read_flag, read_limit
from lms_pipeline.sandbox.refusals import no_such_account

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.datastructures import QueryParams
    from starlette.requests import Request

    from lms_pipeline.sandbox.world import Account


class AccountsApi:
    """Answers about the accounts of a world."""

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts

    def list(self, request: Request) -> bytes:
        """`GET /integrated-account`."""
        parameters = request.query_params
        name = listing_name(request.url.path, parameters.multi_items())
        start, limit = read_cursor(name, parameters.get("next_cursor", "")), read_limit(parameters)
        matching = list(self._matching(parameters))
        page = matching[start : start + limit]
        following = write_cursor(name, start + limit) if start + limit < len(matching) else None
        return page_body(map(msgspec.json.encode, page), following)

    def get(self, request: Request) -> bytes:
        """`GET /integrated-account/{id}`."""
        account = self._accounts.get(request.path_params["id"])
        if account is None:
            raise no_such_account()
        return msgspec.json.encode(account)

    def _matching(self, parameters: QueryParams) -> Iterator[Account]:
        is_sandbox = read_flag(parameters, "is_sandbox")
        wanted = {key: parameters.get(key, "") for key in ("integration.name", "status", "tenant_id")}
        for account in self._accounts.values():
            actual = {
                "integration.name": account.integration.name,
                "status": account.status,
                "tenant_id": account.tenant_id,
            }
            told = all(not value or value == actual[key] for key, value in wanted.items())
            if told and is_sandbox in {None, account.is_sandbox}:
                yield account
