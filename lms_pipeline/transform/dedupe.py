"""Deduplication of a table's rows, and enrichment of enrollments by the lists of users and courses.

Belongs here: what can be decided only after the last row was fetched, without holding the rows in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.lake.engine import duckdb_session, load_sql
from lms_pipeline.lake.files import RowGroupWriter, TableFile
from lms_pipeline.lake.space import CheckSpace, allow_any_size
from lms_pipeline.tables.pulled import KEYS
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


class SharedKeyError(Exception):
    """Enrollments of different learners or courses have one key: none of them is a duplicate of another."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"{rows} rows have the key of another learner's or course's row")
        self.rows = rows
        """Rows whose key a later row of another learner or course has."""


class StagedRows:
    """The rows of a table in the order served, in a file with the position and key of each.

    Use it as a context manager: the file is removed when the block ends. DuckDB deduplicates over the file and spills to
    disk if an account is large. The file is Parquet: over an Arrow file, by way of pyarrow's dataset, DuckDB 2.0.0 with
    pyarrow 26.0.1 crashed the process in every second demo.
    """

    def __init__(
        self, table: Table, key: Sequence[str], folder: Path, check_space: CheckSpace = allow_any_size
    ) -> None:
        """Create the file in `folder`; `check_space` is called before rows are written.

        Raises:
            LakeError: it can't be written.
        """
        self.path = folder / f"{table.name}.parquet"
        self._key = list(key)
        self._folder = folder
        columns = arrow_schema(table)
        self._may_share_keys = set(KEYS["pair"]) <= set(columns.names) - set(key)
        self._key_type = pa.struct([(name, columns.field(name).type) for name in self._key])
        schema = columns.append(pa.field(_POSITION, pa.int64())).append(pa.field(_KEY, self._key_type))
        self._writer = RowGroupWriter(self.path, schema, "lz4", check_space=check_space)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.discard()

    def add(self, batch: pa.RecordBatch) -> None:
        """Stage the rows of a batch after those that were added before.

        Raises:
            LakeError: the file can't be written.
        """
        rows = self._writer.rows
        positions = pa.array(range(rows, rows + batch.num_rows), pa.int64())
        key = pa.StructArray.from_arrays([batch.column(name) for name in self._key], fields=list(self._key_type))
        columns = [*batch.columns, positions, key]
        self._writer.write(pa.RecordBatch.from_arrays(columns, schema=self._writer.schema))

    def deduplicate(
        self, into: TableFile, lists: tuple[Path, Path] | None = None, roles: Path | None = None
    ) -> Duplicates:
        """Write the rows to `into` in the order served; of rows with one key only the last.

        With `lists`, the files of learners and of courses, fill missing names, e-mails and titles of enrollments. With
        `roles`, a file with the columns of `raw_format.ROLES`, fill missing roles of enrollments.

        Raises:
            SharedKeyError: enrollments of different learners or courses have one key; nothing was written.
            LakeError: a file can't be written.
        """
        self._writer.close()
        query = load_sql(__package__, "deduplicate_and_enrich.sql" if lists else "deduplicate.sql")
        parameters = dict(zip(("learners", "courses"), map(str, lists), strict=True)) if lists else None
        with duckdb_session(spill_to=self._folder) as connection, pq.ParquetFile(self.path) as file:
            connection.read_parquet(str(self.path)).create_view("staged")
            connection.execute(load_sql(__package__, "dropped.sql"))
            if self._may_share_keys:
                ((shared,),) = connection.execute(load_sql(__package__, "shared_keys.sql")).fetchall()
                if shared:
                    raise SharedKeyError(shared)
            ((identical, conflicting),) = connection.execute(load_sql(__package__, "duplicates.sql")).fetchall()
            if roles is not None:
                connection.read_parquet(str(roles)).create_view("roles")
                for name in ("roles_by_id.sql", "roles_by_pair.sql"):
                    connection.execute(load_sql(__package__, name))
            # by row group: sorting a whole account at once took all of DuckDB's memory
            for number in range(file.num_row_groups):
                group = file.read_row_group(number)
                if roles is not None:
                    connection.register("without_roles", group)
                    group = connection.sql(load_sql(__package__, "fill_roles.sql")).to_arrow_table()
                connection.register("row_group", group)
                rows = connection.sql(query, params=parameters)
                into.write_all(rows.to_arrow_table().to_batches())
        return Duplicates(identical, conflicting)
