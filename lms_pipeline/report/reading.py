"""What the report reads from the lake for single accounts: the rows of one day, and the figures of the days before.

Belongs here: reading files an account at a time, and which days there are. What of it may be shown is `small_groups.py`;
queries over all accounts are `details.py`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from lms_pipeline.accounts.registry import RegisteredAccount
from lms_pipeline.errors import LakeError, WrongUseError
from lms_pipeline.lake.files import check_unchanged, check_version, convert_read_errors, read_metadata
from lms_pipeline.lake.index_sync import read_index
from lms_pipeline.lake.paths import AnyPartition, DataDir, DayPartition, Partition
from lms_pipeline.lake.reading import find_committed
from lms_pipeline.lake.scan import map_parallel
from lms_pipeline.lake.stored_footers import count_stored_rows, read_stored_metadata
from lms_pipeline.metrics.portfolio_days import find_portfolio_changes
from lms_pipeline.metrics.source import read_source
from lms_pipeline.report.small_groups import (
    Group,
    Row,
    SelectedAccount,
    build_figures,
    select_account,
    select_portfolio,
)
from lms_pipeline.report.trend import TrendPoint, build_point, choose_days
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.measures import RATES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.over_time import CHANGE_DAYS, COHORT_COMPLETION, COMPLETION_CURVE
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table, arrow_schema

MAX_TREND_DAYS = 92
MIN_TREND_DAYS = 1 + len(CHANGE_DAYS)
"""The day of the report and those that it is compared with."""
MAX_TREND_PARTITIONS = 3_000
"""Account-days whose files are read for the trend of many accounts. The days in between are left out; `MIN_TREND_DAYS` are
read of any number of accounts."""
TREND_COLUMNS = (
    *("learners", "n_all", "n_completed", "status_passed", "status_failed", "rows_reconstructed"),
    *(column for rate in RATES for column in (rate.name, f"{rate.name}_num", f"{rate.name}_den")),
)
"""The columns of an account or course that its rates and sums are made of."""
COURSE_COLUMNS = ("course_id", "course_title", *TREND_COLUMNS, "days_to_complete_p50")
"""The columns of a course that are shown: a row with all has 7 KB as Python objects, and a fleet has 75,000 courses."""


ACCOUNT_AND_COURSES = (ACCOUNT_COMPLETION, COURSE_COMPLETION)
DETAIL_TABLES = (ATTENTION, COHORT_COMPLETION, COMPLETION_CURVE)
"""Tables of an account that older versions did not make."""

log = logging.getLogger(__name__)


class NothingToReportError(WrongUseError):
    """There are no completion metrics to report."""


@dataclass(frozen=True)
class Quality:
    """How good the snapshot of an account and day is."""

    is_complete: bool
    raw_gaps: str | None
    """Why raw records are missing although the enrollments are complete; None if none are."""
    strategy: str | None
    pulled_at: datetime | None
    rejected: int | None
    """Rejected records; None if the file is missing."""
    idle_unknown: int | None
    """Open enrollments of which nothing says whether they are idle."""
    missing_tables: frozenset[str]
    """Names of the detail tables without a file: an older version did not make them."""
    has_mixed_sources: bool = False
    """Whether its tables were computed from different pulls or with different rules."""


def find_report_day(data: DataDir, day: date | None, account_id: str | None) -> date:
    """Return the day to report: `day`, else the latest one with completion metrics.

    Raises:
        NothingToReportError: no account has completion metrics of the day, or the account has none.
    """
    days = {day for found in _find_days(data, account_id, is_compared=True).values() for day in found}
    of = f" of {account_id}" if account_id else ""
    if not days:
        raise NothingToReportError(f"There are no completion metrics{of}: run `lms-pipeline materialize` first.")
    if day is not None and day not in days:
        earlier = [one for one in days if one < day]
        hint = (
            f"the latest day before it that has them is {max(earlier)}" if earlier else f"the first day is {min(days)}"
        )
        raise NothingToReportError(f"There are no completion metrics{of} on {day}: {hint}.")
    return day or max(days)


def list_accounts(data: DataDir, day: date, account_id: str | None) -> list[str]:
    """Return the ids of the accounts with completion metrics of a day, sorted."""
    found = read_index(data, lambda index: index.find(account_id=account_id, day=day), is_compared=False)
    partitions = (one.partition for one in found if one.has_file(ACCOUNT_COMPLETION.name))
    return sorted(one.account_id for one in partitions if isinstance(one, Partition))


def _find_days(data: DataDir, account_id: str | None, *, is_compared: bool) -> Mapping[str, Sequence[date]]:
    """Return the days with completion metrics of each account, or of one."""
    table = ACCOUNT_COMPLETION.name
    return read_index(data, lambda index: index.find_account_days(table, account_id), is_compared=is_compared)


def fetch_day(data: DataDir, partitions: Iterable[Partition]) -> None:
    """Fetch what the functions below read of accounts and a day.

    Raises:
        StoreError: a file can't be fetched.
    """
    data.fetch((*ACCOUNT_AND_COURSES, *DETAIL_TABLES), partitions)


@contextmanager
def convert_damage(partition: AnyPartition) -> Iterator[None]:
    """Raise the errors of damaged texts and numbers in files of a partition as one sentence.

    Raises:
        LakeError: a file is damaged.
    """
    try:
        yield
    except ValueError as error:  # also of texts that are no UTF-8
        raise LakeError(f"A file of {partition} is damaged: restore it, or materialize its metrics again.") from error


def check_details(data: DataDir, partition: Partition) -> None:
    """Refuse damaged files of the detail tables, before queries read those of all accounts together.

    Raises:
        LakeError: a file is damaged, or was written by a newer version of this package.
    """
    for path in (data.file(table, partition) for table in DETAIL_TABLES):
        if path.exists():
            check_version(path, read_metadata(path))
            check_unchanged(path)


def read_account(
    data: DataDir, partition: Partition, limit: int, columns: Collection[str] | None = None
) -> tuple[Row, SelectedAccount | None]:
    """Return the row of an account and day, and what may be shown of it.

    Args:
        data: the data directory.
        partition: the account and day.
        limit: `LMS_MIN_COHORT`.
        columns: columns of its row, and no courses unless the limit needs them; None for all columns and its courses.

    Raises:
        LakeError: a file is damaged or was removed meanwhile, or was written by a newer version of this package; or, with a
            limit, the tables are of different pulls or rules.
    """
    rows = _read_rows(data, ACCOUNT_COMPLETION, partition, columns)
    if not rows:
        raise LakeError(f"The metrics of {partition} were removed: materialize them again.")
    if limit > 1 and len({read_source(_read_metadata(data.file(one, partition))) for one in ACCOUNT_AND_COURSES}) > 1:
        raise LakeError(
            f"The metrics of {partition} were computed from different pulls or with different rules, and their difference may be a "
            "small group: materialize them again."
        )
    courses = _read_rows(data, COURSE_COMPLETION, partition, COURSE_COLUMNS) if columns is None or limit > 1 else ()
    return rows[0], select_account(partition.account_id, rows[0], courses, limit)


def read_curves(data: DataDir, partition: Partition, course_ids: Collection[str]) -> Mapping[str | None, list[Row]]:
    """Return the rows of the account's curve, under None, and of these courses' curves: 300 courses may have 100,000 rows."""
    by_course: dict[str | None, list[Row]] = defaultdict(list)
    condition = ds.field("scope") == "account"
    if course_ids:
        condition |= ds.field("course_id").isin(list(course_ids))
    for row in _read_rows(data, COMPLETION_CURVE, partition, None, condition):
        by_course[row["course_id"]].append(row)
    return by_course


def _read_rows(
    data: DataDir,
    table: Table,
    partition: AnyPartition,
    columns: Collection[str] | None = None,
    condition: ds.Expression | None = None,
) -> list[Row]:
    """Return rows of one file, of all columns or these; a column that an older file lacks is None.

    There are none if the file is missing: an older version made no such table.
    """
    if not data.file(table, partition).exists():
        return []
    schema = pa.schema([field.with_nullable(nullable=True) for field in arrow_schema(table)])
    rows: list[Row] = []
    for _, path in find_committed(data, table, [partition]):
        check_unchanged(path)
        with convert_read_errors(path):
            found = ds.dataset(str(path), schema=schema, format="parquet")
            rows = found.to_table(None if columns is None else list(columns), filter=condition).to_pylist()
    return rows


def read_qualities(data: DataDir, partitions: Collection[Partition]) -> list[Quality | LakeError]:
    """Return how good snapshots are; of one with a damaged file, the error.

    Raises:
        StoreError: the store can't be used.
    """

    def read(partition: Partition) -> Quality | LakeError:
        try:
            with convert_damage(partition):
                return _read_quality(data, partition)
        except LakeError as error:
            return error

    return map_parallel(data, read, partitions)


def _read_quality(data: DataDir, partition: Partition) -> Quality:
    """Return how good a snapshot is.

    Raises:
        LakeError: a file is damaged.
        StoreError: the store can't be used.
    """
    # of the large files the ends alone
    source = read_stored_metadata(data.store, data.get_key(data.file(UNIFIED_ENROLLMENTS, partition))) or {}
    rejected = count_stored_rows(data.store, data.get_key(data.file(REJECTED_ENROLLMENTS, partition)))
    metrics = (_read_metadata(data.file(one, partition)) for one in (*ACCOUNT_AND_COURSES, *DETAIL_TABLES))
    pulled_at, idle = source.get("pulled_at"), _read_metadata(data.file(ATTENTION, partition)).get("idle_unknown")
    return Quality(
        is_complete=source.get("complete") == "true",
        raw_gaps=_read_raw_gaps(data, partition, source.get("run_id")),
        strategy=source.get("strategy"),
        pulled_at=datetime.fromisoformat(pulled_at) if pulled_at else None,
        rejected=rejected,
        idle_unknown=int(idle) if idle else None,
        missing_tables=frozenset(one.name for one in DETAIL_TABLES if not data.file(one, partition).exists()),
        has_mixed_sources=len({read_source(metadata) for metadata in metrics if metadata}) > 1,
    )


def _read_raw_gaps(data: DataDir, partition: Partition, run_id: str | None) -> str | None:
    """Return why the raw records of a pull have gaps; None if they have none, or their file is damaged: no figure is of it."""
    try:
        raw = read_stored_metadata(data.store, data.get_key(data.file(RAW_ENROLLMENTS, partition))) or {}
    except LakeError:
        return None
    return raw.get("incomplete_because") if raw.get("run_id") == run_id else None


def _read_metadata(path: Path) -> dict[str, str]:
    return read_metadata(path) if path.exists() else {}


def read_trend(
    data: DataDir, last: TrendPoint, account_id: str | None, limit: int, registered: Sequence[RegisteredAccount] = ()
) -> list[TrendPoint]:
    """Return what may be shown of the days up to `last`, which ends the list.

    The portfolio of a day is read if it is up to date and nothing is withheld, else the files of the accounts. A file that
    can't be read is logged, and its account or day left out.
    """
    accounts: dict[date, set[str]] = defaultdict(set)
    for one, of_account in _find_days(data, account_id, is_compared=False).items():
        for day in of_account:
            accounts[day].add(one)
    days = [day for day in choose_days(list(accounts), last.day, MAX_TREND_DAYS) if day != last.day]
    points: dict[date, TrendPoint | None] = {}
    if account_id is None and limit == 1:
        outdated = find_portfolio_changes(data, registered).outdated
        points = {day: _read_stored_point(data, day, accounts[day]) for day in days if day not in outdated}
    others = [day for day in days if points.get(day) is None]
    max_days = bound_days(max(map(len, accounts.values()), default=1))
    for day in choose_days([*others, last.day], last.day, max_days):
        if day != last.day:
            selected = select_portfolio(_select_accounts(data, day, accounts[day], limit), limit)
            points[day] = build_point(day, selected, limit)
    return [*(point for day in days if (point := points.get(day)) is not None), last]


def bound_days(accounts: int) -> int:
    """Return how many days the trend of so many accounts may have, if each account's files are read."""
    return min(MAX_TREND_DAYS, max(MIN_TREND_DAYS, MAX_TREND_PARTITIONS // accounts))


def _read_stored_point(data: DataDir, day: date, account_ids: Collection[str]) -> TrendPoint | None:
    """Return the point of a day from `portfolio_completion`; None if it has none of all these accounts that can be read."""
    partition = DayPartition(day)
    data.fetch([PORTFOLIO_COMPLETION], [partition])
    try:
        with convert_damage(partition):
            rows = _read_rows(data, PORTFOLIO_COMPLETION, partition, ("accounts", *TREND_COLUMNS))
    except LakeError as error:
        log.warning("The portfolio of %s is left out of the trend: %s", day, error)
        return None
    for row in rows:
        if row["accounts"] != len(account_ids):  # the file of one could not be read: only the files say whose
            return None
        is_derived = bool(row["rows_reconstructed"])
        reconstructed = set(_find_reconstructed(data, day, account_ids)) if is_derived else ()
        figures = build_figures(Group(row, {}, row["learners"]), 1)
        return TrendPoint(day, figures, frozenset(account_ids), frozenset(reconstructed))
    return None


def _find_reconstructed(data: DataDir, day: date, account_ids: Iterable[str]) -> Iterator[str]:
    for selected in _select_accounts(data, day, account_ids, 1):
        if selected is not None and selected.group.row["rows_reconstructed"]:
            yield selected.shown.account_id


def _select_accounts(
    data: DataDir, day: date, account_ids: Iterable[str], limit: int
) -> Iterator[SelectedAccount | None]:
    """Yield the accounts of a day without their other columns; one that can't be read is logged and left out."""
    partitions = [Partition(account_id, day) for account_id in sorted(account_ids)]
    data.fetch([ACCOUNT_COMPLETION, *([COURSE_COMPLETION] if limit > 1 else [])], partitions)
    for partition in partitions:
        try:
            with convert_damage(partition):
                _, selected = read_account(data, partition, limit, TREND_COLUMNS)
        except LakeError as error:
            log.warning("%s is left out of the trend: %s", partition, error)
            continue
        yield selected
