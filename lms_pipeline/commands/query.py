"""`lms-pipeline query`: SQL over the warehouse, read-only.

What belongs here: running one query and writing what it brings. The warehouse is `lake/warehouse.py`.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal, TextIO, get_args

import click
import duckdb
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lms_pipeline.errors import LmsPipelineError, WrongUseError
from lms_pipeline.lake import warehouse
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings

Format = Literal["table", "csv", "json", "parquet"]
MAX_PRINTED_ROWS = 1_000
"""Of a table on a terminal; the other formats bring every row."""
ANY_WIDTH = 100_000
"""Columns of characters where the output goes to a file or a pipe, so that no cell is cut."""

ROWS_PER_BATCH = 10_000


@click.command()
@click.argument("sql")
@click.option("--format", "form", type=click.Choice(get_args(Format)), default="table", show_default=True)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of the screen."
)
def query(sql: str, form: Format, output: Path | None) -> None:
    """Ask the warehouse in SQL.

    Tables: course_completion, account_completion, learner_completion (latest day), unified_enrollments,
    raw_enrollments, rejected_enrollments, learners, courses.
    """
    if form == "parquet" and output is None:
        raise WrongUseError("Parquet is no text: name a file with -o.")
    with warehouse.open_warehouse(DataDir(Settings.load().data_dir)) as connection:
        rows = _asked(connection, sql)
        try:
            _write(rows, form, output)
        except duckdb.Error as error:
            raise LmsPipelineError(f"The query failed: {_first_line(error)}.") from None
        except BrokenPipeError:
            raise
        except OSError as error:
            raise LmsPipelineError(f"{output or 'The output'} can't be written: {error.strerror}.") from None


def _asked(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    """What the SQL asks for; anything but one question is refused, COPY too, which writes files."""
    try:
        kinds = [statement.type for statement in connection.extract_statements(sql)]
        if kinds == [duckdb.StatementType.SELECT]:
            return connection.sql(sql)
    except duckdb.Error as error:
        raise WrongUseError(f"The SQL can't be run: {_first_line(error)}.") from None
    raise WrongUseError(
        "The SQL must be one question: a SELECT, FROM, DESCRIBE, SUMMARIZE or SHOW, and no other."
    )


def _write(rows: duckdb.DuckDBPyRelation, form: Format, output: Path | None) -> None:
    if form == "parquet":
        rows.write_parquet(str(output))
        return
    write = {"csv": _write_csv, "json": _write_json, "table": _write_table}[form]
    with output.open("w", encoding="utf-8", newline="") if output else nullcontext(sys.stdout) as file:
        write(rows, file)


def _write_csv(rows: duckdb.DuckDBPyRelation, file: TextIO) -> None:
    """A line a row; DuckDB writes the values, so that every type has its text."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows.columns)
    for batch in rows.project("COLUMNS(*)::VARCHAR").to_arrow_reader(ROWS_PER_BATCH):
        writer.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def _write_json(rows: duckdb.DuckDBPyRelation, file: TextIO) -> None:
    """One array, an object a row and line; DuckDB writes the objects, so that every type has its text."""
    separator = "["
    for batch in rows.set_alias("asked").project("to_json(asked)").to_arrow_reader(ROWS_PER_BATCH):
        for text in batch.column(0).to_pylist():
            file.write(f"{separator}{text}")
            separator = ",\n"
    file.write("[]\n" if separator == "[" else "]\n")


def _write_table(rows: duckdb.DuckDBPyRelation, file: TextIO) -> None:
    numeric = {"BIGINT", "INTEGER", "DOUBLE", "FLOAT", "HUGEINT", "DECIMAL", "SMALLINT", "TINYINT", "UBIGINT"}
    table = Table(box=box.SIMPLE)
    for name, of in zip(rows.columns, rows.types, strict=True):
        table.add_column(name, justify="right" if str(of).partition("(")[0] in numeric else "left")
    shown = rows.limit(MAX_PRINTED_ROWS + 1).fetchall()
    for row in shown[:MAX_PRINTED_ROWS]:
        table.add_row(*(escape(_cell(value)) for value in row))
    console = Console(file=file, width=None if file.isatty() else ANY_WIDTH)
    if console.measure(table).maximum <= console.width:
        console.print(table)
    else:
        for row in shown[:MAX_PRINTED_ROWS]:
            console.print(_block(rows.columns, row))
    if len(shown) > MAX_PRINTED_ROWS:
        click.echo(
            f"Only the first {MAX_PRINTED_ROWS:,} rows are shown: ask for --format csv to have all.", err=True
        )


def _block(columns: Sequence[str], row: Sequence[object]) -> Table:
    """A row that is too wide for the terminal, one line a column."""
    block = Table("column", "value", box=box.SIMPLE, show_header=False)
    for name, value in zip(columns, row, strict=True):
        block.add_row(escape(name), escape(_cell(value)))
    return block


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _first_line(error: duckdb.Error) -> str:
    """What DuckDB says, without the picture of the statement that it draws below."""
    return str(error).strip().splitlines()[0].rstrip(".!")
