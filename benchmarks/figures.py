"""The figures of a benchmark, for machines and for people.

Belongs here: one format for all benchmarks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table


class Figure(NamedTuple):
    """One measured number."""

    name: str
    value: float
    unit: str = ""


def print_figures(benchmark: str, figures: Iterable[Figure], **parameters: object) -> None:
    """Print a JSON line for each figure to stdout, and a table to stderr."""
    table = Table("figure", "value", "unit", title=benchmark, title_justify="left", box=box.SIMPLE_HEAD)
    table.columns[1].justify = "right"
    for figure in figures:
        line = {"benchmark": benchmark, **parameters, **figure._asdict()}
        click.echo(msgspec.json.encode(line).decode())
        table.add_row(figure.name, f"{figure.value:,.2f}".removesuffix(".00"), figure.unit)
    Console(stderr=True).print(table)
