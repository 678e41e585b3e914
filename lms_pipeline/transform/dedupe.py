"""Between the answers and the file: rows wait on disk until all are there, then duplicates go and names come.

What belongs here: what can only be decided once every row is known, without holding the rows in memory. DuckDB does
it over a Parquet file of waiting rows and spills to disk where an account is large. (Over an Arrow file, by way of
pyarrow's dataset, DuckDB 2.0.0 with pyarrow 26.0.1 crashed the process in every other demo.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.lake.disk import LakeError, disk_errors
from lms_pipeline.lake.engine import duckdb_session, sql
from lms_pipeline.lake.files import ROWS_PER_GROUP, TableFile
from lms_pipeline.tables.schema import Table, arrow_schema

POSITION, KEY = "_position", "_key"


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Rows that were served with a key that a later row has too, and were dropped for it."""

    identical: int
    conflicting: int

    @property
    def total(self) -> int:
        """All that were dropped."""
        return self.identical + self.conflicting


NO_DUPLICATES = Duplicates(0, 0)


class StagedRows:
    """The rows of a table as served, with their position and key, in a file; use it as a context manager."""

    def __init__(self, table: Table, key: Sequence[str], folder: Path) -> None:
        self.table = table
        self.rows = 0
        self._key = list(key)
        self._folder = folder
        self.path = folder / f"{table.name}.parquet"
        schema = arrow_schema(table)
        key_type = pa.struct([(name, schema.field(name).type) for name in self._key])
        self._schema = schema.append(pa.field(POSITION, pa.int64())).append(pa.field(KEY, key_type))
        with disk_errors(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self.path, self._schema, compression="lz4")
        self._piece: list[pa.RecordBatch] = []
        self._rows_written = 0

    def __enter__(self) -> Self:
        """The rows themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close and remove the file."""
        self._piece = []
        with suppress(LakeError):  # a full disk has been told already
            self._close()
        self.path.unlink(missing_ok=True)

    def add(self, batch: pa.RecordBatch) -> None:
        """Let the rows of `batch` wait, after those that came before."""
        if not batch.num_rows:
            return
        positions = pa.array(range(self.rows, self.rows + batch.num_rows), pa.int64())
        key = pa.StructArray.from_arrays(
            [batch.column(name) for name in self._key], fields=list(self._schema.field(KEY).type)
        )
        self._piece.append(pa.RecordBatch.from_arrays([*batch.columns, positions, key], schema=self._schema))
        self.rows += batch.num_rows
        if self.rows - self._rows_written >= ROWS_PER_GROUP:
            self._write_piece()

    def settle(self, into: TableFile) -> Duplicates:
        """Write them to `into` in the order served, of equal keys the last alone."""
        return self._settle(into, "deduplicate.sql", {})

    def deduplicate_and_enrich(self, into: TableFile, learners: Path, courses: Path) -> Duplicates:
        """The same, with names, e-mails and titles that an enrollment lacks from the files of those lists."""
        lists = {"learners": str(learners), "courses": str(courses)}
        return self._settle(into, "deduplicate_and_enrich.sql", lists)

    def _settle(self, into: TableFile, query: str, parameters: dict[str, str]) -> Duplicates:
        self._close()
        with duckdb_session(spill_to=self._folder) as connection:
            connection.read_parquet(str(self.path)).create_view("waiting")
            connection.execute(sql(__package__, "dropped.sql"))
            ((identical, conflicting),) = connection.execute(sql(__package__, "duplicates.sql")).fetchall()
            for piece in self._pieces():
                connection.register("piece", piece)
                settled = connection.sql(sql(__package__, query), params=parameters or None)
                into.write_all(settled.to_arrow_table().to_batches())
        return Duplicates(identical, conflicting)

    def _pieces(self) -> Iterator[pa.Table]:
        """The rows, a row group at a time: sorting a whole account at once took all of DuckDB's memory."""
        with pq.ParquetFile(self.path) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number)

    def _write_piece(self) -> None:
        piece = pa.Table.from_batches(self._piece, self._schema)
        self._piece, self._rows_written = [], self.rows
        if piece.num_rows:
            with disk_errors(self.path):
                self._writer.write_table(piece)

    def _close(self) -> None:
        if self._writer.is_open:
            self._write_piece()
            with disk_errors(self.path):
                self._writer.close()
