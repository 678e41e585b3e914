"""The lineage of figures: each column of a snapshot in turn is changed, and exactly the figures that name it as a source
change.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline.metrics.completion import open_completion
from lms_pipeline.metrics.earlier import EarlierSnapshot
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.metrics import COMPLETION_TABLES
from lms_pipeline.tables.over_time import COHORT_COMPLETION, COMPLETION_CURVE
from lms_pipeline.tables.pulled import STATUSES, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table, arrow_schema
from lms_pipeline_tests.support.enrollment_files import DAY, enrollments_file

TABLES = (*COMPLETION_TABLES, COHORT_COMPLETION, COMPLETION_CURVE)
Figures = dict[tuple[str, object], dict[str, Any]]
"""By table and key of the row."""

DAY_END = datetime(2026, 4, 1, tzinfo=UTC)
NO_DATE = datetime(1970, 1, 1, tzinfo=UTC)
ROWS = 4_000
BY_RULE = {"due_source", "mandatory_source", "n_due_by_rule", "n_required_by_rule", "left_out_by_rule"}
"""Figures that these enrollments can't change: the account has no rules."""
NEVER_NULL = {column.name for column in UNIFIED_ENROLLMENTS.columns if not column.nullable}


@cache
def rows() -> pa.Table:
    """Enrollments of 800 learners, each in two of 25 courses, so many and so varied that each figure counts some."""
    draw = random.Random(35)  # noqa: S311 (the same rows every time)

    def moment(first: int, last: int, known: float = 0.8) -> datetime | None:
        """Return a time between two, in hours from the end of the day; some are null or mean "no date"."""
        if draw.random() < 0.05:
            return NO_DATE
        return DAY_END + timedelta(hours=draw.randint(first, last)) if draw.random() < known else None

    def one(number: int) -> dict[str, Any]:
        learner = draw.randint(1, 800)
        text = str(number)
        return {
            "enrollment_id": f"e{draw.randint(1, 3)}",
            "user_id": f"u{learner}",
            "user_name": text,
            "user_email": text,
            "course_id": f"c{(learner + draw.randint(0, 1)) % 25}",
            "course_title": text,
            "status": draw.choice(STATUSES),
            "status_raw": text,
            "progress_percent": draw.choice([None, 0.0, 40.0, 100.0]),
            "score": draw.choice([None, 50.0, 80.5]),
            "is_mandatory": draw.choice([None, True, True, False]),
            "attempt_number": draw.choice([None, 1, 2]),
            "attempts_count": number,
            "assigned_at": draw.choice([moment(-120, 60), DAY_END - timedelta(hours=1)]),
            "enrolled_at": moment(-72, 72, 0.5),
            "started_at": moment(-72, 72, 0.3),
            "completed_at": moment(-120, 60, 0.4),
            "due_at": moment(-150, 150, 0.7),
            "last_activity_at": moment(-72, 72),
            "created_at": moment(-72, 72),
            "updated_at": moment(-200, 72),
            "assigned_by_id": text,
            "assigned_by_name": text,
            "time_spent_seconds": draw.choice([None, 0, 600]),
            "custom_fields": text,
            "role": draw.choice([None, "learner", "mentor", "instructor"]),
            "extra": draw.choice([text, None, '{"completed_at":"1970-01-01"}']),
            "source": draw.choice(["unified", "carried", "roster", "reconstructed"]),
            "fetched_at": DAY_END + timedelta(hours=draw.randint(20, 60), seconds=number),
        }

    return pa.Table.from_pylist([one(number) for number in range(ROWS)], arrow_schema(UNIFIED_ENROLLMENTS))


def figures(path: Path) -> Figures:
    with open_completion(enrollments_file(path), TABLES) as read_rows:
        return {
            (table.name, tuple(row[name] for name in table.key)): row
            for table in TABLES
            for row in read_rows(table).read_all().to_pylist()
        }


def change(rows: pa.Table, *columns: str) -> Iterator[pa.Table]:
    """Yield the rows with values of other rows in these columns and nulls in every third row; then with only one of both."""
    same, moved = list(range(ROWS)), [*range(13, ROWS), *range(13)]
    thinned = [None if number % 3 == 0 else other for number, other in enumerate(moved)]
    nothing: list[int | None] = [None] * ROWS
    yield take(rows, columns, thinned, moved)
    yield take(rows, columns, moved, moved)
    yield take(rows, columns, nothing, same)


def take(rows: pa.Table, columns: Sequence[str], places: Sequence[int | None], never_null: list[int]) -> pa.Table:
    """Return the rows with the values of these places in the columns, or with others in those that are never null."""
    for name in columns:
        index = rows.schema.get_field_index(name)
        values = rows.column(index).take(pa.array(never_null if name in NEVER_NULL else places, pa.int64()))
        rows = rows.set_column(index, rows.schema.field(index), values)
    return rows


def write(path: Path, rows: pa.Table) -> Path:
    pq.write_table(rows, path)
    return path


def find_changed(before: Figures, after: Figures, *columns: str) -> set[str]:
    """Return the figures that differ, in rows that exist both times and whose key is none of the columns."""
    keys = {table.name: table.key for table in TABLES}
    return {
        name
        for (table, key), row in before.items()
        if (table, key) in after and not set(keys[table]) & set(columns)
        for name, value in row.items()
        if name not in BY_RULE and after[table, key][name] != value
    }


def declared_figures(column: str) -> set[str]:
    return {
        figure.name
        for table in TABLES
        for figure in table.columns
        if column in figure.sources and column not in table.key and figure.name not in {*table.key, *BY_RULE}
    }


NAMED = [name for name in UNIFIED_ENROLLMENTS.column_names if declared_figures(name)]


def group_columns(columns: list[str], declared: Callable[[str], set[str]]) -> list[tuple[str, ...]]:
    """Return the columns to change at once: those with the fewest figures, which have none in common, and those with none.

    The others are single: what they change would hide much of what another one changes.
    """
    none = [column for column in columns if not declared(column)]
    few: list[str] = []
    for column in sorted(columns, key=lambda name: len(declared(name))):
        figures_of_few = set[str]().union(*map(declared, few))
        if 0 < len(declared(column)) <= MOST_OF_A_FEW and not declared(column) & figures_of_few:
            few.append(column)
    others = [(column,) for column in columns if column not in {*none, *few}]
    return [tuple(group) for group in (none, few) if group] + others


MOST_OF_A_FEW = 9


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    return figures(write(tmp_path_factory.mktemp("before") / "data.parquet", rows()))


@pytest.fixture
def changed_by(before: Figures, tmp_path: Path) -> Callable[..., set[str]]:
    def change_and_compare(*columns: str) -> set[str]:
        declared = set[str]().union(*map(declared_figures, columns))
        found = set[str]()
        for changed in change(rows(), *columns):
            found |= find_changed(before, figures(write(tmp_path / "data.parquet", changed)), *columns)
            if found >= declared:  # most columns need only the first change
                break
        return found

    return change_and_compare


@pytest.mark.parametrize("columns", group_columns(NAMED, declared_figures), ids=" ".join)
def test_a_column_changes_exactly_the_figures_that_name_it(columns: tuple[str, ...], changed_by) -> None:
    assert changed_by(*columns) == set[str]().union(*map(declared_figures, columns))


def read_attention(path: Path, earlier: Path) -> Figures:
    """Return the rows by the name of the learner, which each enrollment has for itself."""
    compared = EarlierSnapshot(earlier, DAY - timedelta(days=20))
    with open_completion(enrollments_file(path, earlier=compared), [ATTENTION]) as read_rows:
        return {(ATTENTION.name, row["user_name"]): row for row in read_rows(ATTENTION).read_all().to_pylist()}


@pytest.fixture(scope="module")
def attention_before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Figures]:
    """Return a file of the rows, and its attention compared with itself."""
    path = write(tmp_path_factory.mktemp("earlier") / "data.parquet", rows())
    return path, read_attention(path, path)


def declared_in_attention(column: str) -> set[str]:
    return {figure.name for figure in ATTENTION.columns if column in figure.sources}


@pytest.mark.parametrize(
    "columns",
    group_columns(sorted(set(UNIFIED_ENROLLMENTS.column_names) - {"user_name"}), declared_in_attention),
    ids=lambda columns: " ".join(columns) if declared_in_attention(columns[0]) else "named by none",
)
def test_a_column_changes_only_what_names_it_in_attention(
    columns: tuple[str, ...], tmp_path: Path, attention_before: tuple[Path, Figures]
) -> None:
    """The sources that decide whether there is a row at all do not show in a row."""
    earlier, before = attention_before
    declared = set[str]().union(*map(declared_in_attention, columns))
    after = read_attention(write(tmp_path / "data.parquet", next(change(rows(), *columns))), earlier)
    differing = {name for key, row in before.items() if key in after for name in row if row[name] != after[key][name]}
    assert differing <= declared


def test_columns_that_no_figure_names_change_none(changed_by) -> None:
    assert changed_by(*set(UNIFIED_ENROLLMENTS.column_names) - set(NAMED)) == set()


def test_a_figure_has_the_same_sources_in_every_table() -> None:
    sources = defaultdict(set)
    for table in TABLES:
        for column in table.columns:
            sources[column.name].add(column.sources)
    assert [name for name, found in sources.items() if len(found) > 1] == []


@pytest.mark.parametrize("table", COMPLETION_TABLES, ids=lambda table: table.name)
def test_the_key_of_a_row_is_the_column_of_that_name(table: Table) -> None:
    keys = {column.name: column.sources for column in table.columns if column.name in table.key}
    assert keys == {name: {name} for name in table.key}
