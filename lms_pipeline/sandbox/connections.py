"""The API token and the accounts, and their revocation while the sandbox runs."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lms_pipeline.sandbox.world import Account


class Connections:
    """The accepted token, and the accounts in the order of the world."""

    def __init__(self, token: str, accounts: Iterable[Account]) -> None:
        self._authorization = f"Bearer {token}".encode()
        self._is_token_revoked = False
        self._original = {account.id: account for account in accounts}
        self._accounts = dict(self._original)

    def is_authorized(self, authorization: str) -> bool:
        """Return whether this `Authorization` header is valid."""
        given = authorization.encode("latin-1", "replace")
        return hmac.compare_digest(given, self._authorization) and not self._is_token_revoked

    def find_account(self, account_id: str) -> Account | None:
        """Return the account in its present state."""
        return self._accounts.get(account_id)

    @property
    def accounts(self) -> list[Account]:
        """All accounts in their present state."""
        return list(self._accounts.values())

    def revoke_token(self) -> None:
        """Refuse the token from now on."""
        self._is_token_revoked = True

    def revoke_account(self, account_id: str) -> None:
        """Break an account's connection to its provider: its status becomes `needs_reauth`."""
        if (account := self._accounts.get(account_id)) is not None:
            self._accounts[account_id] = msgspec.structs.replace(account, status="needs_reauth")

    def restore(self) -> None:
        """Undo all revocations."""
        self._is_token_revoked = False
        self._accounts = dict(self._original)
