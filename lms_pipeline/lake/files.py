"""One Parquet file of the lake: written in row groups, closed with its metadata, read back.

Belongs here: a single file. Which files are published together is `publishing.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.dictionaries import choose_dictionaries
from lms_pipeline.lake.digest import Digest
from lms_pipeline.lake.footer import is_unchanged, replace_footer
from lms_pipeline.lake.slices import iter_slices
from lms_pipeline.lake.space import CheckSpace, allow_any_size
from lms_pipeline.storage.copies import find_address
from lms_pipeline.storage.disk import convert_disk_errors, sync
from lms_pipeline.tables.schema import SCHEMA_VERSION, Table, arrow_schema

ROWS_PER_GROUP = 32_768
MAX_GROUP_BYTES = 32 * 2**20
"""Bytes in memory of a row group with more than one row. 32,768 usual enrollments with their raw payload are 30 MB."""
ROWS_PER_SIZE_CHECK = 64
"""Rows after which the Parquet writer looks whether a page is full. With its 1,024 rows, a page of large rows is a whole
row group: 96 MB more at the peak, for 32 MB of rows."""

PREFIX = "lms_pipeline."
"""Before the name of each entry that we write to a file's metadata."""
WRITER_ENTRIES = frozenset({"schema_version", "digest", "checksum"})
"""Names of entries that `TableFile` sets itself."""

ReadMetadata: TypeAlias = Callable[[Path], dict[str, str]]
"""`read_metadata`, or a function that remembers what that returned."""


class RowGroupWriter:
    """A Parquet file being written in row groups of `ROWS_PER_GROUP` rows, whatever the size of the batches.

    Rows that are larger than usual come in smaller groups, of at most `MAX_GROUP_BYTES`: the rows in memory, here and in
    those who read the file, have a limit in bytes too. Use it as a context manager: a file that is not closed when the
    block ends is removed.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        compression: str,
        on_write: Callable[[pa.Table], None] | None = None,
        check_space: CheckSpace = allow_any_size,
    ) -> None:
        """Create the file and the folders above it; `on_write` gets the rows that are about to be written.

        Raises:
            LakeError: the file can't be written.
        """
        self.path = path
        self.schema = schema
        self.rows = 0
        """Rows so far, with those in the buffer."""
        self._on_write = on_write
        self._check_space = check_space
        self._buffer: list[pa.RecordBatch] = []
        self._buffered_rows = self._buffered_bytes = 0
        self._compression = compression
        with convert_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer: pq.ParquetWriter | None = self._create(use_dictionary=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_open:
            self.discard()

    @property
    def is_open(self) -> bool:
        """Whether the file is not finished."""
        return self._writer is not None

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch, and write the row groups that are full.

        Raises:
            LakeError: the file can't be written or is finished, or `check_space` refuses it.
        """
        if not batch.num_rows:
            return
        if self._writer is None:
            raise LakeError(f"{self.path} is finished, and no rows can be added to it.")
        self.rows += batch.num_rows
        for part in iter_slices(batch, MAX_GROUP_BYTES):
            size = part.nbytes  # takes 60 µs for a page
            if self._buffered_bytes + size > MAX_GROUP_BYTES:
                self._write_first(self._buffered_rows)
            self._buffered_rows += part.num_rows
            self._buffered_bytes += size
            self._buffer.append(part)
            if self._buffered_rows >= ROWS_PER_GROUP:
                self._write_first(self._buffered_rows // ROWS_PER_GROUP * ROWS_PER_GROUP)

    def end_rows(self) -> None:
        """Write the rows of the buffer: all rows are readable from now on, and none can be added.

        Raises:
            LakeError: the file can't be written.
        """
        if self._writer is None:
            return
        self._write_first(self._buffered_rows)
        with convert_disk_errors(self.path):
            self._writer.close()
            self._writer = None

    def discard(self) -> None:
        """Remove the file; rows in the buffer are never written. One that can't be removed stays hidden, for housekeeping."""
        self._buffer = []
        with suppress(OSError):  # the error of a full or read-only disk was raised before
            if self._writer is not None:
                self._writer.close()
        self._writer = None
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _create(self, *, use_dictionary: list[str] | bool) -> pq.ParquetWriter:
        return pq.ParquetWriter(
            self.path,
            self.schema,
            compression=self._compression,
            write_batch_size=ROWS_PER_SIZE_CHECK,
            use_dictionary=use_dictionary,
        )

    def _write_first(self, count: int) -> None:
        """Write the first `count` rows of the buffer."""
        rows = self._take_first(count)
        if not count or self._writer is None:
            return
        self._check_space(rows.nbytes)
        if self._on_write is not None:
            self._on_write(rows)
        with convert_disk_errors(self.path):
            self._writer.write_table(rows, row_group_size=ROWS_PER_GROUP)

    def _take_first(self, count: int) -> pa.Table:
        """Remove the first `count` rows from the buffer, and return them in one chunk.

        The batches that they came in are free when this returns: up to 30 MB less while the rows are written.
        """
        buffered = pa.Table.from_batches(self._buffer, self.schema)
        self._buffer = buffered.slice(count).to_batches()
        self._buffered_rows -= count
        self._buffered_bytes = sum(batch.nbytes for batch in self._buffer)
        return buffered.slice(0, count).combine_chunks()  # many batches take twice the time to hash and to write


class TableFile(RowGroupWriter):
    """A file of a table being written, with a digest over its rows and a checksum over its bytes."""

    def __init__(self, table: Table, path: Path, check_space: CheckSpace = allow_any_size) -> None:
        """Create the file.

        Raises:
            LakeError: it can't be written.
        """
        self.table = table
        self._digest = Digest(arrow_schema(table))
        self._has_groups = self._is_closed = False
        super().__init__(path, arrow_schema(table), "zstd", self._begin_group, check_space)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch, whose schema must be the table's.

        Raises:
            LakeError: it is another schema, or the file can't be written.
        """
        if not batch.schema.equals(self.schema):
            raise LakeError(f"A batch for {self.table.name} has other columns than the table; nothing is published.")
        super().write(batch)

    def write_all(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Add the rows of all batches, cast to the table's types where DuckDB has its own."""
        for batch in batches:
            self.write(batch.cast(self.schema))

    @property
    def is_open(self) -> bool:
        """Whether the file has no metadata yet."""
        return not self._is_closed

    def close(self, metadata: Mapping[str, str] | None = None) -> None:
        """Finish the file with `metadata` and the `WRITER_ENTRIES`, and sync it to the disk.

        A file that is closed stays as it is.

        Raises:
            LakeError: it can't be written.
        """
        if self._is_closed:
            return
        self.end_rows()
        entries = {"schema_version": str(SCHEMA_VERSION), **(metadata or {}), "digest": self._digest.hexdigest()}
        with convert_disk_errors(self.path):
            replace_footer(self.path, self.schema, {f"{PREFIX}{name}": value for name, value in entries.items()})
            sync(self.path)
        self._is_closed = True

    def discard(self) -> None:
        """Remove the file; rows in the buffer are never written."""
        super().discard()
        self._is_closed = True

    def _begin_group(self, rows: pa.Table) -> None:
        """Add rows to the digest; before the first ones, begin the file again with the dictionaries that they need."""
        self._digest.update(rows)
        if self._has_groups or self._writer is None:
            return
        self._has_groups = True
        dictionaries = choose_dictionaries(rows)
        if dictionaries is not True:
            with convert_disk_errors(self.path):
                self._writer.close()
                self._writer = self._create(use_dictionary=dictionaries)


def conform(batch: pa.RecordBatch, table: Table) -> pa.RecordBatch:
    """Return the batch with the table's columns; a column that an older file lacks is null."""
    schema = arrow_schema(table)
    present = set(batch.schema.names)
    columns = [
        batch.column(field.name).cast(field.type) if field.name in present else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def check_version(path: Path, metadata: dict[str, str]) -> None:
    """Refuse a file whose columns may have a meaning that this version doesn't know.

    Raises:
        LakeError: it was written by a newer version of this package.
    """
    version = metadata.get("schema_version", "0")
    if int(version) > SCHEMA_VERSION:
        raise LakeError(
            f"{find_address(path)} was written by a newer lms_pipeline (schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}): upgrade this one."
        )


@contextmanager
def convert_read_errors(path: Path | str) -> Iterator[None]:
    """Raise errors of reading a file, or the files of a folder, as one sentence; one in a bucket is named by its address.

    Raises:
        LakeError: it can't be read, or is damaged.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise LakeError(f"{path} can't be read: {error.strerror}.") from error
        raise LakeError(
            f"{find_address(path)} is damaged: restore it, or run `lms-pipeline replay` for its day; an open day can also be "
            "pulled again."
        ) from error


def read_footer(path: Path) -> pq.FileMetaData:
    """Return the footer of a file: its columns, row groups and metadata.

    Raises:
        LakeError: it can't be read, or is no Parquet file.
    """
    with convert_read_errors(path):
        return pq.read_metadata(path)


def count_nulls(footer: pq.FileMetaData, name: str) -> int | None:
    """Return the number of rows without a value of a column; None if the footer does not have it."""
    index = footer.schema.names.index(name)
    groups = (footer.row_group(number).column(index).statistics for number in range(footer.num_row_groups))
    counts = [found.null_count if found is not None and found.has_null_count else None for found in groups]
    return None if None in counts else sum(filter(None, counts))


def select_metadata(footer: pq.FileMetaData) -> dict[str, str]:
    """Return our entries in the metadata of a footer, by names without the prefix."""
    prefix, entries = PREFIX.encode(), footer.metadata or {}
    return {
        key.removeprefix(prefix).decode(): value.decode() for key, value in entries.items() if key.startswith(prefix)
    }


def check_unchanged(path: Path) -> None:
    """Refuse a file whose bytes are not those that were written. A file of an earlier version has no checksum, and passes.

    Raises:
        LakeError: it can't be read, or is damaged.
    """
    read_footer(path)
    with convert_read_errors(path):
        if not is_unchanged(path):
            raise pa.ArrowInvalid("The checksum differs.")


def iter_row_groups(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, by row group: its bytes have a limit, those of a batch over several groups have none."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(row_groups=[group])


def check_readable(path: Path) -> None:
    """Read a whole file, after a query over it failed.

    Raises:
        LakeError: it can't be read, or is damaged.
    """
    with convert_read_errors(path), pq.ParquetFile(path) as file:
        for _ in iter_row_groups(file):
            pass


def read_metadata(path: Path) -> dict[str, str]:
    """Return our entries in the metadata of a file, by names without the prefix.

    Raises:
        LakeError: it can't be read, or is no Parquet file.
    """
    return select_metadata(read_footer(path))


def count_rows(path: Path) -> int:
    """Return the number of rows of a file.

    Raises:
        LakeError: it can't be read, or is no Parquet file.
    """
    rows: int = read_footer(path).num_rows
    return rows
