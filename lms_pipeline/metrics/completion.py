"""Completion of one account at the end of one day, by course, by learner and for the account.

Belongs here: running the SQL of `metrics/sql/` over a snapshot and publishing the tables. Not here: the columns
(`tables/metrics.py`), the definitions of the figures (docs/metrics.md and the SQL).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from lms_pipeline.accounts.rules import RULES_ENTRY, Rule, hash_rules
from lms_pipeline.days import Calendar
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.engine import duckdb_session, load_sql
from lms_pipeline.lake.files import check_readable, check_unchanged, check_version, read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Published, publish_table
from lms_pipeline.lake.scratch import scratch_folder
from lms_pipeline.metrics.options import MetricOptions
from lms_pipeline.metrics.rules import build_course_rules
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.roles import EXCLUDED_ROLES, LEARNER_ROLES, normalize_role
from lms_pipeline.tables.schema import Table, arrow_schema
from lms_pipeline.transform.timestamps import SENTINELS_END

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

NEVER_WITHDRAWN = frozenset({"talentlms"})
"""Integrations that remove an enrollment instead of reporting it as withdrawn: their withdrawal rate is not known."""

NO_OPTIONS = MetricOptions()

ROWS_PER_BATCH = 20_000
"""About 10 MB; with DuckDB's million, 500,000 learners were one batch and 440 MB more at the peak."""

_ROW_KINDS = {COURSE_COMPLETION: "course", ACCOUNT_COMPLETION: "account", LEARNER_COMPLETION: "learner"}
"""What a row of each table is about."""
_COPIED_METADATA = frozenset({"pulled_at", "strategy", "requests", "complete"})
"""Metadata that the file of a metric table copies from its enrollments."""


class NoSnapshotError(LmsPipelineError):
    """There are no enrollments to compute metrics from."""


@dataclass(frozen=True, slots=True)
class EnrollmentsFile:
    """The enrollments of one account at the end of one day."""

    path: Path
    """A Parquet file of `unified_enrollments`; columns that an older file lacks are read as null."""
    day: date
    calendar: Calendar
    """Its time zone decides on which day an event happened, and when `day` ended."""
    reports_withdrawn: bool = True
    """False if the provider removes an enrollment instead of reporting it as withdrawn: no withdrawal rate then."""
    excluded_roles: Sequence[str] = EXCLUDED_ROLES
    """Roles whose enrollments are left out, whatever their case and blanks."""
    rules: Mapping[int, Rule] = field(default_factory=dict)
    """The rules in force for the account."""


def publish_metrics(
    data: DataDir,
    tables: Sequence[Table],
    partition: Partition,
    calendar: Calendar,
    *,
    integration: str,
    run_id: str,
    options: MetricOptions = NO_OPTIONS,
) -> Iterator[Published]:
    """Compute metric tables of an account and day, and publish each.

    Raises:
        NoSnapshotError: the day was not pulled.
        LakeError: the snapshot can't be read, or a table can't be written.
    """
    import duckdb

    path = data.file(UNIFIED_ENROLLMENTS, partition)
    if not path.exists():
        raise NoSnapshotError(
            f"There is no snapshot of {partition}: materialize unified_enrollments of that day first."
        )
    source = read_metadata(path)
    check_version(path, source)
    check_unchanged(path)
    metadata = {name: value for name, value in source.items() if name in _COPIED_METADATA}
    metadata |= {f"source_{name}": source[name] for name in ("run_id", "digest") if name in source}
    if digest := hash_rules(options.rules):
        metadata[RULES_ENTRY] = digest
    file = EnrollmentsFile(
        path, partition.day, calendar, integration not in NEVER_WITHDRAWN, options.excluded_roles, options.rules
    )
    try:
        with open_completion(file) as read_rows:
            for table in tables:
                yield publish_table(data, table, partition, run_id=run_id, batches=read_rows(table), metadata=metadata)
    except (duckdb.Error, ValueError):  # a reader of Arrow batches raises pyarrow's errors
        check_readable(path)
        raise


@contextmanager
def open_completion(file: EnrollmentsFile) -> Iterator[Callable[[Table], pa.RecordBatchReader]]:
    """Yield a function that returns the rows of a completion table; enrollments are classified once for all tables.

    Read the rows of one table to the end before the next: they share a connection.
    """
    import pyarrow as pa

    with (
        scratch_folder("metrics") as spill,
        # one thread: in parallel the last digits of a mean depend on the order of adding, and so would the digest
        duckdb_session(spill, threads=1) as connection,
    ):
        connection.from_arrow(arrow_schema(UNIFIED_ENROLLMENTS).empty_table()).create("unified_columns")
        _set_variables(
            connection,
            path=str(file.path),
            snapshot_date=file.day,
            learner_roles=[normalize_role(role) for role in LEARNER_ROLES],
            excluded_roles=[normalize_role(role) for role in file.excluded_roles],
            reports_withdrawn=file.reports_withdrawn,
            sentinels_end=SENTINELS_END,
        )
        _execute(connection, "dates.sql")
        if file.calendar.is_utc:
            _execute(connection, "days_utc.sql")
        else:
            utc_days = connection.view("utc_days").to_arrow_table()["utc_day"]
            connection.from_arrow(_build_local_days(file.calendar, utc_days)).create("local_days")
            _execute(connection, "days_local.sql")
        connection.execute(load_sql("lms_pipeline.tables", "normalize_role.sql"))
        with _provide_sentinel_counter(connection):
            _execute(connection, "enrollments.sql")
            _apply_rules(connection, file)
            _execute(connection, "at_day_end.sql", "classify.sql", "counts.sql", "people.sql", "rates.sql")

        def read_rows(table: Table) -> pa.RecordBatchReader:
            if table not in _ROW_KINDS:
                return pa.RecordBatchReader.from_batches(arrow_schema(table), [])
            _set_variables(connection, one_row_per=_ROW_KINDS[table])
            columns = ", ".join(table.column_names)
            rows = connection.sql(f"SELECT {columns} FROM completion ORDER BY row_id")  # noqa: S608 (names of our schema)
            # DuckDB sums to 128 bits and calls every column nullable
            batches = (batch.cast(arrow_schema(table)) for batch in rows.to_arrow_reader(ROWS_PER_BATCH))
            return pa.RecordBatchReader.from_batches(arrow_schema(table), batches)

        yield read_rows


def _apply_rules(connection: duckdb.DuckDBPyConnection, file: EnrollmentsFile) -> None:
    """Create the view `ruled`. Rules that match no course change nothing."""
    course_rules = build_course_rules(connection, file.path, file.rules) if file.rules else None
    if course_rules:
        connection.from_arrow(course_rules).create("course_rules")
        _execute(connection, "rules.sql")
    else:
        _execute(connection, "without_rules.sql")


@contextmanager
def _provide_sentinel_counter(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Give the SQL the function `count_sentinel_dates` while the block runs: the session's database is used again."""
    from duckdb.sqltypes import BIGINT, VARCHAR

    from lms_pipeline.metrics.sentinels import count_sentinel_dates

    connection.create_function(count_sentinel_dates.__name__, count_sentinel_dates, [VARCHAR], BIGINT)
    yield
    connection.remove_function(count_sentinel_dates.__name__)


def _build_local_days(calendar: Calendar, utc_days: pa.ChunkedArray) -> pa.RecordBatchReader:
    """Return the calendar days on which the instants of each of these days in UTC fall, see `Calendar.split_utc_day`.

    Python computes them, since the figures must have the days that decide what can be pulled: DuckDB has another time
    zone database.
    """
    import pyarrow as pa

    instant = pa.timestamp("us", tz="UTC")
    schema = pa.schema({"utc_day": pa.date32(), "first_at": instant, "last_at": instant, "day": pa.date32()})
    chunks = (utc_days[start : start + ROWS_PER_BATCH].to_pylist() for start in range(0, len(utc_days), ROWS_PER_BATCH))
    batches = (
        pa.RecordBatch.from_arrays(
            [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)],
            schema=schema,
        )
        for chunk in chunks
        if (rows := [(utc_day, *part) for utc_day in chunk for part in calendar.split_utc_day(utc_day)])
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def _execute(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Run files of `metrics/sql/`."""
    for name in names:
        connection.execute(load_sql("lms_pipeline.metrics", f"sql/{name}"))


def _set_variables(connection: duckdb.DuckDBPyConnection, **values: object) -> None:
    """Set variables of the SQL, which reads each as `getvariable('<name>')`."""
    for name, value in values.items():
        connection.execute(f"SET VARIABLE {name} = $value", {"value": value})
