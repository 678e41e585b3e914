"""Bringing the registry up to what Truto lists.

What belongs here: the one call between the client and the registry, which the command line and the sensor share.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from lms_pipeline.demo_mark import DemoMark
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.registry import Registry
from lms_pipeline.settings import Settings

if TYPE_CHECKING:
    from lms_pipeline.truto.client import TrutoClient


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
    day = settings.calendar.latest_ended(settings.now())
    return registry.sync(listed, integrations=settings.integrations, day=day)
