"""Bringing the registry up to what Truto lists.

What belongs here: the calls between the client and the registry, which the command line and the sensor share. An
integration is taken for an LMS by its category, by `LMS_INTEGRATIONS`, or by its capabilities.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from lms_pipeline.accounts.registry import Registry, is_lms
from lms_pipeline.demo_mark import DemoMark
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings
from lms_pipeline.truto.errors import TrutoError
from lms_pipeline.truto.models import IntegratedAccount

if TYPE_CHECKING:
    from lms_pipeline.truto.client import TrutoClient

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
