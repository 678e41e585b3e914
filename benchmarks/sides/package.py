"""The calls into the package: of this commit here, of commits with the earlier layout in `earlier_package.py`.

Belongs here: every import of `lms_pipeline` of the sides. `prepare_*` imports and opens what the work needs, and returns the
work, so that only the work is measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

DAY = date(2025, 6, 30)
NOW = datetime(2025, 7, 1, 2, tzinfo=UTC)
"""The day has ended and is open."""
INTEGRATION = "otherlms"
RUN_ID = "benchmark"

Work = Callable[[], Mapping[str, float]]
"""Returns counts."""


class Package:
    """The package in the environment of this process, over one data directory."""

    def __init__(self, folder: Path, url: str = "http://127.0.0.1:1", accounts_file: Path | None = None) -> None:
        from lms_pipeline.lake.paths import DataDir
        from lms_pipeline.settings import Settings

        self.folder = folder
        fields = {"token": "benchmark-token", "base_url": url, "data_dir": folder, "start_date": DAY}
        limits = {"token_calls_per_10s": 0, "account_calls_per_10s": 0}
        self.settings = Settings.model_validate(
            {
                **fields,
                **limits,
                "frozen_now": NOW,
                "accounts_file": accounts_file,
                "dagster_home_set": folder / "dagster",
            }
        )
        self.data: Any = DataDir(folder)
        os.environ["DAGSTER_HOME"] = str(folder / "dagster")

    def add_account(self, account: str) -> Any:  # noqa: ANN401 (a partition of either layout)
        """Register an account, and return its partition."""
        from lms_pipeline.accounts.registry import Registry
        from lms_pipeline.lake.paths import Partition

        self.data.registry.parent.mkdir(parents=True, exist_ok=True)
        Registry.open(self.settings).add(account, name=account, first_day=DAY)
        return Partition(account, DAY)

    def prepare_pull(self, account: str) -> Work:
        """Prepare the pull of an account: from the API to the five published tables."""
        from lms_pipeline.connection import Truto
        from lms_pipeline.snapshot.job import SnapshotJob
        from lms_pipeline.snapshot.run import take_snapshot

        job = SnapshotJob.load(self.settings, self.add_account(account), RUN_ID)
        truto, calendar = Truto(self.settings), self.settings.calendar

        def pull() -> Mapping[str, float]:
            result = take_snapshot(job, connect=truto.connect, data=self.data, calendar=calendar, now=truto.now)
            return {"rows": result.rows.served, "requests": result.requests}

        return pull

    def prepare_metrics(self, account: str) -> Work:
        """Prepare the tables of courses, learners and the account, for a pulled account."""
        from lms_pipeline.tables.metrics import COMPLETION_TABLES

        return self._prepare_tables(account, COMPLETION_TABLES)

    def prepare_over_time(self, account: str) -> Work:
        """Prepare cohorts, curves, attention and the portfolio, for a pulled account with its other metrics."""
        from lms_pipeline.metrics.portfolio import publish_portfolio
        from lms_pipeline.tables.attention import ATTENTION
        from lms_pipeline.tables.over_time import COHORT_COMPLETION, COMPLETION_CURVE

        compute_tables = self._prepare_tables(account, (COHORT_COMPLETION, COMPLETION_CURVE, ATTENTION))

        def compute() -> Mapping[str, float]:
            rows = compute_tables()["rows"]
            return {"rows": rows + publish_portfolio(self.data, DAY, (), run_id=RUN_ID, origin="").rows}

        return compute

    def _prepare_tables(self, account: str, tables: Sequence[Any]) -> Work:
        from lms_pipeline.lake.paths import Partition
        from lms_pipeline.metrics.completion import publish_metrics

        partition, calendar = Partition(account, DAY), self.settings.calendar

        def compute() -> Mapping[str, float]:
            published = publish_metrics(self.data, tables, partition, calendar, integration=INTEGRATION, run_id=RUN_ID)
            return {"rows": sum(one.rows for one in published)}

        return compute

    def prepare_checks(self, account: str) -> Work:
        """Prepare all checks of the tables of an account that are pulled and computed."""
        from lms_pipeline.checks.base import open_subject
        from lms_pipeline.checks.metrics import METRIC_CHECKS
        from lms_pipeline.checks.snapshot import PULL_CHECKS
        from lms_pipeline.lake.paths import Partition

        partition = Partition(account, DAY)
        checks = [
            (check, table)
            for check in (*PULL_CHECKS, *METRIC_CHECKS)
            for table in check.tables
            if self.find_file(table.name, account).exists()
        ]

        def run() -> Mapping[str, float]:
            with open_subject(self.settings, self.data, partition) as open_table:
                found = [check.run(open_table(table)) for check, table in checks]
            return {"findings": len(found), "failed": sum(not finding.passed for finding in found)}

        return run

    def prepare_transform(self) -> Callable[[Sequence[bytes]], Mapping[str, float]]:
        """Prepare the transformation of the bodies of pages into Arrow batches."""
        from lms_pipeline.transform.enrollments import EnrollmentFlattener
        from lms_pipeline.truto.response import read_page

        def transform(bodies: Sequence[bytes]) -> Mapping[str, float]:
            flattener, rows, raw_rows = EnrollmentFlattener("enrollment_id"), 0, 0
            for batch in _batch_records(read_page(body, NOW).records for body in bodies):
                batches = flattener.flatten_responses(batch)
                rows, raw_rows = rows + batches.unified.num_rows, raw_rows + batches.raw.num_rows
            return {"rows": rows, "raw_rows": raw_rows, "read_leniently": flattener.counts["read_leniently"]}

        return transform

    def prepare_warehouse(self) -> Work:
        """Prepare a build of the warehouse."""
        from lms_pipeline.lake.warehouse import build_warehouse

        return lambda: {"rows": sum(build_warehouse(self.data).rows.values())}

    def open_warehouse(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse for queries."""
        from lms_pipeline.lake.warehouse import open_warehouse

        return open_warehouse(self.data)

    @contextmanager
    def open_dagster(self) -> Iterator[Callable[[str], None]]:
        """Yield a function that runs the daily job of an account in this process, with Dagster's log."""
        from lms_pipeline.definitions import build_defs
        from lms_pipeline.defs.instance import open_instance, run_partitions

        defs = build_defs(self.settings)
        with open_instance(self.settings) as instance:

            def run(account: str) -> None:
                (outcome,) = run_partitions(defs, instance, [self.add_account(account)])
                if outcome.error:
                    raise RuntimeError(outcome.error)

            yield run

    def find_file(self, table: str, account: str) -> Path:
        """Return the path of the published file of a table."""
        return self.folder / "lake" / table / f"account_id={account}" / f"snapshot_date={DAY}" / "data.parquet"

    def build_enrollments_schema(self) -> pa.Schema:
        """Return the Arrow schema of `unified_enrollments`."""
        from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
        from lms_pipeline.tables.schema import arrow_schema

        return arrow_schema(UNIFIED_ENROLLMENTS)


def _batch_records(pages: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    """Yield the records of pages as a pull joins them; a commit that does not join pages gets them one by one."""
    if find_spec("lms_pipeline.transform.responses") is None:
        build = import_module("lms_pipeline.transform.enrollments").ResponseRecords
        return ([build(records, NOW)] for records in pages)
    from lms_pipeline.transform.responses import MAX_BATCH_BYTES, ResponseRecords, split_responses

    return split_responses((ResponseRecords(records, NOW) for records in pages), MAX_BATCH_BYTES)


def open_package(folder: Path, url: str = "http://127.0.0.1:1", accounts_file: Path | None = None) -> Package:
    """Open the package in its present or its earlier layout."""
    folder.mkdir(parents=True, exist_ok=True)
    if find_spec("lms_pipeline.transform") is None:
        from benchmarks.sides.earlier_package import EarlierPackage

        return EarlierPackage(folder, url, accounts_file)
    return Package(folder, url, accounts_file)
