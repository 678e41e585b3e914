"""Reading of tables over chosen accounts and days, as Arrow or pandas.

Belongs here: published files of committed partitions, by column name. SQL over the lake is `warehouse.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow.fs import FSSpecHandler, PyFileSystem

from lms_pipeline.errors import LakeError, WrongUseError
from lms_pipeline.lake.commit_mark import find_kept_file, read_commit_mark
from lms_pipeline.lake.files import ReadMetadata, check_readable, check_unchanged, check_version, read_metadata
from lms_pipeline.lake.path_columns import build_path_schema, build_read_schema
from lms_pipeline.lake.paths import AnyPartition, DataDir, DayPartition, Partition, check_account_id
from lms_pipeline.lake.roll_up_reading import CurrentRollUps, find_current_roll_ups
from lms_pipeline.lake.trend import TREND_SOURCES, compute_trend
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import VIEWS, table_named
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table

if TYPE_CHECKING:
    import pandas as pd

_COMMITTED_BY_UNIFIED = {RAW_ENROLLMENTS.name, REJECTED_ENROLLMENTS.name}
"""Tables whose files are read only if `unified_enrollments`, which is published last, is of the same run."""

MAX_LOOKS = 3
"""Looks at a file that is not of its mark: a publication may replace first the one, then the other, each during a look."""
MAX_FILES_READ = 16
"""Accounts up to which their own files are read, although there are roll-ups with all accounts."""

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

    The rows are in the order of account and day. They come from roll-ups where these are current, else from the files of
    the accounts. In a bucket, roll-ups are read there, and files of accounts are fetched into the data directory. A table
    over all accounts, such as `portfolio_completion`, has no `account_id`. The view `completion_trend` is computed.

    Args:
        table: its name, such as `unified_enrollments`.
        accounts: a list of ids; None for all accounts.
        first: the first day, included.
        last: the last day, included.
        data_dir: a data directory on this machine; None for the lake of the settings.

    Raises:
        UnknownTableError: there is no table of this name.
        WrongUseError: accounts are given for a table over all accounts, or they are one text.
        BadIdError: an account's id is not valid.
        LakeError: a file was written by a newer version of this package, or is damaged.
        StoreError: the bucket can't be used.
    """
    described = table_named(table)
    data = DataDir(data_dir) if data_dir is not None else DataDir.open(Settings.load())
    if isinstance(accounts, str):  # its characters would be ids
        raise WrongUseError(f"The accounts have to be a list of ids: write accounts=[{accounts!r}].")
    ids = None if accounts is None else set(map(check_account_id, accounts))
    first, last = first or date.min, last or date.max
    if table in VIEWS:
        # a row is compared with earlier ones, also with those before the first day
        sources = {source: _find_files(data, source, ids, date.min, last) for source in TREND_SOURCES}
        with naming_damaged_file([file for files in sources.values() for file in files]):
            return compute_trend(sources, first, last)
    if ids is not None and not described.per_account:
        raise WrongUseError(f"The rows of {table} are over all accounts: leave the accounts out.")
    rolled = _find_roll_ups(data, described, ids, first, last)
    if not rolled.files:
        return _read_files(data, described, _find_files(data, described, ids, first, last))
    others = [one for one in rolled.others if ids is None or (isinstance(one, Partition) and one.account_id in ids)]
    rows = _read_files(data, described, _list_files(data, described, others))
    more = _read_roll_ups(data, described, list(rolled.files.values()), ids)
    return pa.concat_tables([rows, more]).sort_by([("account_id", "ascending"), ("snapshot_date", "ascending")])


def _read_files(data: DataDir, table: Table, files: list[str]) -> pa.Table:
    """Return the rows of files of a table, which are on this machine.

    Raises:
        LakeError: a file is damaged.
    """
    with naming_damaged_file(files):
        return _open_dataset(table, files, build_path_schema(table), str(data.lake / table.name)).to_table()


def _read_roll_ups(data: DataDir, table: Table, files: Sequence[Path], ids: set[str] | None) -> pa.Table:
    """Return the rows of roll-ups of a table; those of chosen accounts, without the row groups that have none of these.

    Raises:
        LakeError: a file is damaged.
        StoreError: a file in a bucket was replaced meanwhile, or the bucket can't be used.
    """
    in_path = pa.schema([build_path_schema(table).field("snapshot_date")])
    addresses, root = [data.describe(path) for path in files], data.describe(data.roll_ups / table.name)
    chosen = None if ids is None else ds.field("account_id").isin(sorted(ids))
    if data.store.is_local:
        with naming_damaged_file(addresses):
            return _open_dataset(table, addresses, in_path, root).to_table(filter=chosen)
    from lms_pipeline.storage.file_system import StoredFileSystem  # imports fsspec

    stored = PyFileSystem(FSSpecHandler(StoredFileSystem(data.store)))
    try:
        return _open_dataset(table, addresses, in_path, root, stored).to_table(filter=chosen)
    except (OSError, pa.ArrowException) as error:
        raise LakeError(
            f"A roll-up in {root} is damaged: run `lms-pipeline materialize --select warehouse`, which writes it again."
        ) from error


def _open_dataset(
    table: Table, files: list[str], in_path: pa.Schema, root: str, file_system: PyFileSystem | None = None
) -> ds.Dataset:
    """Open files of a table, some of whose columns are in their paths below a folder."""
    return ds.dataset(
        files,
        schema=build_read_schema(table),
        format="parquet",
        filesystem=file_system,
        partitioning=ds.partitioning(in_path, flavor="hive"),
        partition_base_dir=root,
    )


def _find_roll_ups(data: DataDir, table: Table, ids: set[str] | None, first: date, last: date) -> CurrentRollUps:
    """Return the roll-ups to read instead of the files of accounts: none for few accounts, or if one is damaged."""
    if ids is not None and len(ids) <= MAX_FILES_READ:
        return CurrentRollUps()
    found = find_current_roll_ups(data, table, first, last)
    if not data.store.is_local:  # whose objects nothing but the store can damage
        return found
    try:
        for path in found.files.values():
            check_unchanged(path)
    except LakeError as error:
        log.warning("%s The files of the accounts are read.", error)
        return CurrentRollUps()
    return found


def _find_files(data: DataDir, table: Table, ids: set[str] | None, first: date, last: date) -> list[str]:
    """Return the files of a table that may be read, after a look at their bytes.

    With ids, there are none of a table over all accounts.

    Raises:
        LakeError: a file was written by a newer version of this package, or is damaged.
    """
    if ids is not None and not table.per_account:
        return []
    partitions = [
        partition
        for partition in data.find_any_partitions(table)
        if first <= partition.day <= last
        and (isinstance(partition, DayPartition) or ids is None or partition.account_id in ids)
    ]
    return _list_files(data, table, partitions)


def _list_files(data: DataDir, table: Table, partitions: Sequence[AnyPartition]) -> list[str]:
    """Return the files of partitions that may be read, after a look at their bytes.

    Raises:
        LakeError: a file was written by a newer version of this package, or is damaged.
    """
    tables = {table, UNIFIED_ENROLLMENTS} if table.name in _COMMITTED_BY_UNIFIED else {table}

    def find() -> list[Path]:
        return [path for _, path in find_committed(data, table, partitions, fetch_again=fetch_again)]

    def fetch_again(partition: AnyPartition) -> None:
        # in a bucket its files may have been fetched one before, one after a publication
        data.fetch(tables, [partition])

    data.fetch(tables, partitions)
    files = find()
    if not all(file.exists() for file in files):  # a pull has just replaced them
        files = find()
    for file in files:
        check_unchanged(file)
    return [str(file) for file in files]


@contextmanager
def naming_damaged_file(files: Sequence[str]) -> Iterator[None]:
    """If the block can't read the files, read each whole, which names the damaged one.

    Raises:
        LakeError: a file is damaged.
    """
    try:
        yield
    except (OSError, pa.ArrowException, duckdb.Error):
        for file in files:
            check_readable(Path(file))
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
    data: DataDir,
    table: Table,
    partitions: Iterable[AnyPartition],
    read: ReadMetadata = read_metadata,
    fetch_again: Callable[[AnyPartition], None] = lambda _: None,
) -> Iterator[tuple[AnyPartition, Path]]:
    """Yield the partitions that may be read, each with its file of the table; the others are logged.

    `read` returns the metadata of a file. `fetch_again` is called before a partition whose file is not of its mark is looked at
    again.

    Raises:
        LakeError: a file is damaged, or was written by a newer version of this package.
    """
    for partition in partitions:
        path = _find_committed_file(data, table, partition, read, fetch_again)
        if path is not None:
            yield partition, path


def _find_committed_file(
    data: DataDir,
    table: Table,
    partition: AnyPartition,
    read: ReadMetadata,
    fetch_again: Callable[[AnyPartition], None],
) -> Path | None:
    """Return the file of a partition if it may be read; None if its pull did not finish, which is logged.

    A pull that publishes at this moment may replace the file or its mark between the looks at them, so a file that is not of
    the mark is looked at again.
    """
    read_mark = partial(read_commit_mark, data, partition, read)
    for look in range(MAX_LOOKS):
        if look:
            fetch_again(partition)
        path = find_kept_file(data, table, partition, read) or data.file(table, partition)
        try:
            metadata = read(path)
        except LakeError:
            if look == MAX_LOOKS - 1 or path.exists():
                raise
            continue  # a kept file, whose pull has ended
        check_version(data.file(table, partition), metadata)
        if _is_of_mark(table, metadata, read_mark):
            return path
    _log_left_out(table, partition)
    return None


def is_committed(
    data: DataDir, table: Table, partition: AnyPartition, metadata: dict[str, str], read_mark: Callable[[], str | None]
) -> bool:
    """Return whether a file with this metadata may be read; one that may not is logged.

    `read_mark` returns the commit mark of the partition.

    Raises:
        LakeError: it was written by a newer version of this package, or the file with the commit mark is damaged.
    """
    check_version(data.file(table, partition), metadata)
    if _is_of_mark(table, metadata, read_mark):
        return True
    _log_left_out(table, partition)
    return False


def _is_of_mark(table: Table, metadata: dict[str, str], read_mark: Callable[[], str | None]) -> bool:
    return table.name not in _COMMITTED_BY_UNIFIED or metadata.get("run_id") == read_mark()


def _log_left_out(table: Table, partition: AnyPartition) -> None:
    log.warning("%s of %s is left out: its pull did not finish.", table.name, partition)
