"""The metric tables of one account at the end of one day.

Belongs here: running the SQL of `metrics/sql/` over a snapshot and publishing the tables. Not here: the columns
(`tables/metrics.py`), the definitions of the figures (docs/metrics.md and the SQL).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from lms_pipeline.accounts.rules import RULES_ENTRY, Rule, hash_rules
from lms_pipeline.days import Calendar
from lms_pipeline.errors import LakeError
from lms_pipeline.lake.engine import duckdb_session, execute_file
from lms_pipeline.lake.files import check_readable
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Published, publish_table
from lms_pipeline.lake.scratch import scratch_folder
from lms_pipeline.metrics.earlier import EarlierSnapshot, find_earlier
from lms_pipeline.metrics.options import MetricOptions
from lms_pipeline.metrics.rules import build_course_rules
from lms_pipeline.metrics.source import MetricSource
from lms_pipeline.tables.attention import ATTENTION, MAX_DAYS_UNTIL_DUE, MIN_QUIET_DAYS
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.tables.over_time import COHORT_COMPLETION, COMPLETION_CURVE
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.roles import EXCLUDED_ROLES, LEARNER_ROLES, normalize_role
from lms_pipeline.tables.schema import Table, arrow_schema
from lms_pipeline.transform.timestamps import SENTINELS_END

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

NEVER_WITHDRAWN = frozenset({"talentlms"})
"""Integrations that remove an enrollment instead of reporting it as withdrawn: their withdrawal rate is not known."""
_TALENTLMS_STRATEGIES = frozenset({"roster", "learner"})
"""The strategies that read TalentLMS's rosters: of an account that was added by hand, they show the integration."""

NO_OPTIONS = MetricOptions()

ROWS_PER_BATCH = 20_000
"""About 10 MB; with DuckDB's million, 500,000 learners were one batch and 440 MB more at the peak."""


@dataclass(frozen=True, slots=True)
class _Query:
    """How the rows of a table are read."""

    source: str
    order: str
    steps: tuple[str, ...] = ()
    """What runs before: files of `metrics/sql/`, or the view `with_activity`."""


_COUNTS: dict[Table, _Query] = {
    COURSE_COMPLETION: _Query("summaries WHERE scope = 'course'", "course_id", ("summaries.sql",)),
    ACCOUNT_COMPLETION: _Query("summaries WHERE scope = 'account'", "scope", ("summaries.sql",)),
    LEARNER_COMPLETION: _Query("completion", "user_id"),
}
_OTHERS: dict[Table, _Query] = {
    COHORT_COMPLETION: _Query(
        "cohort_completion", "scope, course_id, cohort, months_since", ("scopes.sql", "cohorts.sql")
    ),
    COMPLETION_CURVE: _Query(
        "completion_curve", "scope, course_id, day", ("scopes.sql", "with_activity", "curves.sql")
    ),
    ATTENTION: _Query("attention", "user_id, course_id, enrollment_id", ("with_activity", "attention.sql")),
}
"""The tables with more than counts: they read days of the classified enrollments."""
_QUERIES = _COUNTS | _OTHERS
_COPIED_METADATA = frozenset({"pulled_at", "strategy", "requests", "complete"})
"""Metadata that the file of a metric table copies from its enrollments."""


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
    earlier: EarlierSnapshot | None = None
    """With what open enrollments are compared to find those without progress."""


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
        StorageError: the store or the state can't be used.
    """
    import duckdb

    source = MetricSource(data, partition)
    metadata = {name: value for name, value in source.metadata.items() if name in _COPIED_METADATA}
    metadata |= {f"source_{name}": source.metadata[name] for name in ("run_id", "digest") if name in source.metadata}
    if digest := hash_rules(options.rules):
        metadata[RULES_ENTRY] = digest
    file = EnrollmentsFile(
        source.path,
        partition.day,
        calendar,
        reports_withdrawn=integration not in NEVER_WITHDRAWN
        and source.metadata.get("strategy") not in _TALENTLMS_STRATEGIES,
        excluded_roles=options.excluded_roles,
        rules=options.rules,
        earlier=find_earlier(data, partition) if ATTENTION in tables else None,
    )
    try:
        with open_completion(file, tables) as read_rows:
            for table in tables:
                yield publish_table(
                    data,
                    table,
                    partition,
                    run_id=run_id,
                    metadata=metadata | read_rows.describe(table),
                    batches=read_rows(table),
                    before_publishing=source.check_current,
                )
    except LakeError:
        source.check_current()  # figures of two snapshots are not as their table requires
        raise
    except (duckdb.Error, ValueError):  # a reader of Arrow batches raises pyarrow's errors
        source.check_current()
        check_readable(source.path)
        raise


class CompletionReader:
    """The tables of an open file of enrollments, see `open_completion`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, file: EnrollmentsFile) -> None:
        self._connection = connection
        self._file = file
        self._done: set[str] = set()

    def __call__(self, table: Table) -> pa.RecordBatchReader:
        """Return the rows of a table. Read them to the end before the next table: they share a connection."""
        import pyarrow as pa

        self._prepare(table)
        query = _QUERIES[table]
        columns = ", ".join(f'"{name}"' for name in table.column_names)
        rows = self._connection.sql(f"SELECT {columns} FROM {query.source} ORDER BY {query.order}")  # noqa: S608 (names of our schema)
        # DuckDB sums to 128 bits and calls every column nullable
        batches = (batch.cast(arrow_schema(table)) for batch in rows.to_arrow_reader(ROWS_PER_BATCH))
        return pa.RecordBatchReader.from_batches(arrow_schema(table), batches)

    def describe(self, table: Table) -> dict[str, str]:
        """Return what the rows of a table do not say, as metadata of its file; ask before you read the rows."""
        if table != ATTENTION:
            return {}
        self._prepare(table)
        [(unknown,)] = self._connection.execute("SELECT count(*) FROM idle_unknown").fetchall()
        earlier = {} if self._file.earlier is None else {"compared_with": self._file.earlier.day.isoformat()}
        return {"idle_unknown": str(unknown), **earlier}

    def _prepare(self, table: Table) -> None:
        """Run the steps before a table can be read, except those that ran for another table."""
        for step in _QUERIES[table].steps:
            if step in self._done:
                continue
            self._done.add(step)
            if step != "with_activity":
                _execute(self._connection, step)
            elif self._file.calendar.is_utc:
                _execute(self._connection, "activity_utc.sql")
            else:
                _create_local_days(self._connection, self._file.calendar, "activity_utc_days", "local_activity_days")
                _execute(self._connection, "activity_local.sql")


@contextmanager
def open_completion(file: EnrollmentsFile, tables: Sequence[Table] = METRIC_TABLES) -> Iterator[CompletionReader]:
    """Yield a reader of these tables; enrollments are classified once for all of them."""
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
            carries_dates=any(table in _OTHERS for table in tables),
            earlier_path=str(file.earlier.path if file.earlier else file.path),
            earlier_day=file.earlier.day if file.earlier else None,
            max_days_until_due=MAX_DAYS_UNTIL_DUE,
            min_quiet_days=MIN_QUIET_DAYS,
        )
        _execute(connection, "dates.sql")
        if file.calendar.is_utc:
            _execute(connection, "days_utc.sql")
        else:
            _create_local_days(connection, file.calendar, "utc_days", "local_days")
            _execute(connection, "days_local.sql")
        execute_file(connection, "lms_pipeline.tables", "normalize_role.sql")
        with _provide_sentinel_counter(connection):
            _execute(connection, "enrollments.sql")
            has_rules = _apply_rules(connection, file)
            _execute(connection, "at_day_end.sql", "superseded.sql")
            _execute(connection, "renewals.sql" if has_rules else "without_renewals.sql")
            _execute(connection, "classify.sql", "counts.sql", "people.sql", "rates.sql")
        yield CompletionReader(connection, file)


def _apply_rules(connection: duckdb.DuckDBPyConnection, file: EnrollmentsFile) -> bool:
    """Create the view `ruled`, and return whether a rule matches a course: otherwise they change nothing."""
    course_rules = build_course_rules(connection, file.path, file.rules) if file.rules else None
    if course_rules:
        connection.from_arrow(course_rules).create("course_rules")
        _execute(connection, "rules.sql")
    else:
        _execute(connection, "without_rules.sql")
    return bool(course_rules)


@contextmanager
def _provide_sentinel_counter(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Give the SQL the function `count_sentinel_dates` while the block runs: the session's database is used again."""
    from duckdb.sqltypes import BIGINT, VARCHAR

    from lms_pipeline.metrics.sentinels import count_sentinel_dates

    connection.create_function(count_sentinel_dates.__name__, count_sentinel_dates, [VARCHAR], BIGINT)
    yield
    connection.remove_function(count_sentinel_dates.__name__)


def _create_local_days(connection: duckdb.DuckDBPyConnection, calendar: Calendar, utc_days: str, table: str) -> None:
    """Create a table of the calendar days on which the instants of the days of a view `utc_days` fall."""
    found = connection.view(utc_days).to_arrow_table()["utc_day"]
    connection.from_arrow(_build_local_days(calendar, found)).create(table)


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
        execute_file(connection, "lms_pipeline.metrics", f"sql/{name}")


def _set_variables(connection: duckdb.DuckDBPyConnection, **values: object) -> None:
    """Set variables of the SQL, which reads each as `getvariable('<name>')`."""
    for name, value in values.items():
        connection.execute(f"SET VARIABLE {name} = $value", {"value": value})
