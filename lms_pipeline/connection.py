"""Connecting to Truto with the settings of this installation.

What belongs here: the one way from `Settings` to a client and the present, which Dagster hands out as the resource
`truto` and the command line uses as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lms_pipeline.settings import Settings

if TYPE_CHECKING:
    from lms_pipeline.truto.client import TrutoClient


@dataclass(frozen=True)
class Truto:
    """Connects to the API when somebody asks; a run that needs no call needs no token."""

    settings: Settings

    def now(self) -> datetime:
        """The present."""
        return self.settings.now()

    def connect(self) -> TrutoClient:
        """A client, to be used as a context manager.

        Raises:
            SettingsError: there is no token.
        """
        from lms_pipeline.truto.client import TrutoClient

        return TrutoClient(self.settings.base_url, self.settings.required_token(), now=self.settings.now)
