"""Cohorts and completion curves by their definitions, with numpy, over the states of enrollments.

Belongs here: how an enrollment ends, the estimates of the curve and their bands. Not here: where the states come from
(`oulad_states.py` and the tests), and the libraries that the estimates are compared with (`curve_references.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from lms_pipeline_tests.support.oulad_states import to_day

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray

Z = 1.959963984540054
"""Of the 95% band."""
MAX_MONTHS = 24
CENSORED, COMPLETED, LEFT = 0, 1, 2
NOT_LEFT = {"completed", "passed", "assigned", "enrolled", "in_progress", "overdue", "unknown"}


class Ends(NamedTuple):
    """How the enrollments of a course or account end."""

    time: NDArray[np.int64]
    """In whole days from the beginning."""
    kind: NDArray[np.int64]
    undated: int
    left_out: int


class Cohort(NamedTuple):
    """The key of the table `cohort_completion`."""

    course_id: str | None
    cohort: date
    months_since: int


class CurveRow(NamedTuple):
    """The columns of the table `completion_curve` on one day after the beginning."""

    at_risk: int
    completed: int
    left: int
    censored: int
    open_share: float
    open_share_low: float | None
    open_share_high: float | None
    completed_share: float
    completed_share_low: float | None
    completed_share_high: float | None
    left_share: float
    left_share_low: float | None
    left_share_high: float | None


class Shares(NamedTuple):
    """One share on each day, its variance, and where it is exactly 0 or 1."""

    share: NDArray[np.float64]
    variance: NDArray[np.float64]
    is_certain: NDArray[np.bool_]


class Curve(NamedTuple):
    """The estimates on each day with an end, of those still open too."""

    day: NDArray[np.int64]
    at_risk: NDArray[np.int64]
    completed: NDArray[np.int64]
    left: NDArray[np.int64]
    censored: NDArray[np.int64]
    open: Shares
    completed_share: Shares
    left_share: Shares


def find_ends(states: pd.DataFrame, today: int) -> Ends:
    """Return how these enrollments end, as of the end of `today`."""
    ever = _find_ever_completed(states)
    left_out = _is_left_out(states, ever)
    states, ever = states[~left_out], ever[~left_out]
    left = ~ever & ~states["status"].isin(NOT_LEFT)
    dated = states[["completed", "activity", "updated"]].bfill(axis=1).iloc[:, 0]
    end = states["completed"].where(ever, dated.where(left).fillna(today))
    time = (end - states["began"]).clip(lower=0)
    kind = np.select([ever, left], [COMPLETED, LEFT], CENSORED)
    return Ends(
        time.to_numpy(dtype=np.int64), kind.astype(np.int64), int((left & dated.isna()).sum()), int(left_out.sum())
    )


def _is_left_out(states: pd.DataFrame, ever: pd.Series[bool]) -> pd.Series[bool]:
    no_duration = ever & ~(states["completed"] >= states["began"])
    return states["began"].isna() | no_duration


def estimate(ends: Ends) -> Curve:
    """Return the estimates on each day on which somebody completes, leaves or is last seen."""
    t = np.unique(ends.time)

    def count(kind: int) -> NDArray[np.int64]:
        return np.array([np.sum((ends.time == day) & (ends.kind == kind)) for day in t], dtype=np.int64)

    n = np.array([np.sum(ends.time >= day) for day in t], dtype=np.int64)
    c, left = count(COMPLETED), count(LEFT)
    d = c + left
    s = np.cumprod(1 - d / n).astype(np.float64)
    before = np.concatenate([[1.0], s])[:-1]
    terms = np.divide(d, n * (n - d), out=np.zeros(len(t)), where=n > d)
    is_over = s == 0

    def estimate_kind(of: NDArray[np.int64], other: NDArray[np.int64]) -> Shares:
        f = np.cumsum(before * of / n).astype(np.float64)
        gap = np.tril(f[:, None] - f[None, :])  # F(t) - F(s) of each day s up to t
        variance = gap**2 @ terms + np.cumsum(before**2 * of * (n - of) / n**3) - 2 * gap @ (before * of / n**2)
        everybody = is_over & (np.cumsum(other) == 0)
        return Shares(f, variance, (np.cumsum(of) == 0) | everybody)

    opens = Shares(s, s**2 * np.cumsum(terms), is_over | (np.cumsum(d) == 0))
    return Curve(t, n, c, left, count(CENSORED), opens, estimate_kind(c, left), estimate_kind(left, c))


def compute_band(shares: Shares) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the 95% band; NaN where the share is 0 or 1."""
    x = np.where(shares.is_certain, np.nan, shares.share)
    half = Z * np.sqrt(np.maximum(shares.variance, 0)) / (x * np.abs(np.log(x)))
    loglog = np.log(-np.log(x))
    return np.exp(-np.exp(loglog + half)), np.exp(-np.exp(loglog - half))


def compute_curve(ends: Ends) -> dict[int, CurveRow]:
    """Return the rows of the table by day: 0, each day on which somebody completes or leaves, and the last one."""
    if not len(ends.time):
        return {}
    curve = estimate(ends)
    days = sorted({0, *curve.day[(curve.completed + curve.left) > 0].tolist(), int(curve.day[-1])})
    shares = (curve.open, curve.completed_share, curve.left_share)
    bands = [compute_band(share) for share in shares]
    rows = {}
    for day in days:
        place = int(np.searchsorted(curve.day, day, side="right")) - 1
        is_here = place >= 0 and curve.day[place] == day
        at_risk = int(np.sum(ends.time >= day))
        values: list[tuple[float, float | None, float | None]] = [(1.0, None, None), *[(0.0, None, None)] * 2]
        if place >= 0:
            values = [
                (float(share.share[place]), _to_null(low[place]), _to_null(high[place]))
                for share, (low, high) in zip(shares, bands, strict=True)
            ]
        counts = [int(of[place]) if is_here else 0 for of in (curve.completed, curve.left, curve.censored)]
        rows[day] = CurveRow(at_risk, counts[0], counts[1], counts[2], *values[0], *values[1], *values[2])
    return rows


def _to_null(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def compute_cohorts(states: pd.DataFrame, today: int) -> dict[Cohort, tuple[int, int, float | None]]:
    """Return enrolled, completed and rate of each cohort and month since, of each course and of all of them together."""
    ever = _find_ever_completed(states)
    keep = ~_is_left_out(states, ever)
    cohort = _to_months(states["began"][keep])
    since = _to_months(states["completed"].where(ever)[keep]) - cohort
    rows: dict[Cohort, tuple[int, int, float | None]] = {}
    for courses in (states["course"][keep], states["course"][keep].map(lambda _: "")):
        enrolled: dict[Any, int] = cohort.groupby([courses, cohort]).size().to_dict()
        done: dict[Any, int] = since.groupby([courses, cohort, since]).size().to_dict()
        for (course, month), size in enrolled.items():
            counts = [done.get((course, month, after), 0) for after in range(_to_month(today) - int(month) + 1)]
            for after, so_far in enumerate(np.cumsum(counts[: MAX_MONTHS + 1]).tolist()):
                is_whole = month + after < _to_month(today + 1)
                rate = so_far / size if is_whole else None
                rows[Cohort(course or None, to_first_day(int(month)), after)] = size, so_far, rate
    return rows


def _find_ever_completed(states: pd.DataFrame) -> pd.Series[bool]:
    status = states["status"]
    return status.isin(["completed", "passed"]) | (states["completed"].notna() & (status != "failed"))


def _to_months(days: pd.Series[float]) -> pd.Series[float]:
    """Return the months of days, counted from 1970; NaN stays."""
    months = days.dropna().to_numpy().astype("datetime64[D]").astype("datetime64[M]").astype(float)
    return pd.Series(months, days.dropna().index, dtype=float).reindex(days.index)


def _to_month(day: int) -> int:
    return int(np.datetime64(day, "D").astype("datetime64[M]").astype(int))


def to_first_day(month: int) -> date:
    """Return the first day of a month that is counted from 1970."""
    return to_day(0).replace(year=1970 + month // 12, month=month % 12 + 1)
