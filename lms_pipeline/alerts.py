"""Telling people of failures, over a webhook that takes Slack's incoming messages.

What belongs here: the message, what was told already, and sending it. When something has failed is Dagster's to say. The
address is a secret: whoever knows it can write there.
"""

from __future__ import annotations

import hashlib
import html
from dataclasses import dataclass

import httpx
import msgspec
from filelock import FileLock

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.disk import atomic_write, disk_errors
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS

TIMEOUT = 10
"""Seconds for a message to be taken."""


class AlertError(LmsPipelineError):
    """A message was not taken."""


@dataclass(frozen=True, slots=True)
class RunFailure:
    """A run that failed."""

    account_id: str | None
    """None where it is no account's, as of the warehouse."""
    what: str
    """What failed, as `Northwind on 2026-03-10`."""
    cause: str
    """One sentence, without secrets."""
    run_id: str

    @property
    def text(self) -> str:
        """The message; Slack reads three letters as its own."""
        return html.escape(f"{self.what} failed: {self.cause} (run {self.run_id[:8]})", quote=False)


@dataclass(frozen=True, slots=True)
class Alerts:
    """Tells each trouble once, until its account has published something again."""

    data: DataDir
    address: str

    def tell(self, trouble: RunFailure) -> bool:
        """Whether the trouble was news, and was told.

        Raises:
            AlertError: the message was not taken; the next failure tells again.
        """
        path = self.data.sent_alerts
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                told = msgspec.json.decode(path.read_bytes(), type=dict[str, str]) if path.exists() else {}
                key, since = self._key(trouble), self._last_published(trouble.account_id)
                if told.get(key) == since:
                    return False
                self._send(trouble.text)
                with atomic_write(path) as new:
                    new.write_bytes(msgspec.json.encode(told | {key: since}))
        return True

    @staticmethod
    def _key(trouble: RunFailure) -> str:
        cause = hashlib.sha256(trouble.cause.encode()).hexdigest()[:16]
        return f"{trouble.account_id or ''} {cause}"

    def _last_published(self, account_id: str | None) -> str:
        """The last day with a snapshot; of all accounts where none is named."""
        days = [str(one.day) for one in self.data.partitions(UNIFIED_ENROLLMENTS, account_id)]
        return max(days, default="")

    def _send(self, text: str) -> None:
        try:
            answer = httpx.post(self.address, json={"text": text}, timeout=TIMEOUT, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL):
            raise AlertError("A failure can't be told: LMS_ALERT_WEBHOOK can't be reached.") from None
        if not answer.is_success:
            raise AlertError(
                f"A failure can't be told: LMS_ALERT_WEBHOOK answers with status {answer.status_code}."
            )
