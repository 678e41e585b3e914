"""Two nights of an account, step by step, over any store: what each step returns, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.checks.base import Check, Subject, open_subject
from lms_pipeline.checks.metrics import METRIC_CHECKS
from lms_pipeline.checks.snapshot import PULL_CHECKS
from lms_pipeline.housekeeping.cleanup import find_expired, remove
from lms_pipeline.housekeeping.policy import RetentionPolicy
from lms_pipeline.housekeeping.wrong_snapshots import remove_snapshot
from lms_pipeline.lake.files import read_stored_metadata
from lms_pipeline.lake.index_sync import read_index
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.roll_up import find_outdated_days, roll_up_day
from lms_pipeline.metrics.completion import publish_metrics
from lms_pipeline.metrics.portfolio import publish_portfolio
from lms_pipeline.metrics.portfolio_days import find_portfolio_changes, remember_changes
from lms_pipeline.report.content import build_content
from lms_pipeline.sandbox import RunningSandbox
from lms_pipeline.settings import Settings
from lms_pipeline.snapshot.job import SnapshotJob
from lms_pipeline.snapshot.run import replay_snapshot
from lms_pipeline.storage.opening import Storage
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.pulled import REJECTED_ENROLLMENTS
from lms_pipeline_tests.support.bucket import wipe
from lms_pipeline_tests.support.lake_files import publish
from lms_pipeline_tests.support.pair_account import PairAccount
from lms_pipeline_tests.support.portal import PORTAL, Portal
from lms_pipeline_tests.support.snapshot_runs import CALENDAR

DAYS = (0, 20)
"""The metrics of the second day are compared with the first one, and its pull carries enrollments over."""
EARLIER, LATER = map(PairAccount.date, DAYS)
STEPS = [
    *(name for day in DAYS for name in (f"pull {day}", f"checks {day}", f"metrics {day}", f"metric checks {day}")),
    *("portfolio", "roll-up", "report", "published", "indexed", "kept", "replay", "replayed", "housekeeping"),
    *("roll-up again", "removal", "removed", "index of removed"),
]
"""The names of the steps, in their order."""


@dataclass
class Nights:
    """The nights of one installation."""

    data: DataDir
    account: PairAccount
    settings: Settings
    is_wiped: bool
    """Whether each step runs on a machine without local copies."""

    def pull(self, day: int) -> list[Any]:
        result = self.account.run_day(day)
        return [result.requests, result.rows.carried, result.pairs.planned, [one.rows for one in result.published]]

    def keep(self, day: int) -> list[Any]:
        closed = datetime.combine(PairAccount.date(day + 2), datetime.min.time(), UTC)
        result = self.account.runner.run(account_id=PORTAL, day=PairAccount.date(day), now=closed, run_id="late")
        return [result.kept, [one.rows for one in result.published]]

    def check(self, checks: tuple[Check[Subject], ...], partition: Partition) -> list[Any]:
        with open_subject(self.settings, self.data, partition) as open_table:
            findings = [check.run(open_table(check.tables[0])) for check in checks]
        return [one for one in findings if "bytes_free" not in one.figures]  # which change meanwhile

    def compute(self, partition: Partition) -> list[Any]:
        published = publish_metrics(
            self.data, METRIC_TABLES, partition, CALENDAR, integration="talentlms", run_id=f"metrics-{partition.day}"
        )
        return [(one.table.name, one.rows) for one in published]

    def add_up(self) -> list[Any]:
        changes = find_portfolio_changes(self.data, [])
        for day, origin in changes.outdated.items():
            publish_portfolio(self.data, day, [], run_id=f"portfolio-{day}", origin=origin)
        remember_changes(self.data, changes)
        assert not find_portfolio_changes(self.data, []).outdated
        return list(changes.outdated)

    def roll_up(self) -> list[Any]:
        rolled = [replace(roll_up_day(self.data, day)) for day in find_outdated_days(self.data)]
        assert find_outdated_days(self.data) == []
        return rolled

    def report(self) -> list[Any]:
        contents = [build_content(self.settings), build_content(self.settings, account_id=PORTAL)]
        return [replace(content, generated_at=self.settings.now()) for content in contents]

    def replay(self, day: int) -> list[Any]:
        options = AccountOptions(page_size=500, strategy="roster")
        job = SnapshotJob(PORTAL, PairAccount.date(day), f"replay-{day}", "enrollment_id", options)
        return [one.rows for one in replay_snapshot(job, data=self.data).published]

    def clean_up(self, days: int) -> list[str]:
        policy = RetentionPolicy(today=LATER + timedelta(days=days), rejected_days=10)
        removed = remove(self.data, find_expired(self.data, policy))
        assert find_expired(self.data, policy) == []
        return [f"{item.kind} {item.bytes}" for item in removed]

    def list_published(self) -> dict[str, str]:
        """Return the digest of each published file by its key."""
        keys = [file.key for file in self.data.store.list_files("lake/") if file.key.endswith("/data.parquet")]
        found = {key: read_stored_metadata(self.data.store, key) for key in keys}
        return {key: metadata["digest"] for key, metadata in found.items() if metadata}

    def list_indexed(self) -> list[Any]:
        """Return the partitions with their tables, as the index has them."""
        days = read_index(self.data, lambda index: index.find())
        return [(day.partition, [table.name for table in METRIC_TABLES if day.has_file(table.name)]) for day in days]

    def run(self) -> Iterator[tuple[str, Any]]:
        """Run all steps, and yield what each returns."""
        partitions = {day: Partition(PORTAL, PairAccount.date(day)) for day in DAYS}
        publish(self.data, "acme", EARLIER, {"reason": "no id", "payload": "{}"}, table=REJECTED_ENROLLMENTS)
        steps: list[tuple[str, Callable[[], Any]]] = []
        for day, partition in partitions.items():
            steps += [
                (f"pull {day}", partial(self.pull, day)),
                (f"checks {day}", partial(self.check, PULL_CHECKS, partition)),
                (f"metrics {day}", partial(self.compute, partition)),
                (f"metric checks {day}", partial(self.check, METRIC_CHECKS, partition)),
            ]
        steps += [
            ("portfolio", self.add_up),
            ("roll-up", self.roll_up),
            ("report", self.report),
            ("published", self.list_published),
            ("indexed", self.list_indexed),
            ("kept", lambda: self.keep(DAYS[-1])),
            ("replay", lambda: self.replay(DAYS[-1])),
            ("replayed", self.list_published),
            ("housekeeping", lambda: self.clean_up(20)),
            ("roll-up again", self.roll_up),
            ("removal", lambda: [path.name for path in remove_snapshot(self.data, partitions[DAYS[0]])]),
            ("removed", self.list_published),
            ("index of removed", self.list_indexed),
        ]
        for name, step in steps:
            if self.is_wiped:
                wipe(self.data.root)
            yield name, step()


def run_nights(
    root: Path, sandbox: RunningSandbox, portal: Portal, storage: Storage, *, is_wiped: bool
) -> dict[str, Any]:
    """Run all steps over a storage, and return what each returned, by its name."""
    account = PairAccount(root, portal, sandbox)
    account.runner.storage, data = storage, DataDir(root, storage)
    settings = Settings(data_dir=root, frozen_now=datetime.combine(LATER, datetime.min.time(), UTC))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DataDir, "open", lambda _settings: data)
        return dict(Nights(data, account, settings, is_wiped).run())
