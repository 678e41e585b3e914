"""Deduplication of a table's rows, and enrichment of enrollments by the lists of users and courses.

Belongs here: what can be decided only after the last row was fetched, without holding the rows in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.lake.engine import duckdb_session, load_sql
from lms_pipeline.lake.files import TableFile
from lms_pipeline.lake.publishing import find_key_faults
from lms_pipeline.tables.pulled import KEYS

if TYPE_CHECKING:
    import duckdb

_FROM_LISTS = frozenset({"user_name", "user_email", "user_emails.list.element.email", "course_title"})
"""Columns of enrollments that the lists may fill, as Parquet names them. A null or empty list has no e-mail."""


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


@dataclass(frozen=True, slots=True)
class Sources:
    """Files with what enrollments may lack."""

    learners: Path
    courses: Path
    roles: Path | None = None
    """A file with the columns of `raw_format.ROLES`."""


def deduplicate(
    file: TableFile,
    key: Sequence[str],
    *,
    open_second: Callable[[], TableFile],
    scratch: Path,
    sources: Sources | None = None,
) -> tuple[TableFile, Duplicates]:
    """Leave of rows with one key only the last; return the file with the rows that are left.

    With `sources`, fill missing names, e-mails, titles and roles of enrollments. The rows are in the order served. If
    nothing changes, that is `file`. Otherwise it is the file that `open_second` returns, and `file` stays as it is.

    Args:
        file: all rows, in the order served; no row can be added any more.
        key: the columns that identify a row.
        open_second: returns an empty file of the same table.
        scratch: the folder for what DuckDB can't hold in memory.
        sources: for a file of enrollments.

    Raises:
        SharedKeyError: enrollments of different learners or courses have one key; nothing was written.
        LakeError: a file can't be written.
    """
    file.end_rows()
    has_repeated = find_key_faults(file.path, key, spill_to=scratch).repeated > 0
    with duckdb_session(spill_to=scratch) as connection, pq.ParquetFile(file.path) as served:
        _create_view(connection, file.path, key)
        duplicates = NO_DUPLICATES
        if has_repeated:
            may_share_keys = set(KEYS["pair"]) <= set(file.schema.names) - set(key)
            duplicates = _find_dropped(connection, may_share_keys=may_share_keys)
        groups = RowGroups(connection, served, sources, has_dropped=has_repeated)
        if not groups.change_rows():
            return file, duplicates
        second = open_second()
        # by row group: sorting a whole account at once took all of DuckDB's memory
        for number in range(served.num_row_groups):
            second.write_all(groups.read(number).to_batches())
        second.end_rows()
    return second, duplicates


def _create_view(connection: duckdb.DuckDBPyConnection, path: Path, key: Sequence[str]) -> None:
    """Create the view `served` over the rows, with the position and the key of each."""
    rows = connection.read_parquet(str(path), file_row_number=True, hive_partitioning=False)
    members = ", ".join(f"{name} := {name}" for name in key)
    rows.project(
        f"* EXCLUDE (file_row_number), file_row_number AS _position, struct_pack({members}) AS _key"
    ).create_view("served")


def _find_dropped(connection: duckdb.DuckDBPyConnection, *, may_share_keys: bool) -> Duplicates:
    """Create the table `dropped`, and return what is in it.

    Raises:
        SharedKeyError: enrollments of different learners or courses have one key.
    """
    connection.execute(load_sql(__package__, "dropped.sql"))
    if may_share_keys:
        ((shared,),) = connection.execute(load_sql(__package__, "shared_keys.sql")).fetchall()
        if shared:
            raise SharedKeyError(shared)
    ((identical, conflicting),) = connection.execute(load_sql(__package__, "duplicates.sql")).fetchall()
    return Duplicates(identical, conflicting)


class RowGroups:
    """The row groups of a file without the dropped rows, and with what the sources have of its enrollments."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, file: pq.ParquetFile, sources: Sources | None, *, has_dropped: bool
    ) -> None:
        self._connection, self._file, self._sources, self._has_dropped = connection, file, sources, has_dropped
        if not has_dropped:
            connection.execute("CREATE TEMP TABLE dropped (_position BIGINT)")
        self._has_roles = sources is not None and sources.roles is not None
        if sources is not None and sources.roles is not None:
            connection.read_parquet(str(sources.roles)).create_view("roles")
            for name in ("roles_by_id.sql", "roles_by_pair.sql"):
                connection.execute(load_sql(__package__, name))
        counts = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        self._starts = list(accumulate(counts, initial=0))

    def change_rows(self) -> bool:
        """Return whether any row group has other rows than the file."""
        return self._has_dropped or any(
            not self.read(number).equals(self._file.read_row_group(number))
            for number in range(self._file.num_row_groups)
            if self._lacks_names(number) or self._lacks_roles(number)
        )

    def read(self, number: int) -> pa.Table:
        """Return the rows of a row group as they are published."""
        served = self._file.read_row_group(number)
        if not (self._has_dropped or self._lacks_names(number) or self._lacks_roles(number)):
            return served
        start = self._starts[number]
        rows = served.append_column("_position", pa.array(range(start, start + served.num_rows), pa.int64()))
        if self._lacks_roles(number):
            rows = self._query("fill_roles.sql", without_roles=rows)
        if self._sources is None or not self._lacks_names(number):
            return self._query("deduplicate.sql", row_group=rows).cast(served.schema)
        lists = {"learners": str(self._sources.learners), "courses": str(self._sources.courses)}
        return self._query("deduplicate_and_enrich.sql", lists, row_group=rows).cast(served.schema)

    def _query(self, name: str, parameters: dict[str, str] | None = None, **tables: pa.Table) -> pa.Table:
        for view, rows in tables.items():
            self._connection.register(view, rows)
        return self._connection.sql(load_sql(__package__, name), params=parameters).to_arrow_table()

    def _lacks_names(self, number: int) -> bool:
        """Return whether a row of a group may get a name, an e-mail or a title from the lists.

        That is seen in the statistics of the group, without reading it. Of carried rows the lists may have others.
        """
        if self._sources is None:
            return False
        return self._has_nulls(number, _FROM_LISTS) or self._has_carried(number)

    def _lacks_roles(self, number: int) -> bool:
        return self._has_roles and self._has_nulls(number, frozenset({"role"}))

    def _has_nulls(self, number: int, names: frozenset[str]) -> bool:
        return any(
            chunk.statistics is None or chunk.statistics.null_count != 0
            for chunk in self._iter_chunks(number)
            if chunk.path_in_schema in names
        )

    def _has_carried(self, number: int) -> bool:
        [chunk] = (chunk for chunk in self._iter_chunks(number) if chunk.path_in_schema == "source")
        found = chunk.statistics
        return found is None or not found.has_min_max or found.min <= "carried" <= found.max

    def _iter_chunks(self, number: int) -> Iterator[pq.ColumnChunkMetaData]:
        group = self._file.metadata.row_group(number)
        return map(group.column, range(group.num_columns))
