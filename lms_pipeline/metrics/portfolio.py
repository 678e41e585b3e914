"""The completion of all accounts together at the end of one day: the sums of their `account_completion`.

Belongs here: one day. Not here: which days are computed (`portfolio_days.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lms_pipeline.accounts.registry import RegisteredAccount
from lms_pipeline.lake.disk import LakeError
from lms_pipeline.lake.files import check_unchanged, check_version, convert_read_errors, read_metadata
from lms_pipeline.lake.paths import DataDir, DayPartition
from lms_pipeline.lake.publishing import Published, publish_table
from lms_pipeline.metrics.completion import NoSnapshotError
from lms_pipeline.tables.measures import RATES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.schema import arrow_schema

log = logging.getLogger(__name__)


def find_missing_accounts(accounts: Sequence[RegisteredAccount], day: date, present: Collection[str]) -> list[str]:
    """Return the registered accounts that should have a day and are not in `present`."""
    return [
        a.id
        for a in accounts
        if a.id not in present and a.first_day <= day and (a.last_day is None or day <= a.last_day)
    ]


def publish_portfolio(
    data: DataDir, day: date, accounts: Sequence[RegisteredAccount], *, run_id: str, metadata: Mapping[str, str]
) -> Published:
    """Compute the sums of all accounts that have a day, and publish them.

    An account whose file can't be read is logged, and counts as missing.

    Raises:
        NoSnapshotError: no account has a readable file of the day.
        LakeError: the file can't be written.
    """
    described = arrow_schema(ACCOUNT_COMPLETION)
    tables, present = [], set()
    for partition in data.find_partitions(ACCOUNT_COMPLETION):
        if partition.day != day:
            continue
        path = data.file(ACCOUNT_COMPLETION, partition)
        try:
            check_version(path, read_metadata(path))
            check_unchanged(path)
            with convert_read_errors(path), pq.ParquetFile(path) as file:
                table = file.read()
        except LakeError as error:
            log.warning("%s It is left out of the portfolio.", error)
            continue
        tables.append(
            pa.table(
                [table[f.name] if f.name in table.column_names else pa.nulls(len(table), f.type) for f in described],
                schema=described,
            )
        )
        present.add(partition.account_id)
    if not tables:
        raise NoSnapshotError(
            f"No account has readable metrics of {day}: materialize account_completion of that day first."
        )
    rows = pa.concat_tables(tables)
    null = {"days_to_complete_p50", "days_to_complete_p90", "progress_mean"}
    row: dict[str, Any] = {
        "accounts": len(present),
        "accounts_missing": len(find_missing_accounts(accounts, day, present)),
    }
    for field in described:
        if field.name in null or field.name in {r.name for r in RATES}:
            row[field.name] = None
        elif field.name == "oldest_fetched_at":
            row[field.name] = pc.min(rows[field.name]).as_py()
        else:
            row[field.name] = pc.sum(rows[field.name]).as_py()
    for rate in RATES:
        n, d = row[f"{rate.name}_num"], row[f"{rate.name}_den"]
        row[rate.name] = n / d if n is not None and d else None
    schema = arrow_schema(PORTFOLIO_COMPLETION)
    batch = pa.RecordBatch.from_pylist([row], schema=schema)
    return publish_table(
        data,
        PORTFOLIO_COMPLETION,
        DayPartition(day),
        run_id=run_id,
        batches=pa.RecordBatchReader.from_batches(schema, [batch]),
        metadata=metadata,
    )
