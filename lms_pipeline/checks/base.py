"""A published table of an account and day, as checks look at it.

What belongs here: reading its files, and asking them in SQL. What is asked is the checks'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from inspect import getdoc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lms_pipeline.accounts.options import AccountOptions, load_options
from lms_pipeline.days import Calendar
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.engine import duckdb_session, sql
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings
from lms_pipeline.tables.schema import Table

if TYPE_CHECKING:
    import duckdb

MAX_EXAMPLE_ROWS = 10
"""So many of the rows in question are shown."""

Checked = TypeVar("Checked")


class BlockedError(LmsPipelineError):
    """What is published fails a check that everything else stands on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    passed: bool
    message: str
    """One sentence, with the numbers."""
    figures: Mapping[str, int | float | str] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    """The rows in question, or the groups that they fall into; `MAX_EXAMPLE_ROWS` at most, and of nobody the name."""


@dataclass(frozen=True, slots=True)
class Check(Generic[Checked]):
    """One thing that is looked at."""

    look: Callable[[Checked], Finding]
    """Looks at one; its name and its docstring are those of the check, as users read them."""
    tables: Sequence[Table] = ()
    """The tables that are looked at, one after the other, where they are there; it stands on the page of the first. One
    check for each would be 29 instead of 16, and each leaves 12 KB in Dagster's log. None where it is of the fleet."""
    is_grave: bool = True
    """False where a failure asks for a look, but no stored figure is wrong."""
    blocks: bool = False
    """Whether nothing is worked out from a table that fails it."""

    @property
    def name(self) -> str:
        """As on the asset's page."""
        return self.look.__name__

    @property
    def doc(self) -> str:
        """What must hold."""
        return getdoc(self.look) or ""


def together(findings: Mapping[str, Finding]) -> Finding:
    """The findings in several tables as one; what is told is what fails."""
    if len(findings) == 1:
        return next(iter(findings.values()))
    failing = {name: found for name, found in findings.items() if not found.passed}
    message = [f"{name}: {found.message}" for name, found in (failing or findings).items()]
    return Finding(
        passed=not failing,
        message=" ".join(message),
        figures={
            f"{name}.{figure}": said
            for name, found in findings.items()
            for figure, said in found.figures.items()
        },
        rows=[{"table": name, **row} for name, found in failing.items() for row in found.rows][
            :MAX_EXAMPLE_ROWS
        ],
    )


def counted(rows: Sequence[Mapping[str, Any]], column: str) -> int:
    """The sum over a column, 0 where there is no row."""
    return sum(int(row[column]) for row in rows)


def percent(share: float) -> str:
    """As `3.1 %`."""
    return f"{100 * share:.1f} %"


class NothingToCheckError(LmsPipelineError):
    """There is no file to look at."""


@dataclass(frozen=True)
class Subject:
    """One table of one partition."""

    data: DataDir
    partition: Partition
    table: Table
    calendar: Calendar
    options: AccountOptions
    connection: duckdb.DuckDBPyConnection

    @property
    def is_there(self) -> bool:
        """Whether there is a file to look at."""
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
    def metadata(self) -> dict[str, str]:
        """What the file tells of itself."""
        from lms_pipeline.lake.files import read_metadata

        return read_metadata(self.file)

    def path(self, table: Table) -> Path:
        """Where the file of another table of the same partition is."""
        return self.data.file(table, self.partition)

    def agrees_with(self, table: Table, fact: str) -> bool:
        """Whether the file of another table is there, and tells the same of itself, as its `run_id`."""
        from lms_pipeline.lake.files import read_metadata

        path = self.path(table)
        return path.exists() and read_metadata(path).get(fact) == self.metadata.get(fact)

    def published(self) -> duckdb.DuckDBPyRelation:
        """The rows of the file; columns that an older one lacks are null."""
        from lms_pipeline.tables.schema import arrow_schema

        self.connection.from_arrow(arrow_schema(self.table).empty_table()).create_view("described")
        self.connection.execute("SET VARIABLE path = $path", {"path": str(self.file)})
        self.connection.execute(sql(__package__, "sql/published.sql"))
        return self.connection.view("published")

    def ask(self, name: str, **values: object) -> list[dict[str, Any]]:
        """What a file in `checks/sql` answers, with these values bound; it finds the rows in the view `published`."""
        self.published()
        asked = self.connection.execute(sql(__package__, f"sql/{name}"), values)
        columns = [column[0] for column in asked.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in asked.fetchall()]


@contextmanager
def open_subject(
    settings: Settings, data: DataDir, partition: Partition
) -> Iterator[Callable[[Table], Subject]]:
    """The way from a table to what is looked at; one after the other, they share what they ask with.

    Raises:
        SettingsError: the file of options can't be used.
    """
    options = load_options(settings).get(partition.account_id, AccountOptions())
    with TemporaryDirectory(prefix="lms-checks-") as spill, duckdb_session(Path(spill)) as connection:
        yield lambda table: Subject(data, partition, table, settings.calendar, options, connection)
