"""The enrollments that metrics are computed from, which a pull may replace meanwhile.

Belongs here: reading the file's metadata, whether it is still what is published, and what a file of metrics was
computed from. Not here: its rows (`completion.py`).
"""

# No lock is held, since a pull would be refused. Nor is the file linked: a link stays if its process is killed, and the figures
# of a snapshot that was replaced must not be published in any case.

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

from lms_pipeline.accounts.rules import RULES_ENTRY
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.files import check_unchanged, check_version, read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.stored_footers import read_stored_metadata
from lms_pipeline.storage.disk import convert_disk_errors
from lms_pipeline.storage.local_store import sign_file
from lms_pipeline.storage.store import PublishedByAnotherError
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS

CHECK_SECONDS = 10.0
"""How often a bucket is checked for enrollments that another run has published: the metrics of a small account take less."""


class ReplacedSourceError(PublishedByAnotherError):
    """Another run has published the enrollments meanwhile: it computes their metrics."""

    may_pass = False
    sends_alert = False


class NoSnapshotError(LmsPipelineError):
    """There are no enrollments to compute metrics from."""


def read_source(metadata: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return what a file of metrics was computed from, by its metadata: the digest of the enrollments, and that of the rules."""
    return metadata.get("source_digest"), metadata.get(RULES_ENTRY)


class MetricSource:
    """A file of enrollments that several queries read: each opens it."""

    def __init__(self, data: DataDir, partition: Partition) -> None:
        """Fetch the file and look at its bytes.

        Raises:
            NoSnapshotError: the day was not pulled.
            LakeError: the file can't be read.
            StoreError: the store can't be used.
        """
        self._data, self.path = data, data.file(UNIFIED_ENROLLMENTS, partition)
        self._looked_at = time.monotonic()
        data.fetch([UNIFIED_ENROLLMENTS], [partition])
        self._signature = self._sign()
        if self._signature is None:
            raise NoSnapshotError(
                f"There is no snapshot of {partition}: materialize unified_enrollments of that day first."
            )
        self.metadata = read_metadata(self.path)
        check_version(self.path, self.metadata)
        check_unchanged(self.path)

    def check_current(self) -> None:
        """Return if the enrollments are still those that are published; in a bucket, if they were ten seconds ago.

        Raises:
            ReplacedSourceError: another run has published others since, or they were removed.
            LakeError: the file in the bucket is damaged.
            StoreError: the store can't be used.
        """
        if self._sign() != self._signature or self._is_replaced_in_bucket():
            raise ReplacedSourceError(
                f"{self._data.describe(self.path)} was published by another run meanwhile, or removed: this run publishes no "
                "more metrics of it."
            )

    def _sign(self) -> bytes | None:
        """Return the signature of the file on this machine; None without one."""
        with convert_disk_errors(self.path, "read"), suppress(FileNotFoundError):
            return sign_file(self.path)
        return None

    def _is_replaced_in_bucket(self) -> bool:
        """Return whether a bucket has another file than this machine. Two requests, which a small account does not send."""
        now = time.monotonic()
        if self._data.store.is_local or now - self._looked_at < CHECK_SECONDS:
            return False
        self._looked_at = now
        stored = read_stored_metadata(self._data.store, self._data.get_key(self.path)) or {}
        return stored.get("run_id") != self.metadata.get("run_id")
