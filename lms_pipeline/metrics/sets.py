"""A snapshot's enrollments, each with the sets that it is in.

What belongs here: opening the calculator on one partition, with the views that every metric table is computed from:
`sets` (one row per enrollment of the set `all`), `known`, and `told` (left-out rows too). Their SQL says what a set is.
What a table makes of them stands in a module per family of tables, such as `completion.py`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lms_pipeline.lake.engine import calculator, sql
from lms_pipeline.tables.pulled import STATUSES, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    import duckdb

    from lms_pipeline.days import Calendar

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
    with TemporaryDirectory(prefix="lms-metrics-") as spill, calculator(Path(spill), threads=1) as connection:
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
