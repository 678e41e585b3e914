"""What all checks share: `Check`, `Finding`, and the published file under check with its SQL.

Belongs here: nothing that checks anything. The checks are `snapshot.py`, `metrics.py` and `fleet.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from inspect import getdoc
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lms_pipeline.accounts.options import AccountOptions, load_options, resolve_excluded_roles
from lms_pipeline.accounts.rules import RULES_ENTRY
from lms_pipeline.days import Calendar
from lms_pipeline.errors import LmsPipelineError, choose_form
from lms_pipeline.lake.engine import duckdb_session, execute_file, load_sql
from lms_pipeline.lake.paths import AnyPartition, DataDir, Partition
from lms_pipeline.lake.scratch import scratch_folder
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.roles import EXCLUDED_ROLES
from lms_pipeline.tables.schema import Table, arrow_schema

if TYPE_CHECKING:
    import duckdb
    import pyarrow.parquet as pq

    from lms_pipeline.lake.publishing import KeyFaults

MAX_EXAMPLE_ROWS = 10
"""Rows that a finding shows at most."""

Checked = TypeVar("Checked")
Computed = TypeVar("Computed")


class BlockedError(LmsPipelineError):
    """A published table failed a blocking check: nothing is computed from it."""


class NothingToCheckError(LmsPipelineError):
    """There is no published file to check."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check."""

    passed: bool
    message: str
    """One sentence, with the numbers."""
    figures: Mapping[str, int | float | str] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    """Example rows or groups, `MAX_EXAMPLE_ROWS` at most, without names of people. Dagster shows them without ids of people."""


@dataclass(frozen=True, slots=True)
class Check(Generic[Checked]):
    """A function that checks something, and where its finding is shown."""

    run: Callable[[Checked], Finding]
    """Its name and docstring are those of the check, as users read them."""
    tables: Sequence[Table] = ()
    """The tables that it checks, each if it was published. Its page is that of the first; empty for checks of the fleet.
    One check for each table would nearly double the checks, and each leaves 12 KB in Dagster's log."""
    is_error: bool = True
    """False if a failure is a warning: worth a look, but no stored figure is wrong."""
    is_blocking: bool = False
    """Whether nothing is computed from a table that fails it."""
    applies: Callable[[Checked], bool] | None = None
    """Returns whether there is something to check. Without it there always is; otherwise the check passes and says so."""

    @property
    def name(self) -> str:
        """The name on the asset's page."""
        return self.run.__name__

    @property
    def doc(self) -> str:
        """The condition that must hold."""
        return getdoc(self.run) or ""


@dataclass(frozen=True)
class Subject:
    """One published table of a partition, under check."""

    data: DataDir
    partition: AnyPartition
    table: Table
    calendar: Calendar
    options: AccountOptions
    connection: duckdb.DuckDBPyConnection
    open_table: Callable[[Table], Subject]
    """Returns the subject of another table of the partition."""
    excluded_roles: Sequence[str] = EXCLUDED_ROLES
    """Roles that the account's metrics leave out."""
    rules_file: Path | None = None
    """`LMS_RULES_FILE`. Its rules are read by the check that needs them: a mistake in it concerns no other."""

    @property
    def account_day(self) -> Partition:
        """The partition of a table that has one for each account and day.

        Raises:
            TypeError: the table is over all accounts.
        """
        if not isinstance(self.partition, Partition):
            raise TypeError(f"{self.table.name} is over all accounts")
        return self.partition

    @property
    def exists(self) -> bool:
        """Whether there is a published file."""
        return self.path(self.table).exists()

    @property
    def file(self) -> Path:
        """The published file.

        Raises:
            NothingToCheckError: there is none.
        """
        path = self.path(self.table)
        if not path.exists():
            raise NothingToCheckError(
                f"There is no {self.table.name} of {self.partition} to check: materialize it first."
            )
        return path

    @cached_property
    def footer(self) -> pq.FileMetaData:
        """The footer of the file.

        Raises:
            NothingToCheckError: there is no file.
            LakeError: it is no Parquet file.
        """
        from lms_pipeline.lake.files import read_footer

        return read_footer(self.file)

    @property
    def rows(self) -> int:
        """The number of rows of the file."""
        rows: int = self.footer.num_rows
        return rows

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The metadata of the file."""
        from lms_pipeline.lake.files import select_metadata

        return select_metadata(self.footer)

    @cached_property
    def _computed(self) -> dict[object, Any]:
        return {}

    def path(self, table: Table) -> Path:
        """Return the path of another table of the same partition."""
        return self.data.file(table, self.partition)

    def has_same_metadata(self, table: Table, name: str) -> bool:
        """Return whether the file of another table exists and has the same metadata entry, as its `run_id`."""
        return self.path(table).exists() and self.open_table(table).metadata.get(name) == self.metadata.get(name)

    def is_comparable(self, table: Table) -> bool:
        """Return whether another table exists and has the figures of the same snapshot by the same rules."""
        return all(self.has_same_metadata(table, name) for name in ("source_run_id", RULES_ENTRY))

    def compute_once(self, compute: Callable[[Subject], Computed]) -> Computed:
        """Return what a function computes from this file; it runs once, however many checks need the result."""
        if compute not in self._computed:
            self._computed[compute] = compute(self)
        result: Computed = self._computed[compute]
        return result

    def find_key_faults(self, key: tuple[str, ...]) -> KeyFaults:
        """Return the rows of the file that a key does not identify; they are counted once, however many checks need them."""
        from lms_pipeline.lake.publishing import count_key_faults

        if key not in self._computed:
            self._computed[key] = count_key_faults(self.connection, self.file, key, self.footer)
        faults: KeyFaults = self._computed[key]
        return faults

    def create_view(self) -> None:
        """Create the view `published` over the file; columns that an older file lacks are null.

        Raises:
            NothingToCheckError: there is no file.
            LakeError: it is no Parquet file.
        """
        described = arrow_schema(self.table)
        is_as_described = self.footer.schema.to_arrow_schema().remove_metadata().equals(described)
        self.connection.execute("SET VARIABLE path = $path", {"path": str(self.file)})
        if not is_as_described:
            self.connection.from_arrow(described.empty_table()).create_view("described")
        self.execute("published.sql" if is_as_described else "published_older.sql")

    def execute(self, *names: str) -> None:
        """Run files of `checks/sql`."""
        for name in names:
            execute_file(self.connection, __package__, f"sql/{name}")

    def query(self, name: str, **values: object) -> list[dict[str, Any]]:
        """Run a file of `checks/sql` with these values bound, and return its rows."""
        result = self.connection.execute(load_sql(__package__, f"sql/{name}"), values)
        columns = [column[0] for column in result.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


@contextmanager
def open_subject(
    settings: Settings, data: DataDir, partition: AnyPartition, unfetched: Collection[Table] = tuple(TABLES.values())
) -> Iterator[Callable[[Table], Subject]]:
    """Yield a function that returns the subject of a table, always the same; all share one DuckDB session.

    `unfetched` are the tables that checks look at and this process has neither fetched nor published.

    Raises:
        SettingsError: the file of account options is not valid.
        StoreError: a file can't be fetched.
    """
    data.fetch(unfetched, [partition])
    account_id = partition.account_id if isinstance(partition, Partition) else ""  # no account has such options
    options = load_options(settings).get(account_id, AccountOptions())
    roles = resolve_excluded_roles(settings, options)
    subjects: dict[str, Subject] = {}

    with scratch_folder("checks") as spill, duckdb_session(spill) as connection:
        execute_file(connection, "lms_pipeline.tables", "normalize_role.sql")

        def open_table(table: Table) -> Subject:
            if table.name not in subjects:
                subjects[table.name] = Subject(
                    data,
                    partition,
                    table,
                    settings.calendar,
                    options,
                    connection,
                    open_table,
                    roles,
                    settings.rules_file,
                )
            return subjects[table.name]

        yield open_table


def merge_findings(findings: Mapping[str, Finding]) -> Finding:
    """Merge findings by table into one; its message is that of the failed findings, if any failed."""
    if len(findings) == 1:
        return next(iter(findings.values()))
    failed = {name: found for name, found in findings.items() if not found.passed}
    rows = [{"table": name, **row} for name, found in failed.items() for row in found.rows]
    return Finding(
        passed=not failed,
        message=" ".join(f"{name}: {found.message}" for name, found in (failed or findings).items()),
        figures={
            f"{name}.{figure}": value for name, found in findings.items() for figure, value in found.figures.items()
        },
        rows=rows[:MAX_EXAMPLE_ROWS],
    )


def merge_accounts(findings: Mapping[Partition, Finding]) -> Finding:
    """Merge the findings of a check over one snapshot of each account into one; it names the snapshots that fail.

    The finding of a single account stays as it is, with the account and day before its message.
    """
    failed = {partition: found for partition, found in findings.items() if not found.passed}
    if len(findings) == 1:
        [(partition, found)] = findings.items()
        message, figures = f"{partition}: {found.message}", dict(found.figures)
    elif failed:
        named = " ".join(
            f"{partition}: {found.message}" for partition, found in islice(failed.items(), MAX_EXAMPLE_ROWS)
        )
        snapshots = choose_form(len(failed), "snapshot", "snapshots")
        fail = choose_form(len(failed), "fails", "fail")
        message = f"The latest {snapshots} of {len(failed):,} of {len(findings):,} active accounts {fail}. {named}"
        figures = {}
    else:
        oldest = min(partition.day for partition in findings)
        message = f"The latest snapshots of {len(findings):,} active accounts pass, the oldest of them of {oldest}."
        figures = {}
    rows = (
        {"account_id": partition.account_id, "snapshot_date": str(partition.day), **row}
        for partition, found in (failed or findings).items()
        for row in found.rows
    )
    return Finding(
        passed=not failed,
        message=message,
        figures={"snapshots": len(findings), "failed": len(failed), **figures},
        rows=list(islice(rows, MAX_EXAMPLE_ROWS)),
    )


def sum_column(rows: Sequence[Mapping[str, Any]], column: str) -> int:
    """Return the sum of a column, 0 without rows."""
    return sum(int(row[column]) for row in rows)


def format_percent(share: float) -> str:
    """Format a share as `3.1 %`."""
    return f"{100 * share:.1f} %"
