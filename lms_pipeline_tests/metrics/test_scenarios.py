"""Each case of the definitions as a table of enrollments, and the figures that a person computed from it.

`scenarios/<case>.enrollments.csv` has the reason for each enrollment; `scenarios/<case>[.<variant>].expected.csv` has the
row (`account`, `course c1`, `learner ann`; `*` for all of them), a figure, its value and, if it isn't obvious, which
enrollments it counts. A rate is written as a fraction. The day is 2026-03-31, in UTC unless the variant says otherwise,
and the pull was at 06:00 UTC on the next day.
"""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline_tests.support.enrollment_files import compute_tables, enrollments_file, write

if TYPE_CHECKING:
    from collections.abc import Callable

SCENARIOS = Path(__file__).parent / "scenarios"
OPTIONS: dict[str, dict[str, Any]] = {
    "known_nowhere.removes": {"reports_withdrawn": False},
    "due_days.utc": {"zone": "UTC"},
    "due_days.kolkata": {"zone": "Asia/Kolkata"},
    "due_days.new_york": {"zone": "America/New_York"},
    "dates_without_time.utc": {"zone": "UTC"},
    "dates_without_time.tokyo": {"zone": "Asia/Tokyo"},
    "dates_without_time.new_york": {"zone": "America/New_York"},
    "dates_of_the_fetch.utc": {"zone": "UTC"},
    "dates_of_the_fetch.tokyo": {"zone": "Asia/Tokyo"},
    "roles.none_excluded": {"excluded_roles": ()},
    "roles.mentors": {"excluded_roles": ("Mentor",)},
}
TABLES = {"account": ACCOUNT_COMPLETION, "course": COURSE_COMPLETION, "learner": LEARNER_COMPLETION}

READ_AS: dict[str, Callable[[str], object]] = {
    "progress_percent": float,
    "score": float,
    "attempt_number": int,
    "time_spent_seconds": int,
    "is_mandatory": {"true": True, "false": False}.__getitem__,
}


class Figure(NamedTuple):
    row: str
    name: str
    value: object


def moment(text: str) -> datetime:
    """Return a date as its first instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def enrollments(case: str) -> list[dict[str, Any]]:
    def read(column: str, text: str) -> Any:
        return moment(text) if column.endswith("_at") else READ_AS.get(column, str)(text)

    with (SCENARIOS / f"{case}.enrollments.csv").open(encoding="utf-8", newline="") as file:
        return [
            {column: read(column, text) for column, text in row.items() if text and column != "why"}
            for row in csv.DictReader(file, strict=True)
        ]


def expected(case: str) -> list[Figure]:
    def read(name: str, text: str) -> object:
        if text in {"null", "absent"}:
            return None if text == "null" else text
        if name == "keys":
            return text.split()
        if name in {"course_title", "user_name"}:
            return text
        return moment(text) if name.endswith("_at") else pytest.approx(float(Fraction(text)), rel=1e-12)

    with (SCENARIOS / f"{case}.expected.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        return [Figure(row["row"], row["figure"], read(row["figure"], row["value"])) for row in rows]


def read_figure(figure: Figure, rows: dict[str, list[dict[str, Any]]]) -> object:
    """Return the value of a figure in the tables."""
    kind, _, key = figure.row.partition(" ")
    column = TABLES[kind].key[0] if TABLES[kind].key else ""
    if figure.name == "keys":
        return [row[column] for row in rows[kind]]
    [row] = [row for row in rows[kind] if not column or row[column] == key]
    return row.get(figure.name, "absent")


@pytest.mark.parametrize(
    "case", sorted(path.name.removesuffix(".expected.csv") for path in SCENARIOS.glob("*.expected.csv"))
)
def test_figures_are_those_computed_by_hand(case: str, tmp_path: Path) -> None:
    path = write(tmp_path / "data.parquet", enrollments(case.partition(".")[0]))
    file = enrollments_file(path, **OPTIONS.get(case, {}))
    figures = expected(case)
    kinds = sorted({figure.row.partition(" ")[0] for figure in figures})
    rows = dict(zip(kinds, compute_tables([TABLES[kind] for kind in kinds], file), strict=True))
    assert [Figure(f.row, f.name, read_figure(f, rows)) for f in figures] == figures


def test_every_scenario_has_expected_figures() -> None:
    with_enrollments = {path.name.partition(".")[0] for path in SCENARIOS.glob("*.enrollments.csv")}
    cases = {path.name.removesuffix(".expected.csv") for path in SCENARIOS.glob("*.expected.csv")}
    assert {case.partition(".")[0] for case in cases} == with_enrollments
    assert OPTIONS.keys() <= cases
