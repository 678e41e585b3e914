"""One Parquet file of the lake: written in batches, closed with what has to be known of it, read back.

What belongs here: a single file. Which files are published together is `publishing.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.lake.disk import LakeError, disk_errors, sync
from lms_pipeline.lake.engine import duckdb_session, sql
from lms_pipeline.tables.schema import SCHEMA_VERSION, Table, arrow_schema

ROWS_PER_GROUP = 32_768
"""A row group of enrollments with their raw payload is some 30 MB in memory."""

PREFIX = "lms_pipeline."


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the rows of a file come from; it stands in the file's metadata under `lms_pipeline.`."""

    run_id: str
    pulled_at: datetime
    strategy: str
    requests: int
    complete: bool

    def metadata(self) -> dict[str, str]:
        """As text, the way Parquet keeps it."""
        return {
            "run_id": self.run_id,
            "pulled_at": self.pulled_at.isoformat(),
            "strategy": self.strategy,
            "requests": str(self.requests),
            "complete": str(self.complete).lower(),
        }


class TableFile:
    """A file being written: batches go to row groups of equal size, whatever the size of the answers.

    Use it as a context manager; left without `close`, the file is removed.
    """

    def __init__(self, table: Table, path: Path) -> None:
        self.table = table
        self.path = path
        self.rows = 0
        self._schema = arrow_schema(table)
        self._waiting: list[pa.RecordBatch] = []
        self._rows_waiting = 0
        self._digest = Digest()
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer: pq.ParquetWriter | None = pq.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> Self:
        """The file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Throw away what was not closed."""
        if self._writer is not None:
            with suppress(OSError):  # a full disk has been told already
                self._writer.close()
            self._writer = None
            self.path.unlink(missing_ok=True)

    @property
    def is_open(self) -> bool:
        """Whether rows can still be written."""
        return self._writer is not None

    def write(self, batch: pa.RecordBatch) -> None:
        """Take the rows of `batch`, whose schema must be the table's."""
        if not batch.schema.equals(self._schema):
            raise LakeError(
                f"A batch for {self.table.name} has other columns than the table; nothing is published."
            )
        if not batch.num_rows:
            return
        self.rows += batch.num_rows
        self._rows_waiting += batch.num_rows
        self._waiting.append(batch)
        if self._rows_waiting >= ROWS_PER_GROUP:
            self._flush(self._rows_waiting // ROWS_PER_GROUP * ROWS_PER_GROUP)

    def write_all(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take all of `batches`, cast to the table's types where DuckDB has its own."""
        for batch in batches:
            self.write(batch.cast(self._schema))

    def close(self, metadata: dict[str, str]) -> None:
        """Finish the file with `metadata`, the schema's version and the digest, and bring it to the disk."""
        self._flush(self._rows_waiting)
        assert self._writer is not None, "closed already"  # noqa: S101
        metadata = {"schema_version": str(SCHEMA_VERSION), **metadata, "digest": self._digest.hexdigest()}
        with disk_errors(self.path):
            self._writer.add_key_value_metadata(
                {f"{PREFIX}{name}": value for name, value in metadata.items()}
            )
            self._writer.close()
            self._writer = None
            sync(self.path)

    def _flush(self, count: int) -> None:
        """Write the first `count` of the rows that wait."""
        waiting = pa.Table.from_batches(self._waiting, self._schema)
        rows, self._waiting = waiting.slice(0, count), waiting.slice(count).to_batches()
        self._rows_waiting -= count
        if count and self._writer is not None:
            self._digest.update(rows)
            with disk_errors(self.path):
                self._writer.write_table(rows, row_group_size=ROWS_PER_GROUP)


class Digest:
    """A sum over the hashes of all rows but their `fetched_at`: equal for equal rows, in whatever order or batches."""

    def __init__(self) -> None:
        self._sum = 0

    def update(self, rows: pa.Table) -> None:
        """Add rows."""
        with duckdb_session() as connection:
            connection.register("added", rows)
            ((high, low),) = connection.sql(sql(__package__, "digest.sql")).fetchall()
        self._sum = (self._sum + (int(high) << 64) + int(low)) % 2**128

    def hexdigest(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._sum:032x}"


def conforming(batch: pa.RecordBatch, table: Table) -> pa.RecordBatch:
    """The batch with the table's columns; one that an older file lacks is null."""
    schema = arrow_schema(table)
    there = set(batch.schema.names)
    columns = [
        batch.column(field.name).cast(field.type) if field.name in there else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def check_version(path: Path, metadata: dict[str, str]) -> None:
    """Refuse a file, given what it tells of itself, whose columns may mean what this code doesn't know.

    Raises:
        LakeError: it was written by a newer version of this package.
    """
    version = metadata.get("schema_version", "0")
    if int(version) > SCHEMA_VERSION:
        raise LakeError(
            f"{path} was written by a newer lms_pipeline (schema {version}, this one reads up to {SCHEMA_VERSION}): "
            "upgrade this one."
        )


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Tell a file that can't be read, or one below a folder, in one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise LakeError(f"{path} can't be read: {error.strerror}.") from error
        raise _damaged(path) from error
    except pa.ArrowInvalid as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> LakeError:
    return LakeError(f"{path} is damaged: restore it, or remove it and pull the day again.")


@dataclass(frozen=True, slots=True)
class Footer:
    """What stands at the end of a file."""

    metadata: dict[str, str]
    """What it tells of itself, without the prefix."""
    rows: int


def read_footer(path: Path) -> Footer:
    """What a file tells of itself, and how many rows it holds.

    Raises:
        LakeError: it is no Parquet file.
    """
    with damage(path):
        found = pq.read_metadata(path)
    prefix = PREFIX.encode()
    metadata = {
        key.removeprefix(prefix).decode(): value.decode()
        for key, value in (found.metadata or {}).items()
        if key.startswith(prefix)
    }
    return Footer(metadata, found.num_rows)


def read_metadata(path: Path) -> dict[str, str]:
    """What a file tells of itself, without the prefix.

    Raises:
        LakeError: it is no Parquet file.
    """
    return read_footer(path).metadata


def count_rows(path: Path) -> int:
    """How many rows a file holds.

    Raises:
        LakeError: it is no Parquet file.
    """
    return read_footer(path).rows
