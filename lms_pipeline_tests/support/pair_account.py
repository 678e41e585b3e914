"""One snapshot after the other of an account that answers for one learner and course at a time."""

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
from lms_pipeline_tests.support.snapshot_runs import Taker

Rows = list[dict[str, Any]]

LEARNERS, COURSES, EACH = 30, 10, 4
"""Of the portal that most tests ask."""
PAIRS = LEARNERS * EACH
LISTS = 2
"""Pages of the lists of users and courses, where both fit one page."""


class Days:
    """Takes the snapshot of one day after the other."""

    def __init__(self, root: Path, portal: Portal, sandbox: RunningSandbox) -> None:
        self.portal = portal
        self.sandbox = sandbox
        self.taker = Taker(root, sandbox.url, sandbox.token)

    def take(self, day: int, limits: Limits | None = None, **more) -> SnapshotResult:
        at = FIRST + timedelta(days=day)
        self.sandbox.set_clock(datetime.combine(at, time.max, UTC))
        self.sandbox.clear_counts()
        given = {"strategy": "roster"} | more.pop("options", {})
        return self.taker.take(
            account_id=PORTAL,
            day=at,
            now=datetime.combine(at + timedelta(days=1), time(1), UTC),
            run_id=more.pop("run_id", f"day-{day}"),
            options=AccountOptions(page_size=500, **given),
            limits=limits,
            **more,
        )

    def asked(self) -> Counter[str]:
        routes = self.sandbox.stats()["requests"].get(PORTAL, {})
        return Counter({route.removeprefix("GET /unified/lms/"): count for route, count in routes.items()})

    def rows(self, day: int) -> Rows:
        path = self.taker.file("unified_enrollments", self.date(day), PORTAL)
        rows: Rows = pq.read_table(path, partitioning=None).to_pylist()
        return rows

    def raw(self, day: int) -> Rows:
        path = self.taker.file("raw_enrollments", self.date(day), PORTAL)
        rows: Rows = pq.read_table(path, partitioning=None).to_pylist()
        return rows

    def path(self, file: str, day: int) -> Path:
        partition = Partition(PORTAL, self.date(day))
        if file == "details":
            return self.taker.data.details(partition)
        return self.taker.file(f"{file}_enrollments", self.date(day), PORTAL)

    def lose(self, day: int) -> None:
        for file in ("details", "raw", "unified"):
            self.path(file, day).unlink()

    def sources(self, day: int) -> Counter[str]:
        return Counter(row["source"] for row in self.rows(day))

    @staticmethod
    def date(day: int) -> date:
        return FIRST + timedelta(days=day)


def expected(portal: Portal, day: int) -> dict[tuple[str, str], dict[str, Any]]:
    """What users x courses would bring, from the portal itself."""
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


def stored(days: Days, day: int) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows, by pair, but for `source` and `fetched_at`; of the other columns none may hold anything."""
    names = set(next(iter(expected(days.portal, day).values())))
    rows = {}
    for row in days.rows(day):
        rows[row["user_id"], row["course_id"]] = {name: row[name] for name in names}
        others = set(row) - names - {"user_id", "course_id", "source", "fetched_at"}
        assert not any(row[name] for name in others)
    assert len(rows) == len(days.rows(day))
    return rows
