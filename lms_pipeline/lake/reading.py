"""The lake from Python: a table over chosen accounts and days, as Arrow or pandas.

What belongs here: reading published files, by column name, with the partition columns. SQL is the warehouse's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from lms_pipeline.lake.files import check_version, damage, read_metadata
from lms_pipeline.lake.paths import DataDir, Partition, check_account_id
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import table_named
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table, arrow_schema

if TYPE_CHECKING:
    import pandas as pd

UNDER_THE_MARK = {RAW_ENROLLMENTS.name, REJECTED_ENROLLMENTS.name}

log = logging.getLogger(__name__)


def committed(data: DataDir, table: Table, partitions: Iterable[Partition]) -> Iterator[Partition]:
    """Those of the partitions that may be read; one that may not is logged.

    Raises:
        LakeError: a file is damaged, or was written by a newer version of this package.
    """
    for partition in partitions:
        metadata = read_metadata(data.file(table, partition))
        if is_committed(data, table, partition, metadata):
            yield partition


def is_committed(data: DataDir, table: Table, partition: Partition, metadata: dict[str, str]) -> bool:
    """Whether a file may be read, by what it tells of itself; one that may not is logged.

    Raises:
        LakeError: it was written by a newer version of this package, or the one that holds the mark is damaged.
    """
    check_version(data.file(table, partition), metadata)
    if table.name not in UNDER_THE_MARK or metadata.get("run_id") == _mark(data, partition):
        return True
    log.warning("%s of %s is left out: its pull did not come to its end.", table.name, partition)
    return False


def _mark(data: DataDir, partition: Partition) -> str | None:
    path = data.file(UNIFIED_ENROLLMENTS, partition)
    return read_metadata(path).get("run_id") if path.exists() else None


ACCOUNT_COLUMN = pa.field("account_id", pa.string(), nullable=False)
DAY_COLUMN = pa.field("snapshot_date", pa.date32(), nullable=False)


def read(
    table: str,
    accounts: Iterable[str] | None = None,
    first: date | None = None,
    last: date | None = None,
    *,
    data_dir: Path | None = None,
) -> pa.Table:
    """The rows of a table, with `account_id` and `snapshot_date` before its own columns.

    Args:
        table: its name, like `unified_enrollments`.
        accounts: only these; all where None.
        first: the first day, included.
        last: the last day, included.
        data_dir: the data directory; that of the settings where None.

    Raises:
        LakeError: a file was written by a newer version of this package, or is damaged.
        UnknownTableError, BadIdError: what is asked for can't be.
    """
    described = table_named(table)
    data = DataDir(data_dir or Settings.load().data_dir)
    wanted = None if accounts is None else {check_account_id(account) for account in accounts}
    asked = [
        partition
        for partition in data.partitions(described)
        if (wanted is None or partition.account_id in wanted)
        and (first is None or partition.day >= first)
        and (last is None or partition.day <= last)
    ]
    files = [str(data.file(described, partition)) for partition in committed(data, described, asked)]
    schema = pa.schema([ACCOUNT_COLUMN, DAY_COLUMN, *_nullable(described)])
    found = ds.dataset(
        files,
        schema=schema,
        format="parquet",
        partitioning=ds.partitioning(pa.schema([ACCOUNT_COLUMN, DAY_COLUMN]), flavor="hive"),
        partition_base_dir=str(data.lake / table),
    )
    try:
        return found.to_table()
    except (OSError, pa.ArrowInvalid):
        for file in files:
            with damage(Path(file)), pq.ParquetFile(file) as damaged:
                damaged.read()
        raise


def frame(
    table: str,
    accounts: Iterable[str] | None = None,
    first: date | None = None,
    last: date | None = None,
    *,
    data_dir: Path | None = None,
) -> pd.DataFrame:
    """The same as `read`, as a pandas DataFrame with Arrow-backed columns: a null stays a null."""
    import pandas as pd

    rows: pd.DataFrame = read(table, accounts, first, last, data_dir=data_dir).to_pandas(
        types_mapper=pd.ArrowDtype
    )
    return rows


def _nullable(table: Table) -> list[pa.Field]:
    """A column that an older file lacks is null."""
    return [column.with_nullable(True) for column in arrow_schema(table)]  # noqa: FBT003
