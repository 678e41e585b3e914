"""What a benchmark found out, for machines and for people.

What belongs here: one form for the figures of all benchmarks.
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


def tell(benchmark: str, figures: Iterable[Figure], **circumstances: object) -> None:
    """A JSON line for each figure on stdout, a table on stderr."""
    table = Table("figure", "value", "unit", title=benchmark, title_justify="left", box=box.SIMPLE_HEAD)
    table.columns[1].justify = "right"
    for figure in figures:
        line = {"benchmark": benchmark, **circumstances, **figure._asdict()}
        click.echo(msgspec.json.encode(line).decode())
        table.add_row(figure.name, f"{figure.value:,.2f}".removesuffix(".00"), figure.unit)
    Console(stderr=True).print(table)
