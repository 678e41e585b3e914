"""Deduplication of a table's rows, and enrichment of enrollments by the lists of users and courses.

Belongs here: what can be decided only after the last row was fetched, without holding the rows in memory. Reading the
rows from responses is the other modules of this package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.lake.engine import duckdb_session, load_sql
from lms_pipeline.lake.files import RowGroupWriter, TableFile
from lms_pipeline.tables.schema import Table, arrow_schema

_POSITION, _KEY = "_position", "_key"


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Rows that were dropped because a later row has the same key."""

    identical: int
    """Rows with the same values as the row that replaces them, apart from `fetched_at`."""
    conflicting: int

    @property
    def total(self) -> int:
        """All dropped rows."""
        return self.identical + self.conflicting


NO_DUPLICATES = Duplicates(0, 0)


class StagedRows:
    """The rows of a table in the order served, in a file with the position and key of each.

    Use it as a context manager: the file is removed when the block ends. DuckDB deduplicates over the file and spills to
    disk if an account is large. The file is Parquet: over an Arrow file, by way of pyarrow's dataset, DuckDB 2.0.0 with
    pyarrow 26.0.1 crashed the process in every second demo.
    """

    def __init__(self, table: Table, key: Sequence[str], folder: Path) -> None:
        """Create the file in `folder`.

        Raises:
            LakeError: it can't be written.
        """
        self.table = table
        self.path = folder / f"{table.name}.parquet"
        self._key = list(key)
        self._folder = folder
        columns = arrow_schema(table)
        self._key_type = pa.struct([(name, columns.field(name).type) for name in self._key])
        schema = columns.append(pa.field(_POSITION, pa.int64())).append(pa.field(_KEY, self._key_type))
        self._writer = RowGroupWriter(self.path, schema, "lz4")

    def __enter__(self) -> Self:
        """Return the rows themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the file."""
        self._writer.discard()

    @property
    def rows(self) -> int:
        """The rows so far."""
        return self._writer.rows

    def add(self, batch: pa.RecordBatch) -> None:
        """Stage the rows of a batch after those that were added before.

        Raises:
            LakeError: the file can't be written.
        """
        positions = pa.array(range(self.rows, self.rows + batch.num_rows), pa.int64())
        key = pa.StructArray.from_arrays([batch.column(name) for name in self._key], fields=list(self._key_type))
        columns = [*batch.columns, positions, key]
        self._writer.write(pa.RecordBatch.from_arrays(columns, schema=self._writer.schema))

    def deduplicate(self, into: TableFile) -> Duplicates:
        """Write the rows to `into` in the order served; of rows with one key only the last.

        Raises:
            LakeError: a file can't be written.
        """
        return self._write_rows(into, "deduplicate.sql", {})

    def deduplicate_and_enrich(self, into: TableFile, learners: Path, courses: Path) -> Duplicates:
        """Deduplicate enrollments, and fill missing names, e-mails and titles from the files of the two lists.

        Raises:
            LakeError: a file can't be written.
        """
        lists = {"learners": str(learners), "courses": str(courses)}
        return self._write_rows(into, "deduplicate_and_enrich.sql", lists)

    def _write_rows(self, into: TableFile, query: str, parameters: Mapping[str, str]) -> Duplicates:
        self._writer.close()
        with duckdb_session(spill_to=self._folder) as connection:
            connection.read_parquet(str(self.path)).create_view("staged")
            connection.execute(load_sql(__package__, "dropped.sql"))
            ((identical, conflicting),) = connection.execute(load_sql(__package__, "duplicates.sql")).fetchall()
            for row_group in self._read_row_groups():
                connection.register("row_group", row_group)
                rows = connection.sql(load_sql(__package__, query), params=dict(parameters) or None)
                into.write_all(rows.to_arrow_table().to_batches())
        return Duplicates(identical, conflicting)

    def _read_row_groups(self) -> Iterator[pa.Table]:
        """Yield the rows by row group: sorting a whole account at once took all of DuckDB's memory."""
        with pq.ParquetFile(self.path) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number)
