"""Daily snapshots of a portal whose API answers for one pair of learner and course at a time.

The portal itself, with its enrollments of each day, belongs to `portal`.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.extract.budget import Limits
from lms_pipeline.lake.paths import Partition
from lms_pipeline.sandbox import RunningSandbox
from lms_pipeline.snapshot.job import SnapshotResult
from lms_pipeline_tests.support.portal import BEGAN, FIRST, PORTAL, Portal
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner

Rows = list[dict[str, Any]]

LEARNERS, COURSES, COURSES_PER_LEARNER = 15, 5, 4
"""The size of the portal of most tests."""
PAIRS = LEARNERS * COURSES_PER_LEARNER
LIST_PAGES = 2
"""One page of users and one of courses."""


class PairAccount:
    """The account of a portal in a sandbox, with its snapshot of each day; days count from `FIRST`."""

    def __init__(self, root: Path, portal: Portal, sandbox: RunningSandbox) -> None:
        self.portal = portal
        self.sandbox = sandbox
        self.runner = SnapshotRunner(root, sandbox.url, sandbox.token)

    def run_day(self, day: int, limits: Limits | None = None, **more) -> SnapshotResult:
        """Run the snapshot of a day, by rosters unless `options` name another strategy."""
        date_of_day = self.date(day)
        self.sandbox.set_clock(datetime.combine(date_of_day, time.max, UTC))
        self.sandbox.clear_counts()
        options = {"strategy": "roster"} | more.pop("options", {})
        return self.runner.run(
            account_id=PORTAL,
            day=date_of_day,
            now=more.pop("now", datetime.combine(date_of_day + timedelta(days=1), time(1), UTC)),
            run_id=more.pop("run_id", f"day-{day}"),
            options=AccountOptions(page_size=500, **options),
            limits=limits,
            **more,
        )

    def count_calls(self) -> Counter[str]:
        """Count the calls of the latest run by route, without the common prefix of the routes."""
        routes = self.sandbox.stats()["requests"].get(PORTAL, {})
        return Counter({route.removeprefix("GET /unified/lms/"): count for route, count in routes.items()})

    def read_rows(self, day: int) -> Rows:
        """Read the published rows of `unified_enrollments`."""
        path = self.runner.file("unified_enrollments", self.date(day), PORTAL)
        rows: Rows = pq.read_table(path, partitioning=None).to_pylist()
        return rows

    def read_raw_rows(self, day: int) -> Rows:
        """Read the published rows of `raw_enrollments`."""
        path = self.runner.file("raw_enrollments", self.date(day), PORTAL)
        rows: Rows = pq.read_table(path, partitioning=None).to_pylist()
        return rows

    def path(self, file: str, day: int) -> Path:
        """Return the path of `details`, `raw` or `unified`."""
        partition = Partition(PORTAL, self.date(day))
        if file == "details":
            return self.runner.data.fingerprints_path(partition)
        return self.runner.file(f"{file}_enrollments", self.date(day), PORTAL)

    def delete_files(self, day: int) -> None:
        """Delete every file from which the next day carries over."""
        for file in ("details", "raw", "unified"):
            self.path(file, day).unlink()

    def count_sources(self, day: int) -> Counter[str]:
        """Count the published rows by their source."""
        return Counter(row["source"] for row in self.read_rows(day))

    @staticmethod
    def date(day: int) -> date:
        """Return the date of a day."""
        return FIRST + timedelta(days=day)


def build_expected_rows(portal: Portal, day: int) -> dict[tuple[str, str], dict[str, Any]]:
    """Build the rows of every enrollment of the portal, by pair, without the code under test."""
    rows = {}
    for one in portal.held(day):
        status = "completed" if one.percent == 100 else "in_progress" if one.percent else "enrolled"
        rows[one.user_id, one.course_id] = {
            "enrollment_id": f"{one.course_id}:{one.user_id}",
            "user_name": f"N{one.user_id}",
            "course_title": f"Course {one.course_id}",
            "status": status,
            "status_raw": status,
            "progress_percent": float(one.percent),
            "enrolled_at": BEGAN,
            "completed_at": one.changed_at if one.percent == 100 else None,
            "updated_at": one.changed_at,
            "time_spent_seconds": one.percent * 60,
            "role": "learner",
        }
    return rows


def read_stored_rows(account: PairAccount, day: int) -> dict[tuple[str, str], dict[str, Any]]:
    """Read the published rows by pair, without `source` and `fetched_at`, and assert that other columns are empty."""
    names = set(next(iter(build_expected_rows(account.portal, day).values())))
    rows = {}
    for row in account.read_rows(day):
        rows[row["user_id"], row["course_id"]] = {name: row[name] for name in names}
        others = set(row) - names - {"user_id", "course_id", "source", "fetched_at"}
        assert not any(row[name] for name in others)
    assert len(rows) == len(account.read_rows(day))
    return rows
