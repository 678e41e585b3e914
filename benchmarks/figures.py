"""The figures of a benchmark, for machines and for people.

Belongs here: one format for all benchmarks: JSON lines to stdout, tables to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.ratios import Limit

FILE_COLUMNS = 160
"""The width of a table that is no terminal's."""


class Figure(NamedTuple):
    """One measured number."""

    name: str
    value: float
    unit: str = ""
    limit: Limit | None = None
    """What the figure should reach, for those that have a limit."""


def print_figures(benchmark: str, figures: Iterable[Figure], **parameters: object) -> None:
    """Print a JSON line for each figure to stdout, and a table to stderr."""
    rows = []
    for figure in figures:
        members = {"name": figure.name, "value": figure.value, "unit": figure.unit}
        limit = ""
        if figure.limit is not None:
            members["limit"] = limit = str(figure.limit)
        print_line(benchmark=benchmark, **parameters, **members)
        rows.append((figure.name, format_number(figure.value), figure.unit, limit))
    has_limits = any(limit for *_, limit in rows)
    columns = ("figure", "value", "unit", "limit") if has_limits else ("figure", "value", "unit")
    print_table(benchmark, columns, [row[: len(columns)] for row in rows])


def print_line(**members: object) -> None:
    """Print a JSON line to stdout."""
    click.echo(msgspec.json.encode(members).decode())


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to stderr; the columns `value` and those with a unit in brackets are numbers."""
    table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column, name in zip(table.columns, columns, strict=True):
        column.justify = "right" if name == "value" or name.endswith(")") else "left"
    for row in rows:
        table.add_row(*row)
    Console(stderr=True, width=None if sys.stderr.isatty() else FILE_COLUMNS).print(table)


def format_number(value: float) -> str:
    """Format a number with two decimals, or none if it is whole."""
    return f"{value:,.2f}".removesuffix(".00")
