"""Bringing the registry up to what Truto lists.

What belongs here: the calls between the client and the registry, which the command line and the sensor share. An
integration is taken for an LMS by its category, by `LMS_INTEGRATIONS`, or by its capabilities.
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


@dataclass(frozen=True)
class DemoMark:
    """A file that says that the accounts in a data directory are the sandbox's."""

    data: DataDir

    @property
    def path(self) -> Path:
        """The file."""
        return self.data.state / "demo"

    def is_set(self) -> bool:
        """Whether the demo ran here."""
        return self.path.exists()

    def check(self, base_url: str) -> None:
        """Refuse to bring accounts of a real Truto among the demo's.

        Raises:
            WrongUseError: the directory is a demo's, and the address is not of this machine.
        """
        if self.is_set() and urlsplit(base_url).hostname not in LOOPBACK:
            raise WrongUseError(
                f"{self.data.root} is the demo's: give your own accounts another folder with LMS_DATA_DIR."
            )

    def set(self) -> None:
        """Mark the directory.

        Raises:
            WrongUseError: it holds accounts of a real Truto.
        """
        if self.data.registry.exists() and not self.is_set():
            raise WrongUseError(
                f"{self.data.root} holds accounts that are not the demo's: give the demo a folder with --data-dir."
            )
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()


log = logging.getLogger(__name__)


def sync_with_truto(
    connect: Callable[[], AbstractContextManager[TrutoClient]], registry: Registry, settings: Settings
) -> list[str]:
    """Ask Truto for its accounts and update the registry. Returns the ids of the new ones.

    Raises:
        WrongUseError: the data directory is the demo's, and this is a real Truto.
        SettingsError: there is no token.
        TrutoError: no answer.
    """
    DemoMark(DataDir(settings.data_dir)).check(settings.base_url)
    with connect() as client:
        listed = list(client.integrated_accounts())
        known = {account.integration for account in registry.accounts()}
        integrations = [*settings.integrations, *_by_capabilities(client, listed, settings, known)]
    day = settings.calendar.latest_ended(settings.now())
    return registry.sync(listed, integrations=integrations, day=day)


def _by_capabilities(
    client: TrutoClient, listed: Sequence[IntegratedAccount], settings: Settings, known: Collection[str]
) -> Iterator[str]:
    """The integrations that neither category nor name tell of, but that have the unified LMS model.

    One account of each is asked: its capabilities are those of the integration. Where they can't be had, what is
    `known` stays in.
    """
    others = {of.integration.name.lower(): of.id for of in listed if not is_lms(of, settings.integrations)}
    for integration, account_id in others.items():
        try:
            is_in = client.capabilities(account_id).is_lms
        except TrutoError as error:
            is_in = integration in known
            log.warning("The capabilities of %s can't be had: %s", integration, error)
        if is_in:
            yield integration
