"""Connecting to Truto with the settings of this installation.

What belongs here: the one way from `Settings` to a client and the present, and the order of what may stop or delay a
request. Dagster hands it out as the resource `truto`; the command line uses it as it is.
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
    from lms_pipeline.truto.store import ResponseStore
    from lms_pipeline.truto.transport import Gate

MAX_PULL_WAIT_SECONDS = 3_600.0
"""Of one wait: an LMS limits its calls by the hour, and says when the next hour begins."""


class TokenRefusedError(SettingsError):
    """Truto refused this token before; no request was sent."""


@dataclass(frozen=True, slots=True)
class RefusedTokenFlag:
    """A file that says which token Truto refused, shared by all processes of a data directory."""

    data: DataDir

    def check(self, token: str, base_url: str) -> None:
        """Return if this token was not refused.

        Raises:
            TokenRefusedError: it was.
        """
        try:
            refused = self.data.token_refused.read_bytes()
        except FileNotFoundError:
            return
        if refused == self._fingerprint(token, base_url):
            raise TokenRefusedError(
                "Truto does not accept the token, as another run has found out: check TRUTO_API_TOKEN; the next tick of "
                "the schedule tries it again, and so does `lms-pipeline accounts sync`."
            )

    def set(self, token: str, base_url: str) -> None:
        """Record that Truto refused the token."""
        path = self.data.token_refused
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")), atomic_write(path) as new:
                new.write_bytes(self._fingerprint(token, base_url))

    def clear(self) -> None:
        """Record that Truto accepts the token."""
        self.data.token_refused.unlink(missing_ok=True)

    def _fingerprint(self, token: str, base_url: str) -> bytes:
        """Return what identifies a token without revealing it."""
        digest = hashlib.sha256(f"{base_url} {token}".encode()).hexdigest()
        return msgspec.json.encode({"refused": digest[:16]})


@dataclass(frozen=True)
class Truto:
    """Connects to the API on demand: a run that needs no request needs no token."""

    settings: Settings

    def now(self) -> datetime:
        """Return the present."""
        return self.settings.now()

    @contextmanager
    def connect(self, gate: Gate | None = None, store: ResponseStore | None = None) -> Iterator[TrutoClient]:
        """Open a client. A connection with a gate is a pull: it may wait an hour where a server demands it.

        A request that isn't in the store passes, in this order:

        1. the refused-token flag, once, when a pull connects: no request with a token that Truto refused;
        2. the gate, which is the budget of a pull (`extract/budget.py`): calls per snapshot and per hour, hours in all;
        3. the rate limits of token and account (`truto/rate_limit.py`), shared by all processes of the machine;
        4. the account's cool-down (`truto/retry.py`), shared by the threads of the process;
        5. the retry policy (`truto/retry.py`), which starts again at 2 for each further attempt.

        Raises:
            SettingsError: there is no token, or Truto refused it before.
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
        retry_policy = RetryPolicy() if gate is None else RetryPolicy(max_wait_seconds=MAX_PULL_WAIT_SECONDS)

        def pass_gates(request: Request) -> None:
            if gate is not None:
                gate(request)
            rate_limits(request)

        with (
            closing(rate_limits),
            TrutoClient(
                settings.base_url, token, store=store, now=settings.now, retry_policy=retry_policy, gate=pass_gates
            ) as client,
        ):
            try:
                yield client
            except TrutoError as error:
                if error.status == 401 and not error.is_remote:
                    refused_token.set(token, settings.base_url)
                raise
            if client.requests:
                refused_token.clear()

    def check_token(self) -> None:
        """Send one request to see whether Truto accepts the token.

        Raises:
            SettingsError: there is none.
            TrutoError: Truto refuses it, or doesn't answer.
        """
        from lms_pipeline.truto.query import AccountsQuery

        with self.connect() as client:
            next(client.integrated_accounts(AccountsQuery(limit=1)), None)
