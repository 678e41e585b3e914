"""Integrated accounts as Truto lists them.

What belongs here: reading them; of their `context`, where credentials may be, nothing is read. Which of them we pull
is the registry's to say.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import msgspec

log = logging.getLogger(__name__)


class Integration(msgspec.Struct, frozen=True):
    """The product behind an account."""

    name: str = ""
    category: str | None = None


class IntegratedAccount(msgspec.Struct, frozen=True):
    """One connected product of one tenant."""

    id: str
    tenant_id: str | None = None
    status: str = "active"
    is_sandbox: bool | None = None
    integration: Integration = Integration()


_DECODER = msgspec.json.Decoder(IntegratedAccount)


def read_accounts(records: Sequence[msgspec.Raw]) -> Iterator[IntegratedAccount]:
    """The accounts of a page; one that can't be read is left out and logged without its contents."""
    for record in records:
        try:
            yield _DECODER.decode(record)
        except msgspec.DecodeError as error:
            log.warning("An integrated account can't be read and is left out: %s", error)
