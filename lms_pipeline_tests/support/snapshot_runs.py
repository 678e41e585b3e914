"""Snapshot runs in tests, against a sandbox or a scripted server, and the files that they publish.

The scripts of a server's responses belong to `scripted_server`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.days import Calendar
from lms_pipeline.extract.budget import Limits
from lms_pipeline.extract.checkpoint_copies import DEFAULT_INTERVAL_SECONDS
from lms_pipeline.extract.strategy_selection import Choice
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.snapshot.job import TABLES, SnapshotJob, SnapshotResult
from lms_pipeline.snapshot.run import take_snapshot
from lms_pipeline.storage.opening import Storage
from lms_pipeline.tables.pulled import Identity
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline.truto.store import ResponseStore
from lms_pipeline.truto.transport import Gate
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket
from lms_pipeline_tests.support.scripted_api import TOKEN, FakeTime, ReceivedRequest, ScriptedResponse, page, refusal

DAY = date(2026, 3, 1)
OPEN = datetime(2026, 3, 2, 1, tzinfo=UTC)
"""`DAY` has ended, and its grace period is running."""
CLOSED = datetime(2026, 3, 3, tzinfo=UTC)
"""The first instant after the grace period of `DAY`."""
CALENDAR = Calendar(ZoneInfo("UTC"))


@dataclass
class SnapshotRunner:
    """Runs snapshots into one data directory; the account is `acme` by default."""

    root: Path
    url: str
    token: str = TOKEN
    timeout: float = 60
    bucket: Path | None = None
    """The folder of a bucket, of which `root` has copies; without one, `root` has everything."""
    checkpoint_seconds: float = DEFAULT_INTERVAL_SECONDS
    storage: Storage | None = None
    """Where files and state are kept, if not in these folders."""

    @property
    def data(self) -> DataDir:
        if self.bucket is None:
            return DataDir(self.root, self.storage)
        return open_in_bucket(self.root, FolderBucket(self.root, self.bucket))

    def run(
        self,
        *,
        day: date = DAY,
        now: datetime = OPEN,
        clock: Callable[[], datetime] | None = None,
        run_id: str = "run-1",
        identity: Identity = "enrollment_id",
        tables: Iterable[str] = TABLES,
        options: AccountOptions | None = None,
        account_id: str = "acme",
        limits: Limits | None = None,
        remembered: Choice | None = None,
        may_carry: bool = True,
        allow_drop: bool = False,
        interrupted_runs: Iterable[str] = (),
        report_plan: Callable[[str], None] = lambda _text: None,
    ) -> SnapshotResult:
        """Run one snapshot at `now`, or at the time of `clock`; waits take no real time."""
        read_clock = clock or (lambda: now)
        job = SnapshotJob(
            account_id,
            day,
            run_id,
            identity,
            options or AccountOptions(page_size=2),
            frozenset(tables),
            limits or Limits(),
            remembered,
            may_carry,
            allow_drop,
            frozenset(interrupted_runs),
        )
        cooldowns = FakeTime().cooldowns()

        def connect(gate: Gate, store: ResponseStore) -> TrutoClient:
            return TrutoClient(
                self.url,
                self.token,
                store=store,
                now=read_clock,
                cooldowns=cooldowns,
                retry_policy=RetryPolicy(continues_later=True),
                gate=gate,
                timeout=self.timeout,
            )

        return take_snapshot(
            job,
            connect=connect,
            data=self.data,
            calendar=CALENDAR,
            now=read_clock,
            report_plan=report_plan,
            checkpoint_seconds=self.checkpoint_seconds,
        )

    def file(self, table: str, day: date = DAY, account_id: str = "acme") -> Path:
        """Return the path of the published file of a table."""
        return self.data.file(TABLES[table], Partition(account_id, day))

    def read_rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """Read the published rows as tuples of these columns."""
        read = pq.read_table(self.file(table), columns=list(columns)).to_pylist()
        return [tuple(row[column] for column in columns) for row in read]

    def read_metadata(self, table: str = "unified_enrollments") -> dict[str, str]:
        """Read the metadata of the published file of a table."""
        return read_metadata(self.file(table))

    def list_published_tables(self) -> list[str]:
        """List the tables of all published files, one name for each account and day."""
        return sorted(path.parts[-4] for path in self.data.lake.rglob("data.parquet"))

    def list_leftovers(self) -> list[str]:
        """List the names of temporary files and of scratch folders; a finished run leaves none."""
        hidden = [path for path in self.data.lake.rglob(".*") if path.is_file()]
        return [path.name for path in (*hidden, *self.data.state.rglob("waiting"))]


def respond_by_path(
    enrollments: Iterable[ScriptedResponse] = (),
    users: Iterable[ScriptedResponse] = (),
    courses: Iterable[ScriptedResponse] = (),
) -> Callable[[ReceivedRequest], ScriptedResponse]:
    """Return a script that serves the responses of each list in order, then empty last pages, and no method metadata."""
    remaining = {"course-enrollments": list(enrollments), "users": list(users), "courses": list(courses)}

    def respond(request: ReceivedRequest) -> ScriptedResponse:
        if "/meta/" in request.path:
            return refusal(404)
        responses = remaining[request.path.rpartition("/")[2]]
        return responses.pop(0) if responses else page()

    return respond


def respond_with_raw_list(
    enrollments: Iterable[Mapping[str, Any]], raw: Iterable[ScriptedResponse]
) -> Callable[[ReceivedRequest], ScriptedResponse]:
    """Return a script that serves enrollments on one page, the responses of the raw list in order, and empty other lists."""
    served, remaining = page(*enrollments), list(raw)

    def respond(request: ReceivedRequest) -> ScriptedResponse:
        if "/meta/" in request.path:
            return refusal(404)
        if not request.path.endswith("/course-enrollments"):
            return page()
        return remaining.pop(0) if ("truto_response_format", "raw") in request.query else served

    return respond


def record(user_id: str, course_id: str = "c1", **more: Any) -> dict[str, Any]:
    """Return an enrollment as the API serves it."""
    return {
        "id": f"{user_id}-{course_id}",
        "user": {"id": user_id},
        "course": {"id": course_id},
        "status": "enrolled",
    } | more
