"""Messages to a webhook in the format of Slack's incoming messages, each sent once: failures, and counts once a day.

Belongs here: the message, the record of sent messages, and the request to the webhook, whose address is a secret:
whoever knows it can post there. Not here: what counts as a failure (`defs/`).
"""

from __future__ import annotations

import hashlib
import html
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date

import httpx
import msgspec

from lms_pipeline.errors import LakeError, LmsPipelineError, StorageError
from lms_pipeline.lake.index import PublicationIndex
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.storage.state import read_json_note
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.truto.network_environment import convert_network_setting_errors

TIMEOUT_SECONDS = 10
"""Limit for connecting, and for each read and write."""

log = logging.getLogger(__name__)


class AlertError(LmsPipelineError):
    """The webhook did not accept a message."""


@dataclass(frozen=True, slots=True)
class RunFailure:
    """A run that failed."""

    account_id: str | None
    """None if the run is of no single account, like a build of the warehouse."""
    what: str
    """What failed, like `Northwind on 2026-03-10`."""
    cause: str
    """One sentence, without secrets."""
    run_id: str

    @property
    def text(self) -> str:
        """The message. Slack treats `&`, `<` and `>` as control characters, so they are escaped."""
        return html.escape(f"{self.what} failed: {self.cause} (run {self.run_id[:8]})", quote=False)

    @property
    def key(self) -> str:
        """The account and the cause, without its text: what the record of sent messages knows it by."""
        return f"{self.account_id or ''} {hashlib.sha256(self.cause.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Alerts:
    """Sends each failure once, until its account has published a newer snapshot; and other messages once a day."""

    data: DataDir
    address: str

    def send_once(self, failure: RunFailure) -> bool:
        """Send a failure unless it was sent before. Return whether it was sent now.

        Raises:
            AlertError: the webhook did not accept the message. The next call sends it again.
            SettingsError: a proxy of the environment can't be used.
        """
        since = self._find_last_published(failure.account_id)
        return self._send_unless(failure.key, since, failure.text)

    def send_daily(self, key: str, day: date, text: str) -> bool:
        """Send a message unless one with this key was sent for this day or a later one. Return whether it was sent now.

        Raises:
            AlertError: the webhook did not accept the message. The next call sends it again.
            SettingsError: a proxy of the environment can't be used.
        """
        return self._send_unless(key, day.isoformat(), html.escape(text, quote=False), is_newer_only=True)

    def _send_unless(self, key: str, since: str, text: str, *, is_newer_only: bool = False) -> bool:
        """Send a message and record `since`, unless it is recorded already; with `is_newer_only` unless it is later.

        Without the database of the state it is sent and not recorded: that may be the failure to send.
        """
        state, name = self.data.storage.state, self.data.sent_alerts.name
        with ExitStack() as held:
            try:
                held.enter_context(state.lock("alerts"))
                sent = read_json_note(state, name, dict[str, str], "each failure is sent once more") or {}
            except StorageError as error:
                log.warning("An alert is sent although it may have been sent before: %s", error)
                self._send(text)
                return True
            recorded = sent.get(key)
            if recorded == since or (is_newer_only and (recorded or "") > since):
                return False
            self._send(text)
            state.write_note(name, msgspec.json.encode(sent | {key: since}))
        return True

    def _find_last_published(self, account_id: str | None) -> str:
        """Return the last day with a snapshot of this account, or of any account for None."""
        from lms_pipeline.lake.index_sync import read_index  # imports Arrow, which few processes need here

        def find(index: PublicationIndex) -> str:
            if account_id is not None:
                return str(
                    max(index.find_account_days(UNIFIED_ENROLLMENTS.name, account_id).get(account_id, ()), default="")
                )
            days = (day for day in reversed(index.find_days()) if _has_snapshot(index, day))
            return str(next(days, ""))

        try:
            return read_index(self.data, find, is_compared=False, may_build=False)
        except (LakeError, StorageError) as error:  # the disk is full, for example: that is the failure to send
            log.warning("The folders of the snapshots are listed for an alert: %s", error)
            published = self.data.find_partitions(UNIFIED_ENROLLMENTS, account_id)
            return max((partition.day.isoformat() for partition in published), default="")

    def _send(self, text: str) -> None:
        try:
            with convert_network_setting_errors():
                client = httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False)
            # the status says enough: a body may have no end
            with client, client.stream("POST", self.address, json={"text": text}) as response:
                pass
        except (httpx.HTTPError, httpx.InvalidURL):
            raise AlertError("The alert can't be sent: LMS_ALERT_WEBHOOK can't be reached.") from None
        if not response.is_success:
            raise AlertError(f"The alert can't be sent: LMS_ALERT_WEBHOOK answers with status {response.status_code}.")


def _has_snapshot(index: PublicationIndex, day: date) -> bool:
    return any(one.has_file(UNIFIED_ENROLLMENTS.name) for one in index.find(day=day))
