"""Synchronization of the registry with the accounts that Truto lists.

Belongs here: the requests and decisions that the command line and the sensor share, and the mark that keeps real
accounts out of the demo's data directory. Not here: the registry file (`registry.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lms_pipeline.accounts.registry import Registry, is_lms
from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.disk import disk_errors
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import LOOPBACK, Settings
from lms_pipeline.truto.errors import TrutoError
from lms_pipeline.truto.models import IntegratedAccount

if TYPE_CHECKING:
    from lms_pipeline.truto.client import TrutoClient

log = logging.getLogger(__name__)


def sync_with_truto(
    connect: Callable[[], AbstractContextManager[TrutoClient]], registry: Registry, settings: Settings
) -> list[str]:
    """Update the registry from the accounts that Truto lists. Return the ids of the new ones.

    An integration is an LMS by its category, by `LMS_INTEGRATIONS`, or by its capabilities, in this order.

    Raises:
        WrongUseError: the data directory is the demo's, and this is a real Truto.
        SettingsError: there is no token.
        TrutoError: Truto does not answer, or refuses.
    """
    DemoMark(DataDir(settings.data_dir)).check_address(settings.base_url)
    with connect() as client:
        listed = list(client.integrated_accounts())
        known = {account.integration for account in registry.read_accounts()}
        integrations = [*settings.integrations, *_find_lms_integrations(client, listed, settings, known)]
    day = settings.calendar.find_latest_ended(settings.now())
    return registry.sync(listed, integrations=integrations, day=day)


def _find_lms_integrations(
    client: TrutoClient, listed: Sequence[IntegratedAccount], settings: Settings, known: Collection[str]
) -> Iterator[str]:
    """Yield the integrations that only their capabilities show to be LMSs.

    Capabilities belong to the integration, so one account of each is enough. If the request fails, an integration
    in `known` stays one.
    """
    others = {
        account.integration.name.lower(): account.id for account in listed if not is_lms(account, settings.integrations)
    }
    for integration, account_id in others.items():
        try:
            has_lms_model = client.capabilities(account_id).is_lms
        except TrutoError as error:
            has_lms_model = integration in known
            log.warning("Failed to read the capabilities of %s: %s", integration, error)
        if has_lms_model:
            yield integration


@dataclass(frozen=True)
class DemoMark:
    """A file that marks a data directory whose accounts are the sandbox's."""

    data: DataDir

    @property
    def path(self) -> Path:
        """The marker file."""
        return self.data.state / "demo"

    def is_set(self) -> bool:
        """Whether the demo ran in this directory."""
        return self.path.exists()

    def check_address(self, base_url: str) -> None:
        """Refuse to add accounts of a real Truto to the demo's.

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
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
