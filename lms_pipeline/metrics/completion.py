"""Completion of one account at the end of one day: by course, for the account, by learner.

What belongs here: running the SQL of the completion tables over a snapshot, as a stream of exactly the table's schema.
What the figures mean is `tables.py` and `sql/`; where the result is stored is the lake's affair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lms_pipeline.days import Calendar
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.engine import duckdb_session, sql
from lms_pipeline.lake.files import check_version, read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Published, publish_table
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.tables.pulled import STATUSES, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table, arrow_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    import duckdb
    import pyarrow as pa

    from lms_pipeline.days import Calendar
    from lms_pipeline.tables.schema import Table

EXCLUDED_ROLES = ("instructor", "teacher", "trainer", "admin", "observer")
"""Roles that are enrolled in a course without learning in it."""

LEARNER_ROLES = ("learner", "student", "trainee", "participant", "user")
"""Roles known to learn; one that is in neither list counts, and is reported."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The partition to measure: one account's enrollments at the end of one day."""

    path: Path
    """A Parquet file of `unified_enrollments`; columns that an older one lacks are read as null."""
    day: date
    calendar: Calendar
    """Its zone decides on which day something happened, and when the snapshot's day ended."""
    says_withdrawn: bool = True
    """False where the provider removes an enrollment instead of withdrawing it: no withdrawal rate then."""
    excluded_roles: tuple[str, ...] = EXCLUDED_ROLES


@contextmanager
def classified(snapshot: Snapshot) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection on which `told`, `sets` and `known` stand for `snapshot`, until the block ends."""
    # In parallel, the last digits of a mean depend on who adds first: the same answers must give the same digest.
    with (
        TemporaryDirectory(prefix="lms-metrics-") as spill,
        duckdb_session(Path(spill), threads=1) as connection,
    ):
        connection.from_arrow(arrow_schema(UNIFIED_ENROLLMENTS).empty_table()).create("unified_columns")
        bind(connection, path=str(snapshot.path))
        bind(connection, snapshot_date=snapshot.day, as_of=snapshot.calendar.ends_at(snapshot.day))
        bind(connection, zone=snapshot.calendar.zone.key)
        bind(connection, statuses=list(STATUSES), learner_roles=list(LEARNER_ROLES))
        bind(connection, excluded_roles=[role.strip().lower() for role in snapshot.excluded_roles])
        bind(connection, says_withdrawn=snapshot.says_withdrawn)
        run(connection, "told.sql", "sets.sql")
        yield connection


def bind(connection: duckdb.DuckDBPyConnection, **values: object) -> None:
    """Hand values to the SQL, where each is read as `getvariable('<name>')`."""
    for name, value in values.items():
        connection.execute(f"SET VARIABLE {name} = $value", {"value": value})


def run(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Run files of `lms_pipeline/metrics/sql`, in this order."""
    for name in names:
        connection.execute(sql("lms_pipeline.metrics", f"sql/{name}"))


__all__ = ["Snapshot", "completions"]

ONE_ROW_PER = {COURSE_COMPLETION: "course", ACCOUNT_COMPLETION: "account", LEARNER_COMPLETION: "learner"}

ROWS_PER_BATCH = 20_000
"""About 10 MB; with DuckDB's million, 500,000 learners were one batch and 440 MB more at the peak."""


@contextmanager
def completions(snapshot: Snapshot) -> Iterator[Callable[[Table], pa.RecordBatchReader]]:
    """The completion tables of a snapshot, which is classified once for all of them.

    Ask for the rows of one table after the other: a reader is done with before the next is asked for.
    """
    with classified(snapshot) as connection:
        run(connection, "counts.sql", "people.sql", "rates.sql")

        def rows(table: Table) -> pa.RecordBatchReader:
            bind(connection, one_row_per=ONE_ROW_PER[table])
            ordered = connection.view("completion").order("row_id").select(*table.column_names)
            return _exactly(arrow_schema(table), ordered.to_arrow_reader(ROWS_PER_BATCH))

        yield rows


def _exactly(schema: pa.Schema, batches: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows in the table's own types: DuckDB sums to 128 bits and calls every column nullable."""
    import pyarrow as pa

    return pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in batches))


NEVER_WITHDRAWN = frozenset({"talentlms"})
"""Integrations that remove an enrollment instead of calling it withdrawn: their withdrawal rate is not known."""


PASSED_ON = frozenset({"pulled_at", "strategy", "requests", "complete"})
"""What the file of a metric table repeats of the enrollments it was worked out from."""


class NoSnapshotError(LmsPipelineError):
    """There is nothing to measure."""


def measure(
    data: DataDir,
    tables: Sequence[Table],
    partition: Partition,
    calendar: Calendar,
    *,
    integration: str,
    run_id: str,
) -> Iterator[Published]:
    """Work out metric tables of an account and day, and publish each.

    Raises:
        NoSnapshotError: the day was not pulled.
        LakeError: it can't be read or written.
    """
    path = data.file(UNIFIED_ENROLLMENTS, partition)
    if not path.exists():
        raise NoSnapshotError(
            f"There is no snapshot of {partition}: materialize unified_enrollments of that day first."
        )
    source = read_metadata(path)
    check_version(path, source)
    snapshot = Snapshot(path, partition.day, calendar, says_withdrawn=integration not in NEVER_WITHDRAWN)
    told = {name: value for name, value in source.items() if name in PASSED_ON}
    told |= {f"source_{name}": source[name] for name in ("run_id", "digest") if name in source}
    with completions(snapshot) as rows:
        for table in tables:
            yield publish_table(data, table, partition, run_id=run_id, batches=rows(table), metadata=told)


def read_single_row(published: Published, columns: Sequence[str]) -> dict[str, Any]:
    """The row of a table that has one, by column; only those that are named, which is five times as quick as all."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(published.path) as file:
        rows: list[dict[str, Any]] = file.read(columns).to_pylist()
    (row,) = rows
    return row
