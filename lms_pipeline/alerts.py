"""Messages to a webhook in the format of Slack's incoming messages, each sent once: failures, and counts once a day.

Belongs here: the message, the record of sent messages, and the request to the webhook, whose address is a secret:
whoever knows it can post there. Not here: what counts as a failure (`defs/`).
"""

from __future__ import annotations

import hashlib
import html
import logging
import re
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from urllib.parse import urlsplit

import httpx
import msgspec
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential

from lms_pipeline.concurrency import wait
from lms_pipeline.errors import LakeError, LmsPipelineError, StorageError
from lms_pipeline.lake.index import PublicationIndex
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.waiting import utc_now
from lms_pipeline.settings import LOOPBACK
from lms_pipeline.storage.state import read_json_note
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.truto.errors import is_transient
from lms_pipeline.truto.network_environment import convert_network_setting_errors

TIMEOUT_SECONDS = 10
"""Limit for connecting, and for each read and write."""
MAX_ATTEMPTS = 4
"""How often a message is sent at most: waits of 1, 2 and 4 s lie between."""
RETRY_SECONDS = 10.0
"""Time within which messages are sent again. Dagster evaluates a sensor for 60 s at most, and with it five failed runs."""
MAX_RECORD_AGE = timedelta(days=30)
"""Age from which on the record of a message is dropped, so that it does not grow forever: the message is sent again."""

_FIGURE = re.compile(r"(?<!status )(?<![\w./=-])\d[\d.,:-]*(?![\w/])")
"""A number, time or date that differs when the same failure occurs again. Ids, paths and statuses are none."""

log = logging.getLogger(__name__)


class AlertError(LmsPipelineError):
    """The webhook did not accept a message."""

    def __init__(self, sentence: str, *, may_pass: bool) -> None:
        super().__init__(sentence)
        self.may_pass = may_pass


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
        """The account and the cause, without its text and figures: what the record of sent messages knows it by."""
        cause = _FIGURE.sub("0", self.cause)
        return f"{self.account_id or ''} {hashlib.sha256(cause.encode()).hexdigest()[:16]}"


class SentMessage(msgspec.Struct, frozen=True):
    """What is recorded of a message."""

    since: str
    """Of a failure, the last day with a snapshot, or nothing; of another message, its day."""
    on: date
    """The day on which it was sent, in UTC."""


@dataclass(frozen=True, slots=True)
class Alerts:
    """Sends each failure once, until its account has published a newer snapshot; and other messages once a day."""

    data: DataDir
    address: str
    sleep: Callable[[float], None] = wait
    """Waits so many seconds before a message is sent again."""
    now: Callable[[], datetime] = utc_now
    retries_end: float = field(default_factory=lambda: time.monotonic() + RETRY_SECONDS)
    """When no message is sent again, so that a webhook that is down does not delay each of many messages."""

    def is_late(self) -> bool:
        """Whether so much time has passed that no message is sent again."""
        return time.monotonic() >= self.retries_end

    def send_once(self, failure: RunFailure) -> bool:
        """Send a failure unless it was sent before. Return whether it was sent now.

        Raises:
            AlertError: the webhook did not accept the message, in no attempt. It does not count as sent.
            SettingsError: a proxy of the environment can't be used.
        """
        since = self._find_last_published(failure.account_id)
        return self._send_unless(failure.key, since, failure.text)

    def send_daily(self, key: str, day: date, text: str) -> bool:
        """Send a message unless one with this key was sent for this day or a later one. Return whether it was sent now.

        Raises:
            AlertError: the webhook did not accept the message, in no attempt. It does not count as sent.
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
                sent = self._read_sent()
            except StorageError as error:
                log.warning("An alert is sent although it may have been sent before: %s", error)
                self._send(text)
                return True
            recorded = sent[key].since if key in sent else None
            if recorded == since or (is_newer_only and (recorded or "") > since):
                return False
            self._send(text)
            sent[key] = SentMessage(since, self.now().date())
            state.write_note(name, msgspec.json.encode(sent))
        return True

    def _read_sent(self) -> dict[str, SentMessage]:
        """Return the record of sent messages without the old ones."""
        state, name = self.data.storage.state, self.data.sent_alerts.name
        found = read_json_note(state, name, dict[str, SentMessage | str], "each failure is sent once more") or {}
        today = self.now().date()
        # an earlier version recorded `since` only
        sent = {key: SentMessage(one, today) if isinstance(one, str) else one for key, one in found.items()}
        return {key: one for key, one in sent.items() if today - one.on < MAX_RECORD_AGE}

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
            with suppress(LakeError, StorageError):  # the folders can't be listed either
                published = self.data.find_partitions(UNIFIED_ENROLLMENTS, account_id)
                return max((partition.day.isoformat() for partition in published), default="")
            return ""

    def _send(self, text: str) -> None:
        """Send a message, and again while the failure may pass and time is left.

        Raises:
            AlertError: the last attempt failed, too.
            SettingsError: a proxy of the environment can't be used.
        """
        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, AlertError) and error.may_pass),
            stop=self._should_stop,
            wait=wait_exponential(),
            sleep=self.sleep,
            reraise=True,
        )
        retrying(self._post, text)

    def _should_stop(self, attempts: RetryCallState) -> bool:
        return attempts.attempt_number >= MAX_ATTEMPTS or self.is_late()

    def _post(self, text: str) -> None:
        try:
            with convert_network_setting_errors():
                needs_proxy = urlsplit(self.address).hostname not in LOOPBACK
                client = httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=needs_proxy)
            # the status says enough: a body may have no end
            with client, client.stream("POST", self.address, json={"text": text}) as response:
                pass
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            may_pass = isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)
            sentence = "The alert can't be sent: LMS_ALERT_WEBHOOK can't be reached."
            raise AlertError(sentence, may_pass=may_pass) from None
        if not response.is_success:
            status = response.status_code
            sentence = f"The alert can't be sent: LMS_ALERT_WEBHOOK answers with status {status}."
            raise AlertError(sentence, may_pass=is_transient(status))


def _has_snapshot(index: PublicationIndex, day: date) -> bool:
    return any(one.has_file(UNIFIED_ENROLLMENTS.name) for one in index.find(day=day))
