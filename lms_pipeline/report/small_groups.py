"""Which figures of the completion tables may leave the lake: groups under `LMS_MIN_COHORT` learners are withheld.

Belongs here: pure selection of rows, counts and rates, and sums over what is shown. With a limit of 1 everything is shown.
Not here: reading (`reading.py`), and how figures look (`sections/`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lms_pipeline.tables.measures import RATES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION
from lms_pipeline.tables.sums import NOT_ADDED_OVER_COURSES, add_up

Row = Mapping[str, Any]
"""A row of a table by column name."""

COMPLETION_RATE = "completion_rate"
"""The rate that is shown with its counts: its denominator is all enrollments, so that nobody lies outside."""
PEOPLE_RATES = {"learner_completion_rate", "learner_compliance_rate"}
"""Rates whose denominator within a course counts people instead of enrollments."""


def is_shown(learners: int | None, limit: int) -> bool:
    """Return whether a group may be shown: if its number of learners is not known, only without a limit."""
    return limit == 1 or (learners is not None and learners >= limit)


def round_share(share: float) -> float:
    """Return a share in whole percents; 0.005 and 0.995 stand for less than 1% but not 0, and for less than 100%."""
    return min(0.995, max(0.005, round(share * 100) / 100)) if 0 < share < 1 else share


class ShownRate(NamedTuple):
    """A rate that may leave the lake."""

    value: float
    """Between 0 and 1; as `round_share` returns it if its counts are withheld."""
    counted: int | None
    """The numerator; None if it is withheld."""
    of: int | None
    """The denominator; None if it is withheld."""


@dataclass(frozen=True)
class Figures:
    """What may leave the lake of one course, account or portfolio on one day."""

    enrollments: int
    """Size of the set `all`."""
    completed: int
    """Size of the set `completed`."""
    learners: int | None
    """None if it is withheld. Those of a portfolio are added up over its accounts."""
    rates: Mapping[str, ShownRate]
    """By the rate's name. One that is missing is withheld, or is null in the lake."""
    withheld: frozenset[str] = frozenset()
    """Names of the rates that the lake has and that are withheld."""
    counts: Row = field(default_factory=dict)
    """All columns of the row; empty with a limit above 1."""


class Bounds(NamedTuple):
    """At least how many learners a rate's denominator has, and at least how many there are outside of it."""

    inside: int
    outside: int
    is_everybody: bool
    """Whether nobody lies outside."""

    def allow(self, limit: int) -> bool:
        """Return whether both groups are large enough."""
        return self.inside >= limit and (self.is_everybody or self.outside >= limit)


class Group(NamedTuple):
    """A union of shown courses, with counts that must not leave the lake."""

    row: Row
    bounds: Mapping[str, Bounds]
    """By the rate's name."""
    learners: int | None
    """None if the number is withheld."""


@dataclass(frozen=True)
class ShownCourse:
    """A course with at least as many learners as the limit."""

    course_id: str
    title: str | None
    figures: Figures


@dataclass(frozen=True)
class ShownAccount:
    """An account as the sum of its courses that have as many learners as the limit."""

    account_id: str
    figures: Figures
    courses: Sequence[ShownCourse]
    courses_left_out: int
    course_ids: frozenset[str] = frozenset()
    """The ids of its shown courses."""


class SelectedAccount(NamedTuple):
    """An account, and what its figures are made of."""

    shown: ShownAccount
    group: Group
    """Not to be shown: the sum over accounts needs it."""


@dataclass(frozen=True)
class ShownPortfolio:
    """The sum of the shown accounts."""

    figures: Figures | None
    """None if no account is shown."""
    accounts: Sequence[ShownAccount]
    accounts_left_out: int
    reconstructed: frozenset[str] = frozenset()
    """Ids of the shown accounts whose enrollments were derived from a later snapshot."""

    @property
    def account_ids(self) -> frozenset[str]:
        """The ids of the shown accounts."""
        return frozenset(account.account_id for account in self.accounts)


def select_account(account_id: str, row: Row, courses: Iterable[Row], limit: int) -> SelectedAccount | None:
    """Return what may leave the lake of an account and day; None if none of its courses has as many learners as the limit.

    Args:
        account_id: its id.
        row: its row of `account_completion`.
        courses: its rows of `course_completion`.
        limit: `LMS_MIN_COHORT`.
    """
    courses = sorted(courses, key=lambda course: (-course["n_all"], course["course_id"]))
    shown = [course for course in courses if is_shown(course["learners"], limit)]
    if limit > 1 and not shown:
        return None
    left_out = len(courses) - len(shown)
    group = Group(row, {}, row["learners"]) if limit == 1 else _merge_courses(row, shown, left_out, limit)
    selected = [
        ShownCourse(course["course_id"], course["course_title"], build_figures(_make_group(course), limit))
        for course in shown
    ]
    course_ids = frozenset(course.course_id for course in selected)
    # of an account with a course left out it is not known, so that the portfolio would be of the other accounts alone
    is_withheld = limit > 1 and left_out and row[NOT_ADDED_OVER_COURSES] is not None
    figures = build_figures(group, limit, frozenset({NOT_ADDED_OVER_COURSES}) if is_withheld else frozenset())
    shown_account = ShownAccount(account_id, figures, selected, left_out, course_ids)
    return SelectedAccount(shown_account, group)


def select_portfolio(accounts: Iterable[SelectedAccount | None], limit: int) -> ShownPortfolio:
    """Return the sum over accounts: summed numerators over summed denominators, learners added up.

    None stands for an account that is left out. A rate that one of the accounts withholds is withheld.
    """
    accounts = list(accounts)
    selected = [account for account in accounts if account is not None]
    left_out = len(accounts) - len(selected)
    if not selected:
        return ShownPortfolio(None, [], left_out)
    shown, groups = [account.shown for account in selected], [account.group for account in selected]
    learners = [group.learners for group in groups if group.learners is not None]
    total = Group(
        sum_rows([group.row for group in groups]),
        {} if limit == 1 else _merge_bounds([group.bounds for group in groups]),
        sum(learners) if len(learners) == len(groups) else None,
    )
    withheld = frozenset(name for account in shown for name in account.figures.withheld)
    reconstructed = frozenset(one.shown.account_id for one in selected if one.group.row.get("rows_reconstructed"))
    return ShownPortfolio(build_figures(total, limit, withheld), shown, left_out, reconstructed)


def build_figures(group: Group, limit: int, withheld: frozenset[str] = frozenset()) -> Figures:
    """Return what may leave the lake of a group; the rates in `withheld` may not in any case."""
    row = group.row
    known = [rate.name for rate in RATES if row[rate.name] is not None]
    if limit == 1:
        rates = {name: ShownRate(row[name], row[f"{name}_num"], row[f"{name}_den"]) for name in known}
        return Figures(row["n_all"], row["n_completed"], group.learners, rates, counts=row)
    rates = {
        name: ShownRate(round_share(row[name]), None, None)
        for name in known
        if name not in {COMPLETION_RATE, *withheld} and group.bounds[name].allow(limit)
    }
    if COMPLETION_RATE in known:
        rates[COMPLETION_RATE] = ShownRate(row[COMPLETION_RATE], row["n_completed"], row["n_all"])
    return Figures(row["n_all"], row["n_completed"], group.learners, rates, (withheld | set(known)) - rates.keys())


def sum_rows(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the sum of rows: of each count, where a row knows it, and the rates of the sums."""
    return add_up(ACCOUNT_COMPLETION, lambda name: (row.get(name) for row in rows))


def _merge_courses(row: Row, shown: Sequence[Row], left_out: int, limit: int) -> Group:
    """Return an account as the sum of its shown courses."""
    total = sum_rows(shown)
    bounds = _merge_bounds([_make_group(course).bounds for course in shown])
    name = NOT_ADDED_OVER_COURSES
    if left_out:
        return Group(total | {name: None, f"{name}_num": None, f"{name}_den": None}, bounds, None)
    total |= {part: row[part] for part in (name, f"{name}_num", f"{name}_den")}
    inside = row[f"{name}_den"] or 0
    bounds[name] = Bounds(inside, row["learners"] - inside, inside == row["learners"])
    others = {row["learners"] - course["learners"] for course in shown}
    are_hidden = any(0 < other < limit for other in others)
    return Group(total, bounds, None if are_hidden else row["learners"])


def _make_group(course: Row) -> Group:
    return Group(course, {rate.name: _find_bounds(rate.name, course) for rate in RATES}, course["learners"])


def _find_bounds(name: str, course: Row) -> Bounds:
    """Return the bounds of a rate's denominator within a course.

    A learner may have several enrollments in a course. `n_all - learners` of them are not the learner's first, so that a
    set of `size` enrollments has at least `size - (n_all - learners)` learners.
    """
    size = course[f"{name}_den"] or 0
    if name in PEOPLE_RATES:
        others = course["learners"] - size
        return Bounds(size, others, others == 0)
    repeated, others = course["n_all"] - course["learners"], course["n_all"] - size
    return Bounds(max(0, size - repeated), max(0, others - repeated), others == 0)


def _merge_bounds(groups: Sequence[Mapping[str, Bounds]]) -> dict[str, Bounds]:
    """Return the bounds of a union. The learners of one group may be those of another, so the largest bound holds."""
    return {
        name: Bounds(
            max(bounds[name].inside for bounds in groups),
            max(bounds[name].outside for bounds in groups),
            all(bounds[name].is_everybody for bounds in groups),
        )
        for name in groups[0]
    }


class CurvePoint(NamedTuple):
    """What may leave the lake of a completion curve at one day after the beginning. Shares are between 0 and 1."""

    day: int
    at_risk: int | None
    """None if it is withheld."""
    completed: float | None
    completed_low: float | None
    completed_high: float | None
    left: float | None
    left_low: float | None
    left_high: float | None
    open: float | None


def select_curve(rows: Iterable[Row], limit: int, repeated: int = 0) -> list[CurvePoint]:
    """Return what may leave the lake of the rows of one curve, by day.

    With a limit above 1: the shares in whole percents, without counts, up to the last day with so many learners at risk.
    The rows count enrollments: of `size` at risk at least `size - repeated` are of different learners.

    Args:
        rows: the rows of the curve.
        limit: `LMS_MIN_COHORT`.
        repeated: enrollments in the curve's scope that are not the first one of their learner.
    """
    points = []
    for row in sorted(rows, key=lambda row: row["day"]):
        if not is_shown(row["at_risk"] - repeated, limit):
            break
        shares = [row[name] for name in _CURVE_SHARES]
        if limit > 1:
            shares = [None if share is None else round_share(share) for share in shares]
        points.append(CurvePoint(row["day"], row["at_risk"] if limit == 1 else None, *shares))
    return points


_CURVE_SHARES = (
    *("completed_share", "completed_share_low", "completed_share_high"),
    *("left_share", "left_share_low", "left_share_high", "open_share"),
)


class ReasonCount(NamedTuple):
    """How many open enrollments need attention for one reason."""

    reason: str
    enrollments: int
    learners: int | None
    """None if it is withheld."""


def select_reasons(counts: Iterable[ReasonCount], limit: int) -> list[ReasonCount]:
    """Return the reasons with at least as many learners as the limit, with their counts rounded to multiples of it.

    The exact number of those who did not complete is shown beside them, so that the exact counts would give away how many
    are left: a rounded one leaves a range as wide as the limit.
    """
    if limit == 1:
        return list(counts)
    return [
        ReasonCount(count.reason, (2 * count.enrollments + limit) // (2 * limit) * limit, None)
        for count in counts
        if is_shown(count.learners, limit)
    ]
