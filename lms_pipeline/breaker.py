"""The breaker: a token that was refused once is not tried again by every account in turn.

What belongs here: remembering that Truto refused the token. It is closed again by a call that succeeds, by another token,
and by hand, by removing its file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from lms_pipeline.errors import SettingsError
from lms_pipeline.lake.disk import disk_errors
from lms_pipeline.lake.paths import DataDir


class TokenRefusedError(SettingsError):
    """Truto doesn't accept the token; nothing was asked."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """Shared by all processes of a data directory."""

    data: DataDir

    def check(self, token: str, base_url: str) -> None:
        """Let pass, unless this very token was refused.

        Raises:
            TokenRefusedError: it was.
        """
        try:
            told = self.data.token_refused.read_bytes()
        except FileNotFoundError:
            return
        if told == self._mark(token, base_url):
            raise TokenRefusedError(
                "Truto does not accept the token, as another run has found out: check TRUTO_API_TOKEN; the next tick of "
                "the schedule tries it again, and so does `lms-pipeline accounts sync`."
            )

    def trip(self, token: str, base_url: str) -> None:
        """Remember that the token was refused."""
        path = self.data.token_refused
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._mark(token, base_url))

    def reset(self) -> None:
        """A token was accepted."""
        self.data.token_refused.unlink(missing_ok=True)

    def _mark(self, token: str, base_url: str) -> bytes:
        """What tells one token from another, and is none."""
        digest = hashlib.sha256(f"{base_url} {token}".encode()).hexdigest()
        return msgspec.json.encode({"refused": digest[:16]})
