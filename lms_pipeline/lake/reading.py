"""Reading of tables over chosen accounts and days, as Arrow or pandas.

Belongs here: published files of committed partitions, by column name. SQL over the lake is `warehouse.py`.
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

from lms_pipeline.lake.commit_mark import find_kept_file, read_commit_mark
from lms_pipeline.lake.files import ReadMetadata, check_unchanged, check_version, convert_read_errors, read_metadata
from lms_pipeline.lake.paths import DataDir, Partition, check_account_id
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import table_named
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, REJECTED_ENROLLMENTS
from lms_pipeline.tables.schema import Table, arrow_schema

if TYPE_CHECKING:
    import pandas as pd

PARTITION_SCHEMA = pa.schema(
    [pa.field("account_id", pa.string(), nullable=False), pa.field("snapshot_date", pa.date32(), nullable=False)]
)
"""The columns that are in the path, not in the file."""
_COMMITTED_BY_UNIFIED = {RAW_ENROLLMENTS.name, REJECTED_ENROLLMENTS.name}
"""Tables whose files are read only if `unified_enrollments`, which is published last, is of the same run."""

log = logging.getLogger(__name__)


def read(
    table: str,
    accounts: Iterable[str] | None = None,
    first: date | None = None,
    last: date | None = None,
    *,
    data_dir: Path | None = None,
) -> pa.Table:
    """Return the rows of a table, with `account_id` and `snapshot_date` before its own columns.

    Args:
        table: its name, as `unified_enrollments`.
        accounts: ids of the accounts; None for all.
        first: the first day, included.
        last: the last day, included.
        data_dir: the data directory; None for that of the settings.

    Raises:
        UnknownTableError: there is no table of this name.
        BadIdError: an account's id is not valid.
        LakeError: a file was written by a newer version of this package, or is damaged.
    """
    described = table_named(table)
    data = DataDir(data_dir or Settings.load().data_dir)
    ids = None if accounts is None else set(map(check_account_id, accounts))
    selected = (
        partition
        for partition in data.find_partitions(described)
        if (ids is None or partition.account_id in ids) and (first or date.min) <= partition.day <= (last or date.max)
    )
    partitions = list(selected)
    files = [str(path) for _, path in find_committed(data, described, partitions)]
    if not all(Path(file).exists() for file in files):  # a pull has just replaced them
        files = [str(path) for _, path in find_committed(data, described, partitions)]
    for file in files:
        check_unchanged(Path(file))
    # nullable: a column that an older file lacks is null
    columns = [column.with_nullable(nullable=True) for column in arrow_schema(described)]
    found = ds.dataset(
        files,
        schema=pa.schema([*PARTITION_SCHEMA, *columns]),
        format="parquet",
        partitioning=ds.partitioning(PARTITION_SCHEMA, flavor="hive"),
        partition_base_dir=str(data.lake / table),
    )
    try:
        return found.to_table()
    except (OSError, pa.ArrowException):
        for file in files:  # name the file that is damaged
            with convert_read_errors(Path(file)), pq.ParquetFile(file) as damaged:
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
    """Return the same as `read`, as a pandas DataFrame with Arrow-backed columns: a null stays null."""
    import pandas as pd

    rows: pd.DataFrame = read(table, accounts, first, last, data_dir=data_dir).to_pandas(types_mapper=pd.ArrowDtype)
    return rows


def find_committed(
    data: DataDir, table: Table, partitions: Iterable[Partition], read: ReadMetadata = read_metadata
) -> Iterator[tuple[Partition, Path]]:
    """Yield the partitions that may be read, each with its file of the table; the others are logged.

    `read` returns the metadata of a file.

    Raises:
        LakeError: a file is damaged, or was written by a newer version of this package.
    """
    for partition in partitions:
        path = find_kept_file(data, table, partition, read) or data.file(table, partition)
        if is_committed(data, table, partition, read(path), read):
            yield partition, path


def is_committed(
    data: DataDir, table: Table, partition: Partition, metadata: dict[str, str], read: ReadMetadata = read_metadata
) -> bool:
    """Return whether a file with this metadata may be read; one that may not is logged.

    Raises:
        LakeError: it was written by a newer version of this package, or the file with the commit mark is damaged.
    """
    check_version(data.file(table, partition), metadata)
    if table.name not in _COMMITTED_BY_UNIFIED or metadata.get("run_id") == read_commit_mark(data, partition, read):
        return True
    log.warning("%s of %s is left out: its pull did not finish.", table.name, partition)
    return False
