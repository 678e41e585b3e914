"""Publication of a run's files: audit of all, then one step each.

Belongs here: all from a finished file to one that readers see. Not here: a single file (`files.py`), the comparison with
the previous snapshot (`row_drop.py`), checks (`checks/`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.errors import LakeError, choose_form, format_count
from lms_pipeline.lake.commit_mark import keep_committed_files
from lms_pipeline.lake.engine import duckdb_session, load_sql
from lms_pipeline.lake.files import TableFile, count_nulls, count_rows, read_footer
from lms_pipeline.lake.index_sync import begin_changes, finish_changes
from lms_pipeline.lake.paths import DATA_FILE, AnyPartition, DataDir, Partition
from lms_pipeline.lake.scan import map_parallel
from lms_pipeline.lake.space import CheckSpace, allow_any_size
from lms_pipeline.storage.disk import convert_disk_errors
from lms_pipeline.storage.store import StoredFile
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline.tables.schema import Table, arrow_schema

KEY_MEMORY_LIMIT = "64MB"
"""Memory in which the keys of a file are counted before it is published. 10,000,000 keys take 0.4 GB with the limit of
other queries, and the count is as fast with this one."""


class AuditError(LakeError):
    """A file is not as its table requires; it was not published."""


@dataclass(frozen=True, slots=True)
class Published:
    """A file that readers see."""

    table: Table
    partition: AnyPartition
    path: Path
    rows: int


class Publication:
    """The files that a run writes for a partition.

    Use it as a context manager: files that are not published when the block ends are removed, and the index has the others.
    What is stored is looked at when the first file is opened at the latest: a table that another run publishes after that
    is not replaced, unless the store is the local disk, where the partition's lock is enough.
    """

    def __init__(
        self,
        data: DataDir,
        partition: AnyPartition,
        run_id: str,
        check_space: CheckSpace = allow_any_size,
        before_publishing: Callable[[], None] = lambda: None,
        scratch: Path | None = None,
    ) -> None:
        """Describe a publication. `before_publishing` is called once the files are audited: if it raises, none is published.

        `scratch` is the folder for what the audit can't hold in memory; None is the folder of the files.
        """
        self.check_space = check_space
        """Is called before rows are written."""
        self._before_publishing = before_publishing
        self._scratch = scratch
        self.partition = partition
        self.run_id = run_id
        self._data = data
        self._written: list[Path] = []
        self._tables: list[Table] = []
        self._seen: dict[str, StoredFile | None] = {}
        self._note: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._written:
            with suppress(OSError):  # housekeeping removes it; why the disk can't be written is raised before
                path.unlink(missing_ok=True)
        if self._note is not None:
            finish_changes(self._data, self.partition, self._note, self._tables)

    def open(self, table: Table) -> TableFile:
        """Return a new file of a table, beside the file that readers see.

        Raises:
            LakeError, StorageError: it can't be written, or what is stored can't be looked at.
        """
        return self._open(table, self._data.unpublished_file(table, self.partition, self.run_id))

    def open_second(self, table: Table) -> TableFile:
        """Return one more new file of a table, for rows that are written again without some of them.

        Raises:
            LakeError, StorageError: it can't be written, or what is stored can't be looked at.
        """
        return self._open(table, self._data.second_unpublished_file(table, self.partition, self.run_id))

    def _open(self, table: Table, path: Path) -> TableFile:
        if self._note is None:
            self._note = f"{self.run_id} {uuid.uuid4().hex}"
            begin_changes(self._data, self.partition, self._note)
        self.look_at(table)
        self._written.append(path)
        self._tables.append(table)
        return TableFile(table, path, self.check_space)

    def look_at(self, table: Table) -> None:
        """Remember what is stored of a table, and with the first table of a pull of all of them: `publish` replaces nothing else.

        Opening a file does it. A publication that reads what it replaces calls this before.

        Raises:
            StoreError: the store can't be used.
        """
        if table.name in self._seen:
            return
        tables = PULLED_TABLES if table in PULLED_TABLES else (table,)
        found = map_parallel(self._data, self._data.store.find, list(map(self._get_key, tables)))
        self._seen |= {one.name: file for one, file in zip(tables, found, strict=True)}

    def _get_key(self, table: Table) -> str:
        return self._data.get_key(self._data.file(table, self.partition))

    def publish(self, files: Sequence[tuple[TableFile, Sequence[str]]]) -> list[Published]:
        """Audit each file with its key, then publish the files in this order; the last one is the commit mark.

        Until that is replaced, the replaced files of a committed pull stay under a name of their own on a disk: if the
        process dies, readers use them, and `restore_interrupted` puts them back. In a bucket such files are not the mark's,
        so readers leave them out until the next run. Lists are read as they are, since a run may publish them alone.

        Raises:
            AuditError: a file is not as its table requires; none was published.
            PublishedByAnotherError: another run has published a table meanwhile; those after it were not published.
            LakeError, StorageError: a file can't be published; those after it were not.
        """
        audited = _audit_files(files, self._scratch)
        self._before_publishing()
        published: list[Published] = []
        kept = keep_committed_files(self._data, self.partition, [file.table for file, _ in audited])
        for file, rows in audited:
            target = self._data.file(file.table, self.partition)
            self._data.store.publish(file.path, self._get_key(file.table), self._seen[file.table.name])
            published.append(Published(file.table, self.partition, target, rows))
        for path in kept:
            path.unlink(missing_ok=True)
        return published


def publish_table(
    data: DataDir,
    table: Table,
    partition: AnyPartition,
    *,
    run_id: str,
    batches: pa.RecordBatchReader,
    metadata: Mapping[str, str],
    before_publishing: Callable[[], None] = lambda: None,
) -> Published:
    """Write, audit and publish one table. If `before_publishing`, which is called last, raises, nothing is published.

    Raises:
        AuditError: the file is not as its table requires.
        LakeError, StorageError: it can't be written or published.
    """
    publication = Publication(data, partition, run_id, before_publishing=before_publishing)
    with publication, publication.open(table) as file:
        file.write_all(batches)
        file.close({"run_id": run_id, **metadata})
        return publication.publish([(file, table.key)])[0]


def find_published_files(data: DataDir, tables: Sequence[Table], partition: Partition) -> list[Published]:
    """Return the published files of a partition, in the order of the tables.

    Raises:
        LakeError: a file is damaged.
    """
    files = [(table, data.file(table, partition)) for table in tables]
    return [Published(table, partition, path, count_rows(path)) for table, path in files if path.exists()]


def remove_leftovers(data: DataDir, tables: Iterable[Table], partition: Partition) -> None:
    """Remove unpublished files that dead runs left in a partition. The caller holds the partition's lock.

    Raises:
        LakeError: a file can't be removed.
    """
    for table in tables:
        folder = data.file(table, partition).parent
        with convert_disk_errors(folder):
            for path in folder.glob(f".{DATA_FILE}.*"):
                path.unlink(missing_ok=True)


def _audit_files(files: Sequence[tuple[TableFile, Sequence[str]]], scratch: Path | None) -> list[tuple[TableFile, int]]:
    """Audit each file with its key, all in one session; return the files with their rows."""
    if not files:
        return []
    spill_to = scratch or files[0][0].path.parent
    with duckdb_session(spill_to=spill_to, memory_limit=KEY_MEMORY_LIMIT) as connection:
        return [(file, audit_file(connection, file.path, file.table, key)) for file, key in files]


def audit_file(connection: duckdb.DuckDBPyConnection, path: Path, table: Table, key: Sequence[str]) -> int:
    """Check that a file has the table's schema, and that each row has a key of its own.

    Returns:
        The rows of the file.

    Raises:
        AuditError: it hasn't; the sentence names the table, the column and how many rows.
    """
    with pq.ParquetFile(path) as file:
        if not file.schema_arrow.remove_metadata().equals(arrow_schema(table)):
            raise AuditError(f"The new file of {table.name} does not have the table's columns; nothing was published.")
        footer = file.metadata
    rows: int = footer.num_rows
    if not key:
        return rows
    faults = count_key_faults(connection, path, key, footer)
    nulls_by_name = {name: count for name, count in faults.nulls.items() if name not in table.optional_key}
    if nulls_by_name:
        name, nulls = next(iter(nulls_by_name.items()))
        have = choose_form(nulls, "has", "have")
        raise AuditError(f"{format_count(nulls, 'row')} of {table.name} {have} no {name}; nothing was published.")
    if faults.repeated:
        repeat = choose_form(faults.repeated, "repeats", "repeat")
        raise AuditError(
            f"{format_count(faults.repeated, 'row')} of {table.name} {repeat} the key of another; nothing was published."
        )
    return rows


@dataclass(frozen=True, slots=True)
class KeyFaults:
    """Rows that their key does not identify."""

    nulls: dict[str, int]
    """Rows without a value, by column of the key; only columns with such rows."""
    repeated: int
    """Rows with the key of an earlier row."""


def find_key_faults(path: Path, key: Sequence[str], spill_to: Path) -> KeyFaults:
    """Count the rows of a file whose key is null or repeated."""
    with duckdb_session(spill_to=spill_to, memory_limit=KEY_MEMORY_LIMIT) as connection:
        return count_key_faults(connection, path, key, read_footer(path))


def count_key_faults(
    connection: duckdb.DuckDBPyConnection, path: Path, key: Sequence[str], footer: pq.FileMetaData
) -> KeyFaults:
    """Count the rows of a file whose key is null or repeated. The footer has the number of nulls, if the writer put it there."""
    pa.default_memory_pool().release_unused()  # of the rows that were written, which Arrow keeps for later ones
    columns = {name: duckdb.ColumnExpression(name) for name in key}
    nulls = {name: count_nulls(footer, name) for name in key}
    # as many hashes as rows are as many keys; they take less time than the keys, which are counted otherwise
    sql = load_sql(__package__, "key_hashes.sql")
    [(hashes,)] = connection.execute(sql, {"path": str(path), "key": list(key)}).fetchall()
    if hashes == footer.num_rows and None not in nulls.values():
        return KeyFaults({name: count for name, count in nulls.items() if count}, repeated=0)
    keys = connection.read_parquet(str(path)).select(*columns.values())
    nulls = {name: len(keys.filter(column.isnull())) for name, column in columns.items()}
    return KeyFaults(
        nulls={name: count for name, count in nulls.items() if count}, repeated=len(keys) - len(keys.distinct())
    )


def audit_counts(*, received: int, unified: int, rejected: int, duplicates: int) -> None:
    """Check that each enrollment that was served, carried over or read from a roster is accounted for.

    Raises:
        AuditError: `received` is not the sum of the stored, the rejected and the duplicates.
    """
    if received != unified + rejected + duplicates:
        raise AuditError(
            f"{format_count(received, 'enrollment')} {choose_form(received, 'was', 'were')} fetched or carried over, but "
            f"{unified} {choose_form(unified, 'is', 'are')} stored, {rejected} rejected and {format_count(duplicates, 'duplicate')}; "
            "nothing was published."
        )
