"""What the report reads from the lake: the rows of one day, and the figures of the days before.

Belongs here: reading files and choosing days. What of it may be shown is `small_groups.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.engine import duckdb_session, load_sql
from lms_pipeline.lake.files import check_version, convert_read_errors, read_metadata
from lms_pipeline.lake.paths import AnyPartition, DataDir, DayPartition, Partition
from lms_pipeline.lake.reading import read
from lms_pipeline.lake.scratch import scratch_folder
from lms_pipeline.report.small_groups import (
    Group,
    ReasonCount,
    Row,
    ShownPortfolio,
    build_figures,
    select_account,
    select_portfolio,
)
from lms_pipeline.report.trend import TrendPoint, choose_days
from lms_pipeline.report.words import REASON_WORDS
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.over_time import COHORT_COMPLETION, COMPLETION_CURVE
from lms_pipeline.tables.pulled import REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table

MAX_TREND_DAYS = 92
MIN_TREND_DAYS = 10
MAX_TREND_PARTITIONS = 3_000
"""Account-days whose files are read for the trend of many accounts: they take some 10 s. The days in between are left out."""
MAX_NAMES = 500
"""Enrollments that are listed by name, the strongest reasons first."""


class NothingToReportError(WrongUseError):
    """There are no completion metrics to report."""


@dataclass(frozen=True)
class Quality:
    """How good the snapshot of an account and day is."""

    is_complete: bool
    incomplete_because: str | None
    strategy: str | None
    pulled_at: datetime | None
    rejected: int | None
    """Rejected records; None if the file is missing."""
    idle_unknown: int | None
    """Open enrollments of which nothing says whether they are idle."""


@dataclass(frozen=True)
class AccountDay:
    """The rows of one account and day, nothing withheld."""

    account_id: str
    row: Row
    courses: Sequence[Row]
    cohorts: Sequence[Row]
    """Rows of the scope `account`."""
    quality: Quality


def find_report_day(data: DataDir, day: date | None, account_id: str | None) -> date:
    """Return the day to report: `day`, else the latest one with completion metrics.

    Raises:
        NothingToReportError: no account has completion metrics of the day, or the account has none.
    """
    days = {partition.day for partition in data.find_partitions(ACCOUNT_COMPLETION, account_id)}
    of = f" of {account_id}" if account_id else ""
    if not days:
        raise NothingToReportError(f"There are no completion metrics{of}: run `lms-pipeline materialize` first.")
    if day is not None and day not in days:
        raise NothingToReportError(
            f"There are no completion metrics{of} on {day}: the latest day before it that has them is "
            f"{max((one for one in days if one < day), default='none')}."
        )
    return day or max(days)


def read_day(data: DataDir, day: date, account_id: str | None) -> list[AccountDay]:
    """Return the rows of a day of each account that has it, or of one account.

    Raises:
        LakeError: a file is damaged, or was written by a newer version of this package.
    """
    ids = None if account_id is None else [account_id]
    rows = {
        row["account_id"]: row for row in read(ACCOUNT_COMPLETION.name, ids, day, day, data_dir=data.root).to_pylist()
    }
    courses = _read_by_account(data, COURSE_COMPLETION, day, ids)
    return [
        AccountDay(
            account,
            row,
            courses[account],
            _read_rows(data, COHORT_COMPLETION, Partition(account, day), [("scope", "==", "account")]),
            _read_quality(data, Partition(account, day)),
        )
        for account, row in sorted(rows.items())
    ]


def _read_by_account(data: DataDir, table: Table, day: date, ids: Collection[str] | None) -> Mapping[str, list[Row]]:
    by_account: dict[str, list[Row]] = defaultdict(list)
    for row in read(table.name, ids, day, day, data_dir=data.root).to_pylist():
        by_account[row["account_id"]].append(row)
    return by_account


def read_curves(data: DataDir, partition: Partition, course_ids: Collection[str]) -> Mapping[str | None, list[Row]]:
    """Return the rows of the account's curve, under None, and of these courses' curves: 300 courses may have 100,000 rows."""
    by_course: dict[str | None, list[Row]] = defaultdict(list)
    conditions: list[Any] = [[("scope", "==", "account")]]
    if course_ids:
        conditions.append([("course_id", "in", list(course_ids))])
    for row in _read_rows(data, COMPLETION_CURVE, partition, conditions):
        by_course[row["course_id"]].append(row)
    return by_course


def _read_rows(data: DataDir, table: Table, partition: AnyPartition, conditions: Sequence[Any] = ()) -> list[Row]:
    """Return the rows of one file that meet the conditions; none if it is missing: an older version made no such table."""
    path = data.file(table, partition)
    if not path.exists():
        return []
    check_version(path, read_metadata(path))
    with convert_read_errors(path):
        rows: list[Row] = pq.read_table(path, filters=list(conditions) or None, partitioning=None).to_pylist()
    return rows


def _read_quality(data: DataDir, partition: Partition) -> Quality:
    source = _read_metadata(data.file(UNIFIED_ENROLLMENTS, partition))
    rejected = data.file(REJECTED_ENROLLMENTS, partition)
    pulled_at, idle = source.get("pulled_at"), _read_metadata(data.file(ATTENTION, partition)).get("idle_unknown")
    with convert_read_errors(rejected):
        return Quality(
            is_complete=source.get("complete") == "true",
            incomplete_because=source.get("incomplete_because"),
            strategy=source.get("strategy"),
            pulled_at=datetime.fromisoformat(pulled_at) if pulled_at else None,
            rejected=pq.read_metadata(rejected).num_rows if rejected.exists() else None,
            idle_unknown=int(idle) if idle else None,
        )


def _read_metadata(path: Path) -> dict[str, str]:
    return read_metadata(path) if path.exists() else {}


def read_attention(
    data: DataDir, partition: Partition, course_ids: Iterable[str]
) -> tuple[list[ReasonCount], dict[str, list[ReasonCount]]]:
    """Return how many enrollments of these courses need someone: by reason, and by course and reason."""
    total: list[ReasonCount] = []
    by_course: dict[str, list[ReasonCount]] = defaultdict(list)
    found = _query(data.file(ATTENTION, partition), "attention.sql", shown=list(course_ids))
    for is_total, course_id, reason, enrollments, learners in found:
        (total if is_total else by_course[course_id]).append(ReasonCount(reason, enrollments, learners))
    return total, by_course


def read_attention_names(data: DataDir, partition: Partition) -> list[Row]:
    """Return the enrollments that need someone with the names of their learners: `MAX_NAMES` at most."""
    names = ("user_name", "user_id", "course_id", "course_title", "reason", "days", "due_day", "last_seen_day")
    found = _query(data.file(ATTENTION, partition), "attention_names.sql", reasons=list(REASON_WORDS), limit=MAX_NAMES)
    return [dict(zip(names, row, strict=True)) for row in found]


def _query(path: Path, name: str, **parameters: object) -> list[tuple[Any, ...]]:
    """Return the rows of a query over one file; none if it is missing."""
    if not path.exists():
        return []
    check_version(path, read_metadata(path))
    with scratch_folder("report") as spill, duckdb_session(spill) as connection:
        return connection.execute(load_sql("lms_pipeline.report", name), {"path": str(path), **parameters}).fetchall()


def read_trend(data: DataDir, last: TrendPoint, account_id: str | None, limit: int) -> list[TrendPoint]:
    """Return what may be shown of the days up to `last`, which ends the list.

    Raises:
        LakeError: a file is damaged, or was written by a newer version of this package.
    """
    accounts: dict[date, set[str]] = defaultdict(set)
    for partition in data.find_partitions(ACCOUNT_COMPLETION, account_id):
        accounts[partition.day].add(partition.account_id)
    is_stored = account_id is None and limit == 1
    per_day = max(map(len, accounts.values()), default=1)
    max_days = MAX_TREND_DAYS if is_stored else max(MIN_TREND_DAYS, MAX_TREND_PARTITIONS // per_day)
    points = []
    for day in choose_days(list(accounts), last.day, min(MAX_TREND_DAYS, max_days)):
        if day == last.day:
            continue
        of = frozenset(accounts[day])
        group = _read_stored_total(data, day) if is_stored else None
        if group is not None:
            points.append(TrendPoint(day, build_figures(group, limit), of, bool(group.row["rows_reconstructed"])))
            continue
        portfolio = read_portfolio(data, day, sorted(of), limit)
        if portfolio.figures is not None:
            shown = frozenset(account.account_id for account in portfolio.accounts)
            is_reconstructed = any(account.group.row["rows_reconstructed"] for account in portfolio.accounts)
            points.append(TrendPoint(day, portfolio.figures, shown, is_reconstructed))
    return [*points, last]


def _read_stored_total(data: DataDir, day: date) -> Group | None:
    """Return the row of `portfolio_completion`; None if the day has none, or one of an older version."""
    for row in _read_rows(data, PORTFOLIO_COMPLETION, DayPartition(day)):
        return Group(row, {}, row["learners"])
    return None


def read_portfolio(data: DataDir, day: date, account_ids: Sequence[str], limit: int) -> ShownPortfolio:
    """Return what may be shown of accounts on a day."""
    rows = read(ACCOUNT_COMPLETION.name, account_ids, day, day, data_dir=data.root).to_pylist()
    courses = _read_by_account(data, COURSE_COMPLETION, day, account_ids) if limit > 1 else {}
    return select_portfolio(
        (select_account(row["account_id"], row, courses.get(row["account_id"], ()), limit) for row in rows), limit
    )


def read_accounts_missing(data: DataDir, day: date) -> int | None:
    """Return how many active accounts lack the day; None if the portfolio of the day was not computed."""
    rows = _read_rows(data, PORTFOLIO_COMPLETION, DayPartition(day))
    return rows[0]["accounts_missing"] if rows else None
