"""Completion curves against lifelines and statsmodels: real enrollments, and generated ones with ties and extremes."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lms_pipeline.tables.over_time import COMPLETION_CURVE
from lms_pipeline_tests.support.curve_references import Survival, fit_incidence, fit_kaplan_meier, needs_lifelines
from lms_pipeline_tests.support.enrollment_files import DAY, compute_rows, enrollments_file, write
from lms_pipeline_tests.support.expected_curves import CENSORED, COMPLETED, LEFT, Ends, find_ends
from lms_pipeline_tests.support.oulad_records import OULAD
from lms_pipeline_tests.support.oulad_states import build_presentations, to_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from lms_pipeline_tests.support.oulad_files import Write

    Rows = Mapping[str, NDArray[np.float64]]
    """A curve by column; null is NaN."""

STATUS = {CENSORED: "in_progress", COMPLETED: "completed", LEFT: "withdrawn"}
HAND_MADE = {
    "one learner who completed": [(5, COMPLETED)],
    "one learner who left on day 0": [(0, LEFT)],
    "one learner who is open": [(5, CENSORED)],
    "everybody completed, on one day": [(3, COMPLETED)] * 7,
    "everybody completed, on day 0": [(0, COMPLETED)] * 4,
    "everybody completed, on five days": [(day, COMPLETED) for day in range(5)],
    # in floating point their shares sum to a little less than 1
    "everybody completed, on three days": [(day, COMPLETED) for day in (1, 1, 1, 2, 2, 3, 3)],
    "everybody left, on three days": [(day, LEFT) for day in (1, 1, 1, 2, 2, 3, 3)],
    "everybody left": [(1, LEFT), (1, LEFT), (4, LEFT)],
    "nobody ended": [(2, CENSORED), (0, CENSORED), (9, CENSORED)],
    "all kinds on one day": [(6, COMPLETED), (6, LEFT), (6, CENSORED)],
    "all kinds on day 0": [(0, COMPLETED), (0, LEFT), (0, CENSORED), (8, CENSORED)],
    "the last ones end together": [(1, CENSORED), (2, COMPLETED), (9, COMPLETED), (9, LEFT)],
    "open after the last end": [(1, COMPLETED), (2, LEFT), (30, CENSORED)],
}
"""Each enrollment as the days until its end, and how it ends."""
SIZES_AND_DAYS = ((12, 3), (60, 12), (400, 30), (2_000, 400))


def generate() -> dict[str, list[tuple[int, int]]]:
    chance = np.random.default_rng(5)
    return {
        f"{size} enrollments over {days} days": [
            (int(day), int(kind))
            for day, kind in zip(chance.integers(0, days, size), chance.choice(3, size, p=(0.3, 0.5, 0.2)), strict=True)
        ]
        for size, days in SIZES_AND_DAYS
    }


CASES = HAND_MADE | generate()
PEOPLE = [pair for pairs in CASES.values() for pair in pairs]


def build_row(case: str, position: int, day: int, kind: int) -> dict[str, Any]:
    """Return an enrollment that ends so many days after it began; one that is open began so many days ago."""
    slack = 0 if kind == CENSORED else position % 4
    began = datetime.combine(DAY - timedelta(days=day + slack), time(9), UTC)
    end = began + timedelta(days=day, minutes=5)
    ends: dict[int, dict[str, datetime]] = {CENSORED: {}, COMPLETED: {"completed_at": end}, LEFT: {"updated_at": end}}
    return {
        "user_id": f"u{position}", "course_id": case, "status": STATUS[kind], "enrolled_at": began, **ends[kind]
    }  # fmt: skip


def to_ends(pairs: list[tuple[int, int]]) -> Ends:
    return Ends(np.array([day for day, _ in pairs]), np.array([kind for _, kind in pairs]), 0, 0)


def by_scope(rows: list[dict[str, Any]]) -> dict[str | None, Rows]:
    """Return the curve of each course, and that of the account under None."""
    scopes: dict[str | None, list[dict[str, Any]]] = {}
    for row in rows:
        scopes.setdefault(row["course_id"], []).append(row)
    names = [column.name for column in COMPLETION_CURVE.columns if column.type in {"int64", "double"}]
    return {
        scope: {name: np.array([row[name] for row in of_scope], dtype=float) for name in names}
        for scope, of_scope in scopes.items()
    }


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> dict[str | None, tuple[Rows, Ends]]:
    rows = [
        build_row(case, position, day, kind)
        for case, pairs in CASES.items()
        for position, (day, kind) in enumerate(pairs)
    ]
    path = write(tmp_path_factory.mktemp("curves") / "data.parquet", rows)
    curves = by_scope(compute_rows(COMPLETION_CURVE, enrollments_file(path)))
    ends = {None: to_ends(PEOPLE)} | {case: to_ends(pairs) for case, pairs in CASES.items()}
    assert curves.keys() == ends.keys()
    return {scope: (curve, ends[scope]) for scope, curve in curves.items()}


@pytest.fixture(scope="module")
def real(write_presentations: Write, tmp_path_factory: pytest.TempPathFactory) -> dict[str | None, tuple[Rows, Ends]]:
    """Return the curves of all modules as one account on a day on which many are open, and of the module FFF at the end."""
    found: dict[str | None, tuple[Rows, Ends]] = {}
    path = tmp_path_factory.mktemp("modules") / "data.parquet"
    for day, module in ((date(2014, 11, 20), ""), (date(2015, 6, 27), "FFF")):
        states = build_presentations(OULAD, day)
        states = states[states["account"].str.startswith(module)]
        of_courses = dict(list(states.groupby("course")))
        file = enrollments_file(write_presentations(module, day, path), day)
        for course, curve in by_scope(compute_rows(COMPLETION_CURVE, file)).items():
            ends = find_ends(states if course is None else of_courses[course], to_number(day))
            found[f"{course or module} on {day}"] = curve, ends
    return found


@pytest.fixture(scope="module")
def survivals(
    generated: dict[str | None, tuple[Rows, Ends]], request: pytest.FixtureRequest
) -> dict[str | None, Survival]:
    """Return lifelines' estimates of all curves: importing it takes longer than they do."""
    both = generated | (request.getfixturevalue("real") if OULAD.is_dir() else {})
    return dict(zip(both, fit_kaplan_meier([ends for _, ends in both.values()]), strict=True))


@pytest.fixture(params=["generated", "real"])
def curves(request: pytest.FixtureRequest) -> dict[str | None, tuple[Rows, Ends]]:
    found: dict[str | None, tuple[Rows, Ends]] = request.getfixturevalue(request.param)
    return found


def read_at(days: NDArray[np.float64], values: NDArray[np.float64], rows: Rows) -> NDArray[np.float64]:
    """Return a reference's values on the days of a curve: a step function is as on the last day before."""
    places = np.searchsorted(days, rows["day"], side="right") - 1
    return np.where(places >= 0, values[places], np.nan)


@needs_lifelines
def test_the_open_share_and_its_band_are_those_of_lifelines(
    curves: dict[str | None, tuple[Rows, Ends]], survivals: dict[str | None, Survival]
) -> None:
    for scope, (rows, _) in curves.items():
        reference = survivals[scope]
        share = read_at(reference.day, reference.share, rows)
        np.testing.assert_allclose(rows["open_share"], share, rtol=0, atol=1e-9, err_msg=str(scope))
        is_between = (rows["open_share"] > 0) & (rows["open_share"] < 1)
        for name, values in (("low", reference.low), ("high", reference.high)):
            found = rows[f"open_share_{name}"]
            band = read_at(reference.day, values, rows)
            np.testing.assert_allclose(found[is_between], band[is_between], rtol=0, atol=1e-9, err_msg=str(scope))
            assert np.isnan(found[~is_between]).all(), scope


def test_the_other_shares_and_their_variances_are_those_of_statsmodels(
    curves: dict[str | None, tuple[Rows, Ends]],
) -> None:
    for scope, (rows, ends) in curves.items():
        reference = fit_incidence(ends)
        for place, name in enumerate(("completed_share", "left_share")):
            share = np.nan_to_num(read_at(reference.day, reference.share[place], rows))
            np.testing.assert_allclose(rows[name], share, rtol=0, atol=1e-9, err_msg=str(scope))
            error = read_at(reference.day, reference.error[place], rows)
            check_band(rows, name, error, scope)


def check_band(rows: Rows, name: str, error: NDArray[np.float64], scope: str | None) -> None:
    """Check both ends of a band. Where nobody is open any more, and was before, statsmodels has no variance."""
    share, low, high = (rows[f"{name}{suffix}"] for suffix in ("", "_low", "_high"))
    has_band = ~np.isnan(low) & ~np.isnan(error)
    x, half = share[has_band], 1.959963984540054 * error[has_band]
    for sign, found in ((1, low), (-1, high)):
        expected = np.exp(-np.exp(np.log(-np.log(x)) + sign * half / (x * np.abs(np.log(x)))))
        np.testing.assert_allclose(found[has_band], expected, rtol=0, atol=1e-9, err_msg=str(scope))
    is_certain = (share < 1e-12) | (share > 1 - 1e-12)
    assert (np.isnan(low) == is_certain).all(), scope
    assert (np.isnan(high) == is_certain).all(), scope


def test_with_nobody_open_the_variance_is_that_of_a_share(curves: dict[str | None, tuple[Rows, Ends]]) -> None:
    checked = 0
    for scope, (rows, ends) in curves.items():
        if (ends.kind == CENSORED).any():
            continue
        for kind, name in ((COMPLETED, "completed_share"), (LEFT, "left_share")):
            share = float(np.mean(ends.kind == kind))
            assert rows[name][-1] == pytest.approx(share, abs=1e-12), scope
            last = {key: values[-1:] for key, values in rows.items()}
            check_band(last, name, np.array([np.sqrt(share * (1 - share) / len(ends.kind))]), scope)
            checked += 1
    assert checked >= 4


def test_47_percent_of_the_module_fff_complete(real: dict[str | None, tuple[Rows, Ends]]) -> None:
    """3,648 of 7,751: eleven have no registration date. With those who left as censored it were all of them."""
    rows, ends = real["FFF on 2015-06-27"]
    assert (rows["at_risk"][0], ends.left_out) == (7_751, 11)
    assert rows["completed_share"][-1] == pytest.approx(3_648 / 7_751, abs=1e-12)


def test_a_curve_has_a_row_for_each_day_with_an_end(curves: dict[str | None, tuple[Rows, Ends]]) -> None:
    for scope, (rows, ends) in curves.items():
        days = {0, *ends.time[ends.kind != CENSORED].tolist(), int(ends.time.max())}
        assert rows["day"].tolist() == sorted(days), scope
        for kind, name in ((CENSORED, "censored"), (COMPLETED, "completed"), (LEFT, "left")):
            on_day = [int(np.sum((ends.time == day) & (ends.kind == kind))) for day in rows["day"]]
            assert rows[name].tolist() == on_day, (scope, name)
        assert rows["at_risk"].tolist() == [int(np.sum(ends.time >= day)) for day in rows["day"]], scope


def test_an_account_without_enrollments_has_no_curve(tmp_path: Path) -> None:
    assert compute_rows(COMPLETION_CURVE, enrollments_file(write(tmp_path / "data.parquet", []))) == []
