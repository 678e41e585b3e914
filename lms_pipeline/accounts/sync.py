"""Synchronization of the registry with the accounts that Truto lists.

Belongs here: the requests and decisions that the command line and the sensor share. Not here: the registry file
(`registry.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from lms_pipeline.accounts.registry import (
    ALLOW_ACCOUNT_DROP_ONCE,
    UNCHANGED,
    AccountDropError,
    Registry,
    has_usable_id,
    is_lms,
)
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings
from lms_pipeline.storage.disk import read_changed_at
from lms_pipeline.storage.state import decode_note
from lms_pipeline.truto.errors import TrutoError
from lms_pipeline.truto.models import IntegratedAccount

if TYPE_CHECKING:
    from lms_pipeline.truto.client import TrutoClient

log = logging.getLogger(__name__)


class Refusal(msgspec.Struct, frozen=True):
    """Why the latest list of accounts was not used."""

    sentence: str
    at: datetime
    """When a list was first refused for this reason."""


def sync_with_truto(
    connect: Callable[[], AbstractContextManager[TrutoClient]],
    registry: Registry,
    settings: Settings,
    *,
    allow_drop: bool = False,
) -> list[str]:
    """Update the registry from the accounts that Truto lists. Return the ids of the new ones.

    An integration is an LMS by its category, by `LMS_INTEGRATIONS`, or by its capabilities, in this order. A list that
    lacks too many accounts changes nothing unless `allow_drop` is set, and is remembered for `read_refusal`.

    Raises:
        AccountDropError: the list is empty, ends before its announced length, or lacks more than half of the active
            accounts.
        WrongUseError: the data directory is the demo's, and this is a real Truto.
        SettingsError: there is no token.
        TrutoError: Truto does not answer, or refuses.
    """
    data = DataDir.open(settings)
    with connect() as client:
        listed, received, missing = client.fetch_account_list()
        known = {account.integration for account in registry.read_accounts()}
        integrations = [*settings.integrations, *_find_lms_integrations(client, listed, settings, known)]
    day = settings.calendar.find_latest_ended(settings.now())
    try:
        if not allow_drop:
            _check_length(received, missing)
        new = registry.sync(listed, integrations=integrations, day=day, allow_drop=allow_drop)
    except AccountDropError as error:
        _remember_refusal(data, Refusal(str(error), settings.now()))
        raise
    data.storage.state.remove_note(data.accounts_refused.name, "no list counts as refused")
    return new


def _check_length(received: int, missing: int) -> None:
    """Refuse a list that ends before its announced length.

    Raises:
        AccountDropError: with both numbers.
    """
    if missing:
        raise AccountDropError(
            f"Truto's list of accounts ends after {received:,} of the {received + missing:,} that it announced, "
            f"{UNCHANGED}: try again later; if it is whole, {ALLOW_ACCOUNT_DROP_ONCE}"
        )


def read_refusal(data: DataDir) -> Refusal | None:
    """Return why the latest list of accounts was refused; None if it was used, or none was read yet."""
    path = data.accounts_refused
    content = data.storage.state.read_note(path.name)
    if content is None:
        return None
    return decode_note(content, Refusal) or Refusal(
        "The latest list of accounts was refused: run `lms-pipeline accounts sync`.", read_changed_at(path)
    )


def _remember_refusal(data: DataDir, refusal: Refusal) -> None:
    state, known = data.storage.state, read_refusal(data)
    if known is not None and known.sentence == refusal.sentence:
        return
    with state.lock("accounts_refused"):
        state.write_note(data.accounts_refused.name, msgspec.json.encode(refusal))


def _find_lms_integrations(
    client: TrutoClient, listed: Sequence[IntegratedAccount], settings: Settings, known: Collection[str]
) -> Iterator[str]:
    """Yield the integrations that only their capabilities show to be LMSs.

    Capabilities belong to the integration, so one account of each is enough. If the request fails, an integration
    in `known` stays one.
    """
    others = {
        account.integration.name.lower(): account.id
        for account in listed
        if not is_lms(account, settings.integrations) and has_usable_id(account)
    }
    for integration, account_id in others.items():
        try:
            has_lms_model = client.fetch_capabilities(account_id).is_lms
        except TrutoError as error:
            has_lms_model = integration in known
            log.warning("Failed to read the capabilities of %s: %s", integration, error)
        if has_lms_model:
            yield integration
