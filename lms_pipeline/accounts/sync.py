"""Synchronization of the registry with the accounts that Truto lists.

Belongs here: the requests and decisions that the command line and the sensor share. Not here: the registry file
(`registry.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from lms_pipeline.accounts.registry import Registry, is_lms
from lms_pipeline.settings import Settings
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
