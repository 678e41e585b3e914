"""The parts of a page: tables, charts, tiles and sections, as plain data. `templates/` turns them into HTML.

Belongs here: shapes, and the few functions that build their cells. Not here: what a section shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from lms_pipeline.report.small_groups import ShownRate
from lms_pipeline.report.words import format_number, format_percent

T = TypeVar("T")
Spec = dict[str, Any]
"""A Vega-Lite specification without colours, which come from a theme (`charts.py`)."""


class Cell(NamedTuple):
    """A cell of a table."""

    text: str
    value: str | None = None
    """What is copied as CSV instead of the text."""
    is_number: bool = False
    is_header: bool = False
    """Whether it names its row."""


@dataclass(frozen=True)
class TableView:
    """A table that can be copied as CSV."""

    id: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(frozen=True)
class ChartView:
    """A chart; the same figures are in the table beside it."""

    id: str
    title: str
    summary: str
    """What it shows, in a sentence, for people who do not see it."""
    spec: Spec


@dataclass(frozen=True)
class Exhibit:
    """A chart with its table, or a table without a chart."""

    table: TableView
    chart: ChartView | None = None
    is_open: bool = False
    """Whether the table is shown without a click."""


class Tile(NamedTuple):
    """A headline figure."""

    label: str
    value: str
    basis: str
    """Its numerator and denominator in words."""
    changes: Sequence[str]


@dataclass(frozen=True)
class Section:
    """A section of the page."""

    id: str
    title: str
    lead: str
    """The finding, in a sentence or two."""
    exhibits: Sequence[Exhibit] = ()
    notes: Sequence[str] = field(default=())


def limit_rows(
    rows: Sequence[T], max_rows: int, total: int | None = None, *, are_largest: bool = False
) -> tuple[Sequence[T], str]:
    """Return the first rows, and a sentence that says how many of how many they are; an empty one if these are all.

    Args:
        rows: the rows, or the first of them.
        max_rows: how many are returned at most.
        total: how many there are; None for as many as in `rows`.
        are_largest: whether they are sorted by size.
    """
    shown, count = rows[:max_rows], len(rows) if total is None else total
    if len(shown) >= count:
        return shown, ""
    return (
        shown,
        f"The {len(shown):,} largest of {count:,}." if are_largest else f"The first {len(shown):,} of {count:,}.",
    )


def build_name_cell(text: str) -> Cell:
    """Return the cell that names a row."""
    return Cell(text, is_header=True)


def build_text_cell(text: str) -> Cell:
    """Return a cell with text."""
    return Cell(text)


def build_count_cell(count: int | None) -> Cell:
    """Return a cell with a count."""
    return Cell(format_number(count), "" if count is None else str(count), is_number=True)


def build_rate_cell(rate: ShownRate | None) -> Cell:
    """Return a cell with a rate: whole percents where its counts are withheld."""
    if rate is None:
        return Cell(format_percent(None), "", is_number=True)
    return build_share_cell(rate.value, is_whole=rate.of is None)


def build_share_cell(share: float | None, *, is_whole: bool = False) -> Cell:
    """Return a cell with a share between 0 and 1."""
    value = "" if share is None else f"{share:.3g}" if is_whole else f"{share:.6g}"
    return Cell(format_percent(share, is_whole=is_whole), value, is_number=True)
