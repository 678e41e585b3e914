"""The connection to Truto with the settings of this installation, which Dagster has as the resource `truto`.

Belongs here: how `Settings` become a client and the current time, and the order of what may stop or delay a request.
Not here: what is requested (`truto/client.py`, `extract/`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from lms_pipeline.days import WrongPresentError
from lms_pipeline.errors import SettingsError, WrongUseError
from lms_pipeline.lake.paths import DEMO_MARK, DataDir
from lms_pipeline.settings import LOOPBACK, Settings
from lms_pipeline.storage.disk import convert_disk_errors
from lms_pipeline.storage.state import read_json_note

if TYPE_CHECKING:
    from lms_pipeline.truto.client import TrutoClient
    from lms_pipeline.truto.request import Request
    from lms_pipeline.truto.store import ResponseStore
    from lms_pipeline.truto.transport import Gate


class TokenRefusedError(SettingsError):
    """Truto refused this token before; no request was sent."""


class RefusedTokenFlag:
    """A note that says which token Truto refused, shared by all processes of an installation."""

    def __init__(self, data: DataDir, token: str, base_url: str) -> None:
        self._state = data.storage.state
        self._name = data.token_refused.name
        digest = hashlib.sha256(f"{base_url} {token}".encode()).hexdigest()
        self._content = {"refused": digest[:16]}  # identifies the token without revealing it

    def check(self) -> None:
        """Return if this token was not refused.

        Raises:
            TokenRefusedError: it was.
        """
        if read_json_note(self._state, self._name, dict[str, str], "the token is tried again") == self._content:
            raise TokenRefusedError(
                "Truto does not accept the token, as another run has found out: check TRUTO_API_TOKEN; the next tick of the "
                "schedule, of `failed_days` or of `account_registry` tries it again, and so does `lms-pipeline accounts sync`."
            )

    def set(self) -> None:
        """Record that Truto refused the token."""
        with self._state.lock("token_refused"):
            self._state.write_note(self._name, msgspec.json.encode(self._content))

    def clear(self) -> None:
        """Record that Truto accepts the token."""
        self._state.remove_note(self._name, "no token counts as refused")


@dataclass(frozen=True)
class DemoMark:
    """A file that marks a data directory whose accounts are the sandbox's."""

    data: DataDir

    @property
    def path(self) -> Path:
        """The marker file."""
        return self.data.root / DEMO_MARK

    def is_set(self) -> bool:
        """Whether the demo ran in this directory."""
        return self.path.exists()

    def check_address(self, base_url: str) -> None:
        """Refuse to send the requests of the demo's accounts to a real Truto, or to add its accounts to the demo's.

        Raises:
            WrongUseError: the directory is the demo's, and `base_url` is not on this machine.
        """
        if self.is_set() and urlsplit(base_url).hostname not in LOOPBACK:
            raise WrongUseError(
                f"{self.data.root} belongs to the demo: choose another folder for your own accounts with LMS_DATA_DIR."
            )

    def set(self) -> None:
        """Mark the directory.

        Raises:
            WrongUseError: it holds accounts of a real Truto.
        """
        if self.data.registry.exists() and not self.is_set():
            raise WrongUseError(
                f"{self.data.root} holds accounts that are not the demo's: choose another folder for the demo with "
                "--data-dir."
            )
        with convert_disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()


MAX_CLOCK_DIFFERENCE = timedelta(seconds=2)
"""Difference that is none: a `Date` has whole seconds, and the response takes its time."""


@dataclass(frozen=True)
class Truto:
    """Connects to the API on demand: a run that needs no request needs no token."""

    settings: Settings

    def now(self) -> datetime:
        """Return the current time."""
        return self.settings.now()

    def check_settings(self) -> str:
        """Return the token, or refuse settings with which no request may be sent.

        Raises:
            SettingsError: there is no token.
            WrongUseError: the data directory is the demo's, and the settings name a real Truto.
        """
        DemoMark(DataDir.open(self.settings)).check_address(self.settings.base_url)
        return self.settings.require_token()

    @contextmanager
    def connect(self, gate: Gate | None = None, store: ResponseStore | None = None) -> Iterator[TrutoClient]:
        """Open a client. A connection with a gate is a pull, which continues in a later run after a wait over a minute.

        A request that isn't in the store passes, in this order:

        1. the refused-token flag, once, when a pull connects: no request with a token that Truto refused;
        2. the gate, which is the budget of a pull (`extract/budget.py`): calls per snapshot and per hour, hours in all;
        3. the rate limits of token and account (`truto/rate_limit.py`), shared by all processes of the installation;
        4. the account's cool-down (`truto/retry.py`), shared by the threads of this connection;
        5. the retry policy (`truto/retry.py`), which starts again at 2 for each further attempt.

        Raises:
            SettingsError: there is no token, or Truto refused it before; or a proxy of the environment can't be used.
            WrongUseError: the data directory is the demo's, and the settings name a real Truto.
            WrongPresentError: during a pull, another day is open by the server's clock. Not with LMS_NOW.
        """
        from lms_pipeline.truto.client import TrutoClient
        from lms_pipeline.truto.errors import TrutoError, is_refused_token
        from lms_pipeline.truto.network_environment import convert_network_setting_errors
        from lms_pipeline.truto.rate_limit import ApiRateLimits
        from lms_pipeline.truto.retry import RetryPolicy

        settings = self.settings
        token, data = self.check_settings(), DataDir.open(settings)
        refused_token = RefusedTokenFlag(data, token, settings.base_url)
        if gate is not None:
            refused_token.check()
        rate_limits = ApiRateLimits(
            data.storage.state,
            token,
            token_calls=settings.token_calls_per_10s,
            account_calls=settings.account_calls_per_10s,
        )
        is_compared = gate is not None and settings.frozen_now is None  # LMS_NOW is no clock

        def pass_gates(request: Request) -> None:
            if gate is not None:
                gate(request)
            rate_limits(request)

        with closing(rate_limits), ExitStack() as until_end:
            with convert_network_setting_errors():
                client = TrutoClient(
                    settings.base_url,
                    token,
                    store=store,
                    now=settings.now,
                    retry_policy=RetryPolicy(continues_later=gate is not None),
                    gate=pass_gates,
                    check_server_time=self._check_server_time if is_compared else None,
                )
            until_end.enter_context(client)
            try:
                yield client
            except TrutoError as error:
                if is_refused_token(error):
                    refused_token.set()
                raise
            if client.requests:
                refused_token.clear()

    def _check_server_time(self, server_now: datetime) -> None:
        """Refuse a clock by which another day is open than by the server's.

        Raises:
            WrongPresentError: with both times.
        """
        now, calendar = self.settings.now(), self.settings.calendar
        if abs(now - server_now) <= MAX_CLOCK_DIFFERENCE:
            return
        ours, theirs = calendar.find_open_day(now), calendar.find_open_day(server_now)
        if ours != theirs:
            raise WrongPresentError(
                f"The clock of this machine says {now:%Y-%m-%d %H:%M:%S} UTC and Truto's says "
                f"{server_now.astimezone(UTC):%Y-%m-%d %H:%M:%S}: by Truto's, {theirs or 'no day'} is open for a pull, "
                f"and not {ours or 'none'}; correct the clock, nothing is stored."
            )

    def check_token(self) -> None:
        """Send one request to see whether Truto accepts the token.

        Raises:
            SettingsError: there is none.
            WrongUseError: the data directory is the demo's, and the settings name a real Truto.
            TrutoError: Truto refuses it, or doesn't respond.
        """
        with self.connect() as client:
            next(client.fetch_accounts(limit=1), None)
