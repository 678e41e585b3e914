"""Real enrollments: the figures are those of a recomputation from OULAD's CSVs, and those of its README."""

from __future__ import annotations

from collections import Counter
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from lms_pipeline import lake
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.metrics.portfolio import publish_portfolio
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.tables.over_time import COHORT_COMPLETION, COMPLETION_CURVE
from lms_pipeline_tests.support.enrollment_files import compute_rows, compute_tables, enrollments_file
from lms_pipeline_tests.support.expected_curves import Cohort, compute_cohorts
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.lake_files import publish
from lms_pipeline_tests.support.oulad_expected import DAYS, OTHER_DAYS, Figures, compute_figures
from lms_pipeline_tests.support.oulad_records import OULAD, OULAD_MISSING
from lms_pipeline_tests.support.oulad_states import MODULES, build_assessments, build_presentations, to_number

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    import pandas as pd

    from lms_pipeline_tests.support.oulad_files import Write

pytestmark = pytest.mark.skipif(not OULAD.is_dir(), reason=OULAD_MISSING)

AT_THE_END = date(2015, 12, 31)


def check_row(row: dict[str, Any], figures: Figures) -> None:
    assert {name: row[name] for name in figures} == {
        name: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value for name, value in figures.items()
    }


class OfDay(NamedTuple):
    """The published rows of a day: by module, if it has enrollments, by course, and of the portfolio."""

    accounts: dict[str, dict[str, Any]]
    courses: dict[str, dict[str, Any]]
    portfolio: dict[str, Any]


@pytest.fixture(scope="module")
def compute_day(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Write, date], OfDay]:
    """Return a function that computes all modules of a day, each day and mapping once. Its rows are read-only."""

    @cache
    def compute_day(write: Write, day: date) -> OfDay:
        folder = tmp_path_factory.mktemp("modules")
        accounts, courses = dict[str, dict[str, Any]](), dict[str, dict[str, Any]]()
        for module in MODULES:
            path = write(module, day, folder / "data.parquet")
            if not pq.read_metadata(path).num_rows:
                continue  # a tenth of the modules and days
            [account], rows = compute_tables((ACCOUNT_COMPLETION, COURSE_COMPLETION), enrollments_file(path, day))
            publish(DataDir(folder), module, day, account, table=ACCOUNT_COMPLETION)
            accounts[module] = account
            courses |= {row["course_id"]: row for row in rows}
        return OfDay(accounts, courses, publish_portfolio_row(DataDir(folder), day))

    return compute_day


@pytest.mark.parametrize(
    ("fixture", "build", "day"),
    [
        *(("write_presentations", build_presentations, day) for day in choose((DAYS[0], DAYS[2], DAYS[-1]), DAYS)),
        *(("write_assessments", build_assessments, day) for day in choose(OTHER_DAYS[1:2], OTHER_DAYS)),
    ],
)
def test_modules_courses_and_the_portfolio_have_the_figures_of_the_csvs(
    fixture: str,
    build: Callable[[Path, date], pd.DataFrame],
    day: date,
    compute_day: Callable[[Write, date], OfDay],
    request: pytest.FixtureRequest,
) -> None:
    expected = compute_figures(build(OULAD, day), day)
    found = compute_day(request.getfixturevalue(fixture), day)
    assert found.accounts.keys() == {module for module, figures in expected.accounts.items() if figures["n_all"]}
    for module, row in found.accounts.items():
        check_row(row, expected.accounts[module])
    assert found.courses.keys() == expected.courses.keys()
    for course, figures in expected.courses.items():
        check_row(found.courses[course], figures)
    check_row(found.portfolio, add_up(expected.accounts.values()))


def publish_portfolio_row(data: DataDir, day: date) -> dict[str, Any]:
    published = publish_portfolio(data, day, [], run_id="run-1", origin="")
    [row] = pq.ParquetFile(published.path).read().to_pylist()
    found: dict[str, Any] = row
    return found


def add_up(accounts: Collection[Figures]) -> Figures:
    """Return the figures of all accounts together: summed counts, summed numerators over summed denominators."""
    sums: Figures = {}
    for name in next(iter(accounts)):
        known = [row[name] for row in accounts if row["n_all"] and row[name] is not None]
        sums[name] = sum(value for value in known if value is not None) if known else None
    for name in [name for name in sums if f"{name}_den" in sums]:
        num, den = sums[f"{name}_num"], sums[f"{name}_den"]
        sums[name] = num / den if num is not None and den else None
    if not sums["status_passed"] and not sums["status_failed"]:
        sums["pass_rate"] = None
    return sums | dict.fromkeys(("days_to_complete_p50", "days_to_complete_p90", "progress_mean"))


@pytest.mark.parametrize(
    ("fixture", "build", "day"),
    [
        *(("write_presentations", build_presentations, day) for day in choose(OTHER_DAYS[2:3], OTHER_DAYS)),
        *(("write_assessments", build_assessments, day) for day in choose(DAYS[2:3], DAYS[1::2])),
    ],
)
def test_cohorts_are_those_of_the_csvs(
    fixture: str, build: Callable[[Path, date], pd.DataFrame], day: date, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """All modules as one account."""
    write: Write = request.getfixturevalue(fixture)
    states = build(OULAD, day)
    path = write("", day, tmp_path / "data.parquet")
    check_cohorts(compute_rows(COHORT_COMPLETION, enrollments_file(path, day)), compute_cohorts(states, to_number(day)))


def check_cohorts(rows: list[dict[str, Any]], expected: dict[Cohort, tuple[int, int, float | None]]) -> None:
    found = {
        Cohort(row["course_id"], row["cohort"], row["months_since"]): (row["enrolled"], row["completed"], row["rate"])
        for row in rows
    }
    assert found == expected


@pytest.mark.parametrize(("module", "on_time", "due"), [("AAA", 2_334, 3_740), ("FFF", 49_114, 93_144)])
def test_submissions_on_time_are_those_of_the_readme(
    module: str, on_time: int, due: int, write_assessments: Write, tmp_path: Path
) -> None:
    file = enrollments_file(write_assessments(module, AT_THE_END, tmp_path / "data.parquet"), AT_THE_END)
    [whole] = compute_rows(ACCOUNT_COMPLETION, file)
    assert (whole["on_time_rate_num"], whole["on_time_rate_den"]) == (on_time, due)
    assert whole["on_time_rate"] == on_time / due
    assert whole["n_all"] == whole["n_required"] == due
    assert whole["n_due_open"] == whole["n_overdue"] == whole["status_assigned"]


A_DAY = date(2014, 1, 20)
"""Day 111 of AAA/2013J. Its assessments 1752, 1753 and 1754 are due on days 19, 54 and 117: the latter is open yet."""
CHECKED: dict[str, list[tuple[dict[str, object], str, object]]] = {
    "account_completion": [
        # 383 students were registered; each has five assessments
        ({}, "n_all", 1_915),
        # submissions up to day 111: 359 of 1752, 341 of 1753 and 17 of 1754
        ({}, "n_completed", 717),
        ({}, "n_due", 766),
        ({}, "on_time_rate", 533 / 766),  # 293 and 240
        ({}, "n_overdue", 66),  # 24 and 42
    ],
    "course_completion": [
        ({"course_id": "AAA/2013J/1753"}, "n_all", 383),
        ({"course_id": "AAA/2013J/1753"}, "n_on_time", 240),
        ({"course_id": "AAA/2013J/1753"}, "n_late", 101),
        ({"course_id": "AAA/2013J/1753"}, "overdue_rate", 1),
        ({"course_id": "AAA/2013J/1754"}, "compliance_rate", 17 / 383),
    ],
    "learner_completion": [
        # student 11391 submitted 1752 on day 18 and 1753 on day 53, the others after day 111
        ({"user_id": "11391"}, "n_all", 5),
        ({"user_id": "11391"}, "n_completed", 2),
        ({"user_id": "11391"}, "n_due", 2),
        ({"user_id": "11391"}, "on_time_rate", 1),
        ({"user_id": "11391"}, "n_required_not_due", 3),
    ],
    "cohort_completion": [
        # 138 students registered in August (days -61 to -31); of these 99 submitted 1753 by the end of November (day 60),
        # 118 by that of December (day 91) and 119 by day 111
        ({"course_id": "AAA/2013J/1753", "cohort": date(2013, 8, 1), "months_since": 2}, "completed", 0),
        ({"course_id": "AAA/2013J/1753", "cohort": date(2013, 8, 1), "months_since": 3}, "rate", 99 / 138),
        ({"course_id": "AAA/2013J/1753", "cohort": date(2013, 8, 1), "months_since": 4}, "rate", 118 / 138),
        ({"course_id": "AAA/2013J/1753", "cohort": date(2013, 8, 1), "months_since": 5}, "rate", None),
        ({"course_id": "AAA/2013J/1753", "cohort": date(2013, 8, 1), "months_since": 5}, "completed", 119),
    ],
    "completion_curve": [
        # from the registration to the submission of 1753 it took one student 33 days, and the next one 44
        ({"course_id": "AAA/2013J/1753", "day": 0}, "at_risk", 383),
        ({"course_id": "AAA/2013J/1753", "day": 33}, "completed", 1),
        ({"course_id": "AAA/2013J/1753", "day": 33}, "completed_share", 1 / 383),
        ({"course_id": "AAA/2013J/1753", "day": 44}, "at_risk", 382),
        ({"course_id": "AAA/2013J/1753", "day": 44}, "open_share", 381 / 383),
    ],
    "attention": [
        # student 11391 has to submit 1754 within 6 days, and began 270 days ago, on day -159
        ({"enrollment_id": "11391/1754"}, "reasons", "due_soon,never_started"),
        ({"enrollment_id": "11391/1754"}, "days", 6),
        ({"enrollment_id": "11391/1755"}, "reason", "never_started"),
        ({"enrollment_id": "11391/1755"}, "days", 270),
        ({"enrollment_id": "11391/1756"}, "due_day", date(2014, 5, 4)),  # day 215
    ],
}
"""Figures of the module AAA in the second mapping, counted in the CSVs with grep, sort and wc."""


@pytest.fixture(scope="module")
def checked_rows(write_assessments: Write, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    path = write_assessments("AAA", A_DAY, tmp_path_factory.mktemp("checked") / "data.parquet")
    tables = (
        ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION, COHORT_COMPLETION, COMPLETION_CURVE, ATTENTION
    )  # fmt: skip
    rows = compute_tables(tables, enrollments_file(path, A_DAY))
    return {table.name: of_table for table, of_table in zip(tables, rows, strict=True)}


@pytest.mark.parametrize("table", CHECKED)
def test_figures_are_those_that_a_person_counted(table: str, checked_rows: dict[str, list[dict[str, Any]]]) -> None:
    found = []
    for key, column, _ in CHECKED[table]:
        [row] = [row for row in checked_rows[table] if all(row[name] == value for name, value in key.items())]
        found.append((key, column, row[column]))
    assert found == [
        (key, column, pytest.approx(value) if isinstance(value, float) else value)
        for key, column, value in CHECKED[table]
    ]


def test_those_who_need_attention_are_those_that_a_person_counted(
    checked_rows: dict[str, list[dict[str, Any]]],
) -> None:
    reasons = Counter((row["course_id"][-4:], row["reason"], row["days"]) for row in checked_rows["attention"])
    due = {key: count for key, count in reasons.items() if key[1] != "never_started"}
    assert due == {("1752", "overdue", 92): 24, ("1753", "overdue", 57): 42, ("1754", "due_soon", 6): 366}
    assert sum(reasons.values()) - sum(due.values()) == 2 * 383


def test_the_portfolio_has_the_sums_of_the_readme(
    write_presentations: Write, compute_day: Callable[[Write, date], OfDay]
) -> None:
    """At the end of all modules, see the table of final results by module."""
    row = compute_day(write_presentations, DAYS[-1]).portfolio
    assert (row["accounts"], row["n_all"], row["learners"]) == (7, 32_593, 31_284)
    assert (row["status_passed"], row["status_failed"], row["status_withdrawn"]) == (12_361 + 3_024, 7_052, 10_156)
    assert row["completion_rate"] == 15_385 / 32_593


def test_the_trend_has_the_changes_that_a_person_counted(write_assessments: Write, tmp_path: Path) -> None:
    """Submissions of 1752, 1753 and 1754: 359, 337 and 1 by day 83, 359, 340 and 5 by day 104, 359, 341 and 17 by day 111."""
    for day in (date(2013, 12, 23), date(2014, 1, 13), A_DAY):
        file = enrollments_file(write_assessments("AAA", day, tmp_path / "data.parquet"), day)
        publish(DataDir(tmp_path), "AAA", day, *compute_rows(ACCOUNT_COMPLETION, file), table=ACCOUNT_COMPLETION)
    row = lake.read("completion_trend", data_dir=tmp_path).to_pylist()[-1]
    assert (row["snapshot_date"], row["n_completed"]) == (A_DAY, 717)
    assert (row["n_completed_change_7d"], row["n_completed_change_28d"], row["n_all_change_28d"]) == (13, 20, 0)
    assert row["completion_rate_change_28d"] == pytest.approx(20 / 1_915)
