"""Connecting to Truto with the settings of this installation.

What belongs here: the one way from `Settings` to a client and the present, which Dagster hands out as the resource
`truto` and the command line uses as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from filelock import FileLock

from lms_pipeline.errors import SettingsError
from lms_pipeline.lake.disk import atomic_write, disk_errors
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings

if TYPE_CHECKING:
    from lms_pipeline.truto.client import TrutoClient
    from lms_pipeline.truto.request import Request
    from lms_pipeline.truto.transport import Gate


class TokenRefusedError(SettingsError):
    """Truto doesn't accept the token; nothing was asked."""


@dataclass(frozen=True, slots=True)
class RefusedTokenFlag:
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
            with FileLock(path.with_suffix(".lock")), atomic_write(path) as new:
                new.write_bytes(self._mark(token, base_url))

    def reset(self) -> None:
        """A token was accepted."""
        self.data.token_refused.unlink(missing_ok=True)

    def _mark(self, token: str, base_url: str) -> bytes:
        """What tells one token from another, and is none."""
        digest = hashlib.sha256(f"{base_url} {token}".encode()).hexdigest()
        return msgspec.json.encode({"refused": digest[:16]})


MAX_PULL_WAIT_SECONDS = 3_600.0
"""Seconds: an LMS counts its calls by the hour, and says when the next one begins."""


@dataclass(frozen=True)
class Truto:
    """Connects to the API when somebody asks; a run that needs no call needs no token."""

    settings: Settings

    def now(self) -> datetime:
        """The present."""
        return self.settings.now()

    @contextmanager
    def connect(self, gate: Gate | None = None) -> Iterator[TrutoClient]:
        """A client that keeps to Truto's limits, after the `gate`, if any.

        With a gate it is a pull: it waits as long as an hour where a server asks for it, and doesn't begin where the
        token was refused before. Without, somebody waits for the answer.

        Raises:
            SettingsError: there is no token, or it was refused before.
        """
        from lms_pipeline.truto.client import TrutoClient
        from lms_pipeline.truto.errors import TrutoError
        from lms_pipeline.truto.rate_limit import ApiRateLimits, Tiers
        from lms_pipeline.truto.retry import RetryPolicy

        settings = self.settings
        token, refused_token = settings.require_token(), RefusedTokenFlag(DataDir(settings.data_dir))
        if gate is not None:
            refused_token.check(token, settings.base_url)
        tiers = Tiers(settings.token_calls_per_10s, settings.account_calls_per_10s)
        rate_limits = ApiRateLimits(DataDir(settings.data_dir).budgets, token, tiers)
        retry_policy = RetryPolicy() if gate is None else RetryPolicy(longest=MAX_PULL_WAIT_SECONDS)

        def pass_both(request: Request) -> None:
            if gate is not None:
                gate(request)
            rate_limits(request)

        with (
            closing(rate_limits),
            TrutoClient(
                settings.base_url, token, now=settings.now, retry_policy=retry_policy, gate=pass_both
            ) as client,
        ):
            try:
                yield client
            except TrutoError as error:
                if error.status == 401 and not error.remote:
                    refused_token.trip(token, settings.base_url)
                raise
            if client.requests:
                refused_token.reset()

    def check_token(self) -> None:
        """See with one call that the token is accepted.

        Raises:
            SettingsError: there is none.
            TrutoError: it isn't accepted, or Truto doesn't answer.
        """
        from lms_pipeline.truto.query import AccountsQuery

        with self.connect() as client:
            next(client.integrated_accounts(AccountsQuery(limit=1)), None)
