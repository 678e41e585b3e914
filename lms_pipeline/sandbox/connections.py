"""Who may ask, and which accounts there are.

What belongs here: the token, the accounts, and that both can be revoked while the sandbox runs.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lms_pipeline.sandbox.world import Account


class Connections:
    """The token that is accepted, and the accounts in the order of the world."""

    def __init__(self, token: str, accounts: Iterable[Account]) -> None:
        self._authorization = f"Bearer {token}".encode()
        self._is_token_revoked = False
        self._original = {account.id: account for account in accounts}
        self._accounts = dict(self._original)

    def accepts(self, authorization: str) -> bool:
        """Whether this `Authorization` header is good."""
        shown = authorization.encode("latin-1", "replace")
        return hmac.compare_digest(shown, self._authorization) and not self._is_token_revoked

    def account(self, account_id: str) -> Account | None:
        """The account as it is now."""
        return self._accounts.get(account_id)

    def accounts(self) -> list[Account]:
        """All accounts as they are now."""
        return list(self._accounts.values())

    def revoke_token(self) -> None:
        """Accept the token no more."""
        self._is_token_revoked = True

    def revoke(self, account_id: str) -> None:
        """Break an account's connection to its provider: its owner would have to connect it again."""
        if (account := self._accounts.get(account_id)) is not None:
            self._accounts[account_id] = msgspec.structs.replace(account, status="needs_reauth")

    def restore(self) -> None:
        """Take back all that was revoked."""
        self._is_token_revoked = False
        self._accounts = dict(self._original)
