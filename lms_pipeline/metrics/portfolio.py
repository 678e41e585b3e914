"""The row of all accounts on a day: the sums of their rows in `account_completion`.

Belongs here: which accounts are added, and which are missing. Not here: how rows add up (`tables/sums.py`), the figures of
an account (`completion.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

from lms_pipeline.accounts.registry import RegisteredAccount
from lms_pipeline.errors import LakeError, LmsPipelineError
from lms_pipeline.lake.engine import duckdb_session
from lms_pipeline.lake.files import check_unchanged, check_version, read_metadata
from lms_pipeline.lake.index import PublicationIndex
from lms_pipeline.lake.index_sync import read_index
from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.lake.publishing import Published, publish_table
from lms_pipeline.lake.scratch import scratch_folder
from lms_pipeline.lake.warehouse_days import read_whole
from lms_pipeline.lake.warehouse_sql import build_select_sql
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.schema import arrow_schema
from lms_pipeline.tables.sums import add_up

if TYPE_CHECKING:
    import pyarrow as pa

ORIGIN = "origin"
"""Metadata key of a file of the portfolio: a hash of the files of accounts that it was computed from."""

log = logging.getLogger(__name__)


class NoAccountMetricsError(LmsPipelineError):
    """No account has metrics of the day."""


def publish_portfolio(
    data: DataDir, day: date, registered: Iterable[RegisteredAccount], *, run_id: str, origin: str
) -> Published:
    """Add up the accounts that have `account_completion` of a day, and publish the row.

    An account whose file can't be read is logged, and counts as one without the day: it does not stop the others.

    Args:
        data: the data directory.
        day: the day.
        registered: all accounts of the registry.
        run_id: the run that publishes it.
        origin: what the day is computed from, by which `portfolio_days.py` knows whether it is up to date.

    Raises:
        NoAccountMetricsError: there are none that can be read.
        LakeError: the row can't be written.
        StorageError: the store or the state can't be used.
    """
    import duckdb
    import pyarrow as pa

    sources = find_sources(data, day)
    data.fetch([ACCOUNT_COMPLETION], sources)
    sources = _find_readable(data, sources)
    try:
        rows = _read_accounts(data, sources)
    except duckdb.Error:
        sources = _leave_out_damaged(data, sources)
        rows = _read_accounts(data, sources)
    if not sources:
        raise NoAccountMetricsError(
            f"No account has metrics of {day}: materialize account_completion of an account and that day first."
        )
    found = {source.account_id for source in sources}
    counts = {"accounts": len(found), "accounts_missing": len(find_missing(registered, day, found))}
    row = counts | add_up(ACCOUNT_COMPLETION, lambda name: rows[name].to_pylist())
    schema = arrow_schema(PORTFOLIO_COMPLETION)
    batches = pa.RecordBatchReader.from_batches(schema, [pa.RecordBatch.from_pylist([row], schema=schema)])
    return publish_table(
        data, PORTFOLIO_COMPLETION, DayPartition(day), run_id=run_id, batches=batches, metadata={ORIGIN: origin}
    )


def find_sources(data: DataDir, day: date) -> list[Partition]:
    """Return the accounts and day that have `account_completion`, in the order of their ids."""

    def find(index: PublicationIndex) -> list[Partition]:
        published = (one for one in index.find(day=day) if one.has_file(ACCOUNT_COMPLETION.name))
        return [one.partition for one in published if isinstance(one.partition, Partition)]

    return read_index(data, find, is_compared=False)


def find_missing(registered: Iterable[RegisteredAccount], day: date, found: set[str]) -> list[str]:
    """Return the ids of the accounts that were active on a day and are not among those found."""
    return [account.id for account in registered if account.id not in found and is_active_on(account, day)]


def is_active_on(account: RegisteredAccount, day: date) -> bool:
    """Return whether an account should have a day, whatever its status is now: one that Truto can't reach lacks it too."""
    return account.first_day <= day and (account.last_day is None or day <= account.last_day)


def _find_readable(data: DataDir, sources: Iterable[Partition]) -> list[Partition]:
    """Return those of these accounts whose file this version can read; the others are logged."""
    found = []
    for source in sources:
        path = data.file(ACCOUNT_COMPLETION, source)
        with _leaving_out_damaged():
            check_version(path, read_metadata(path))
            check_unchanged(path)
            found.append(source)
    return found


def _read_accounts(data: DataDir, sources: Sequence[Partition]) -> pa.Table:
    """Read the rows of these accounts; a column that an older file lacks is null.

    DuckDB takes a fifth of the time of pyarrow, which reads a hundred columns of one row each.

    Raises:
        duckdb.Error: a file is damaged.
    """
    with scratch_folder("metrics") as spill, duckdb_session(spill, threads=1) as connection:
        files = [str(data.file(ACCOUNT_COMPLETION, source)) for source in sources]
        rows = connection.sql(build_select_sql(connection, ACCOUNT_COMPLETION, files, is_uniform=False))
        return rows.select(*ACCOUNT_COMPLETION.column_names).to_arrow_table().cast(arrow_schema(ACCOUNT_COMPLETION))


def _leave_out_damaged(data: DataDir, sources: Iterable[Partition]) -> list[Partition]:
    """Return those of these accounts whose file can be read whole: files of earlier versions have no checksum."""
    found = []
    for source in sources:
        with _leaving_out_damaged():
            read_whole(data.file(ACCOUNT_COMPLETION, source), ACCOUNT_COMPLETION)
            found.append(source)
    return found


@contextmanager
def _leaving_out_damaged() -> Iterator[None]:
    try:
        yield
    except LakeError as error:
        log.warning("%s The portfolio leaves the account out.", error)
