"""Connecting to Truto with the settings of this installation.

What belongs here: the one way from `Settings` to a client and the present, which Dagster hands out as the resource
`truto` and the command line uses as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lms_pipeline.breaker import Breaker
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings

if TYPE_CHECKING:
    from lms_pipeline.truto.client import TrutoClient
    from lms_pipeline.truto.request import Wanted
    from lms_pipeline.truto.transport import Gate


LONGEST_OF_A_PULL = 3_600.0
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
        from lms_pipeline.truto.rate_limit import Pacing, Tiers
        from lms_pipeline.truto.waits import Patience

        settings = self.settings
        token, breaker = settings.required_token(), Breaker(DataDir(settings.data_dir))
        if gate is not None:
            breaker.check(token, settings.base_url)
        tiers = Tiers(settings.token_calls_per_10s, settings.account_calls_per_10s)
        pacing = Pacing(DataDir(settings.data_dir).budgets, token, tiers)
        patience = Patience() if gate is None else Patience(longest=LONGEST_OF_A_PULL)

        def pass_both(wanted: Wanted) -> None:
            if gate is not None:
                gate(wanted)
            pacing(wanted)

        with (
            closing(pacing),
            TrutoClient(
                settings.base_url, token, now=settings.now, patience=patience, gate=pass_both
            ) as client,
        ):
            try:
                yield client
            except TrutoError as error:
                if error.status == 401 and not error.remote:
                    breaker.trip(token, settings.base_url)
                raise
            if client.requests:
                breaker.reset()

    def check_token(self) -> None:
        """See with one call that the token is accepted.

        Raises:
            SettingsError: there is none.
            TrutoError: it isn't accepted, or Truto doesn't answer.
        """
        from lms_pipeline.truto.query import AccountsQuery

        with self.connect() as client:
            next(client.integrated_accounts(AccountsQuery(limit=1)), None)
