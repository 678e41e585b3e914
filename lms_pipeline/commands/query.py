"""`lms-pipeline query`: SQL over the warehouse, read-only.

Belongs here: running one query and writing its rows. Not here: the warehouse (`lake/warehouse.py`).
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO, get_args

import click
import duckdb
from rich import box
from rich.console import Console
from rich.table import Table

from lms_pipeline.commands.common import load_settings
from lms_pipeline.commands.terminal import build_cell, escape_controls
from lms_pipeline.errors import LmsPipelineError, WrongUseError
from lms_pipeline.lake import warehouse
from lms_pipeline.lake.paths import DATA_FILE, DataDir

Format = Literal["table", "csv", "json", "parquet"]
MAX_PRINTED_ROWS = 1_000
"""Limit of the format `table`. The other formats write every row."""
MAX_LINE_WIDTH = 100_000
"""Characters in a line of a table that goes to a file or a pipe: no cell is cut."""
ROWS_PER_BATCH = 1_000
"""Rows that are read together: payloads may be large."""
FORMULA_STARTS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""First characters of what a spreadsheet runs as a formula; the last four are full-width. Source: OWASP, "CSV Injection"."""
SIGNED_NUMBER = re.compile(r"[-+]([0-9.]+(e[-+]?[0-9]+)?|inf|nan)", re.IGNORECASE)
ROLL_UPS = DataDir(Path()).roll_ups.name
LAKE_FILE = re.compile(rf"[^\"']*/{re.escape(DATA_FILE)}")
UNKNOWN_NAME = re.compile(r"Table with name|Referenced (table|column)|does not have a column")
"""In DuckDB's messages about tables and columns that don't exist."""
SUGGESTIONS = ("Did you mean", "Candidate bindings")
"""The begins of lines in which DuckDB names tables, columns and functions like the unknown one."""


class _SqlCommand(click.Command):
    """A command whose argument is SQL, which may begin with a comment: `-- text`, as an option does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words, with a blank before such SQL. It has a line end, and no name of an option before its first `=`."""
        options = {name for param in self.params for name in param.opts}
        is_sql = [arg.startswith("--") and "\n" in arg and arg.partition("=")[0] not in options for arg in args]
        return super().parse_args(ctx, [f" {arg}" if sql else arg for arg, sql in zip(args, is_sql, strict=True)])


@click.command(cls=_SqlCommand)
@click.argument("words", metavar="SQL", nargs=-1, required=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(get_args(Format)),
    default="table",
    show_default=True,
    help="Format of the rows.",
)
@click.option("--raw-text", is_flag=True, help="CSV: keep texts as they are that a spreadsheet would run as a formula.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def query(words: tuple[str, ...], form: Format, output: Path | None, *, raw_text: bool) -> None:
    """Run SQL, one read-only query in quotes, on the warehouse.

    SQL is in the dialect of DuckDB. `SHOW TABLES` lists the tables, `DESCRIBE account_completion` the columns of one.
    """
    if len(words) > 1:
        raise WrongUseError("The query has to be one argument: put it in quotes.")
    if form == "parquet" and output is None:
        raise WrongUseError("Parquet output needs a file: name one with -o.")
    with warehouse.open_warehouse(DataDir.open(load_settings())) as connection:
        rows = _run_query(connection, words[0])
        try:
            _write(rows, form, output, raw_text=raw_text)
        except duckdb.Error as error:
            raise LmsPipelineError(f"The query failed: {_read_message(error)}.") from None
        except BrokenPipeError:
            raise
        except OSError as error:
            raise LmsPipelineError(f"{output or 'The output'} can't be written: {error.strerror}.") from None


def _run_query(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    """Return the rows of one SELECT. Refuse everything else, COPY included, which writes files."""
    try:
        kinds = [statement.type for statement in connection.extract_statements(sql)]
        if kinds == [duckdb.StatementType.SELECT]:
            return connection.sql(sql)
    except duckdb.Error as error:
        message = _read_message(error)
        todo = (
            "; `SHOW TABLES` lists the tables, `DESCRIBE <table>` the columns" if UNKNOWN_NAME.search(message) else ""
        )
        raise WrongUseError(f"The SQL can't be run: {message}{todo}.") from None
    raise WrongUseError("The SQL must be a single query: SELECT, FROM, DESCRIBE, SUMMARIZE or SHOW.")


def _read_message(error: duckdb.Error) -> str:
    """Return DuckDB's message with the names that it suggests, without the marked statement below it.

    Raises:
        LmsPipelineError: it names a file of the lake, which is damaged, or a bucket failed.
    """
    warehouse.refuse_store_failure(error)
    message, *others = (line.rstrip(".!") for line in str(error).strip().splitlines())
    suggestions = [line for line in others if line.startswith(SUGGESTIONS)]
    message = "; ".join([message, *suggestions])
    if found := LAKE_FILE.search(message):
        if Path(found[0]).parts[-4:-3] == (ROLL_UPS,):
            raise LmsPipelineError(
                f"The roll-up {found[0]} is missing or damaged: run `lms-pipeline materialize --select warehouse`, which "
                "writes it again."
            ) from None
        raise LmsPipelineError(
            f"{found[0]} can't be read: it is missing or damaged; restore it, or run `lms-pipeline replay` for its day. Without "
            "it, `lms-pipeline materialize --select warehouse` builds a warehouse of the other files."
        ) from None
    return message


def _write(rows: duckdb.DuckDBPyRelation, form: Format, output: Path | None, *, raw_text: bool) -> None:
    if form == "parquet":
        rows.write_parquet(str(output))
        return
    with output.open("w", encoding="utf-8", newline="") if output else nullcontext(sys.stdout) as file:
        if form == "csv":
            _write_csv(rows, file, raw_text=raw_text)
        elif form == "json":
            _write_json(rows, file)
        else:
            _write_table(rows, file)


def _write_csv(rows: duckdb.DuckDBPyRelation, file: TextIO, *, raw_text: bool) -> None:
    """Write one line for each row. DuckDB converts the values to text, so that every type works."""
    convert: Callable[[str | None], str | None] = (lambda text: text) if raw_text else _defuse_formula
    if file.isatty():
        convert = _build_terminal_text
    writer = csv.writer(_LineFeedWriter(file), lineterminator="\r\n")
    writer.writerow(rows.columns)
    for batch in rows.project("COLUMNS(*)::VARCHAR").to_arrow_reader(ROWS_PER_BATCH):
        writer.writerows(zip(*(map(convert, column.to_pylist()) for column in batch.columns), strict=True))


@dataclass(frozen=True)
class _LineFeedWriter:
    r"""Ends lines with `\n`. `csv` quotes a `\r` in a text only if its lines end with `\r\n`."""

    file: TextIO

    def write(self, line: str) -> int:
        return self.file.write(line.removesuffix("\r\n") + "\n")


def _build_terminal_text(text: str | None) -> str | None:
    """Return a text as a terminal may show it; what it shows is no file for a spreadsheet."""
    return None if text is None else escape_controls(text)


def _defuse_formula(text: str | None) -> str | None:
    """Put an apostrophe before what a spreadsheet would run as a formula."""
    if not text or text[0] not in FORMULA_STARTS or SIGNED_NUMBER.fullmatch(text):
        return text
    return f"'{text}"


def _write_json(rows: duckdb.DuckDBPyRelation, file: TextIO) -> None:
    """Write one array with an object for each row. DuckDB writes the objects, so that every type works."""
    separator = "["
    for batch in rows.set_alias("row_").project("to_json(row_)").to_arrow_reader(ROWS_PER_BATCH):
        for text in batch.column(0).to_pylist():
            file.write(f"{separator}{text}")
            separator = ",\n"
    file.write("[]\n" if separator == "[" else "]\n")


def _write_table(rows: duckdb.DuckDBPyRelation, file: TextIO) -> None:
    table = Table(box=box.SIMPLE)
    for name, kind, *_ in rows.description:
        is_number = kind == duckdb.NUMBER  # type: ignore[attr-defined] # public, but not in its `__all__`
        table.add_column(name, justify="right" if is_number else "left")
    shown = rows.limit(MAX_PRINTED_ROWS + 1).fetchall()
    for row in shown[:MAX_PRINTED_ROWS]:
        table.add_row(*(build_cell(_format_cell(value)) for value in row))
    console = Console(file=file, width=None if file.isatty() else MAX_LINE_WIDTH)
    if console.measure(table).maximum <= console.width:
        console.print(table)
    else:
        for row in shown[:MAX_PRINTED_ROWS]:
            console.print(_build_block(rows.columns, row))
    if len(shown) > MAX_PRINTED_ROWS:
        click.echo(f"Only the first {MAX_PRINTED_ROWS:,} rows are shown: use --format csv for all rows.", err=True)


def _build_block(columns: Sequence[str], row: Sequence[object]) -> Table:
    """Return a row that is too wide for the terminal as a table with one line for each column."""
    block = Table("column", "value", box=box.SIMPLE, show_header=False)
    for name, value in zip(columns, row, strict=True):
        block.add_row(build_cell(name), build_cell(_format_cell(value)))
    return block


def _format_cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
