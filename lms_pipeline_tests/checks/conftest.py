"""A data directory for the files that a check reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.checks.base import Finding, Subject, open_subject
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table
from lms_pipeline_tests.support.lake_files import FIRST, PROVENANCE, write

COUNTS = ("served", "carried", "roster", "rejected", "duplicates_identical", "duplicates_conflicting")


@dataclass
class PublishedFiles:
    """The files of the account `acme`."""

    data: DataDir
    day: date = FIRST

    def put(self, *rows: dict[str, Any], table: Table = UNIFIED_ENROLLMENTS, days: int = 0, **metadata: object) -> None:
        """Publish rows of the day, or of `days` later, with these entries in the file's metadata."""
        entries = PROVENANCE | {name: str(value) for name, value in metadata.items()}
        write(self.data.file(table, Partition("acme", self.day + timedelta(days=days))), table, *rows, metadata=entries)

    def put_pulled(self, *rows: dict[str, Any], **metadata: object) -> None:
        """Publish enrollments as a pull does: all were served, unless `metadata` has other counts."""
        counts: dict[str, Any] = {**dict.fromkeys(COUNTS, 0), "served": len(rows)}
        self.put(*rows, **{"key": "user_id,course_id", **counts, **metadata})

    def run(
        self, check: Callable[[Subject], Finding], table: Table = UNIFIED_ENROLLMENTS, days: int = 0, **options: Any
    ) -> Finding:
        """Run a check over a table of the day, or of `days` later."""
        partition = Partition("acme", self.day + timedelta(days=days))
        settings = Settings(data_dir=self.data.root)
        with open_subject(settings, self.data, partition) as open_table:
            subject = open_table(table)
            return check(replace(subject, options=AccountOptions(**options)))


@pytest.fixture
def files(tmp_path):
    return PublishedFiles(DataDir(tmp_path))
