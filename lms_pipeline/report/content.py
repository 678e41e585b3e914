"""The content of the report: everything that is shown, after small groups are withheld.

Belongs here: putting together what `reading.py` reads and `small_groups.py` lets through. Not here: sections, charts and
words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from lms_pipeline.accounts.registry import load_display_names
from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.report import reading
from lms_pipeline.report.completion import shorten
from lms_pipeline.report.small_groups import (
    CurvePoint,
    Figures,
    ReasonCount,
    Row,
    ShownAccount,
    ShownPortfolio,
    select_account,
    select_curve,
    select_portfolio,
    select_reasons,
)
from lms_pipeline.report.trend import TrendPoint
from lms_pipeline.settings import Settings

MAX_TEXT_LENGTH = 90
"""Characters of a title or name."""
MAX_CURVES = 6
"""Accounts with a curve; of one account the courses with a curve of their own. The largest."""


@dataclass(frozen=True)
class Curve:
    """The completion curve of an account or a course."""

    name: str
    rows: Sequence[Row]
    """Its rows in the lake; not to be shown."""
    points: Sequence[CurvePoint]
    left_out: int | None
    """Enrollments without a usable beginning; None if it is withheld."""


@dataclass(frozen=True)
class AccountContent:
    """What is shown of one account."""

    name: str
    shown: ShownAccount
    counts: Row
    """Its row of `account_completion`; empty with a limit above 1."""
    quality: reading.Quality
    oldest_fetched_at: datetime | None
    cohorts: Sequence[Row]
    """Rows of the scope `account`; empty with a limit above 1."""
    curve: Curve
    course_curves: Sequence[Curve]
    reasons: Sequence[ReasonCount]
    course_reasons: Mapping[str, Sequence[ReasonCount]]
    """By course id; empty with a limit above 1."""
    names: Sequence[Row]
    """Enrollments that need someone, by name."""


@dataclass(frozen=True)
class ReportContent:
    """What is shown of one day of an account, or of all accounts."""

    title: str
    account_id: str | None
    """None for all accounts."""
    has_names: bool
    day: date
    generated_at: datetime
    limit: int
    figures: Figures | None
    accounts: Sequence[AccountContent]
    accounts_left_out: int
    accounts_missing: int | None
    points: Sequence[TrendPoint]

    @property
    def is_portfolio(self) -> bool:
        """Whether it is about all accounts."""
        return self.account_id is None

    @property
    def courses_left_out(self) -> int:
        """Courses of the shown accounts with fewer learners than the limit."""
        return sum(account.shown.courses_left_out for account in self.accounts)


def build_content(
    settings: Settings, day: date | None = None, account_id: str | None = None, *, with_names: bool = False
) -> ReportContent:
    """Read and select what the report of a day shows: of one account, or of all accounts together.

    Args:
        settings: the data directory, the limit of small groups, the time zone and the present.
        day: the day; None for the latest one.
        account_id: the account; None for all.
        with_names: whether those who need attention are listed by name.

    Raises:
        NothingToReportError: nothing was computed for the day.
        WrongUseError: names are requested although small groups are withheld.
        LakeError: a file is damaged, or was written by a newer version of this package.
    """
    data, limit = DataDir(settings.data_dir), settings.min_cohort
    if with_names and limit > 1:
        raise WrongUseError(
            f"Names can't be in the report: LMS_MIN_COHORT is {limit}, which withholds groups under {limit} learners; "
            "leave --with-names out, or set LMS_MIN_COHORT=1."
        )
    day = reading.find_report_day(data, day, account_id)
    days = {one.account_id: one for one in reading.read_day(data, day, account_id)}
    portfolio = select_portfolio(
        [select_account(one.account_id, one.row, one.courses, limit) for one in days.values()], limit
    )
    names = load_display_names(settings)
    accounts = _build_accounts(data, day, days, portfolio, names)
    if limit > 1:
        accounts = [_withhold(account, limit) for account in accounts]
    if with_names:
        accounts = [_add_names(data, account, day) for account in accounts]
    return ReportContent(
        title=clean(names.get(account_id, account_id)) if account_id else "All accounts",
        account_id=account_id,
        has_names=with_names,
        day=day,
        generated_at=settings.now().astimezone(settings.calendar.zone),
        limit=limit,
        figures=portfolio.figures,
        accounts=accounts,
        accounts_left_out=portfolio.accounts_left_out,
        accounts_missing=reading.read_accounts_missing(data, day) if account_id is None else None,
        points=_build_points(data, day, portfolio, account_id, limit),
    )


def _build_accounts(
    data: DataDir,
    day: date,
    days: Mapping[str, reading.AccountDay],
    portfolio: ShownPortfolio,
    names: Mapping[str, str],
) -> list[AccountContent]:
    """Return the shown accounts, the largest first, with the curves of the first ones; small groups are not withheld yet."""
    accounts = [
        _build_account(data, days[shown.account_id], shown, day, clean(names.get(shown.account_id, shown.account_id)))
        for shown in sorted(portfolio.accounts, key=lambda shown: (-shown.figures.enrollments, shown.account_id))
    ]
    has_courses = len(accounts) == 1
    charted = [_add_curves(data, account, day, has_courses=has_courses) for account in accounts[:MAX_CURVES]]
    return [*charted, *accounts[MAX_CURVES:]]


def _build_points(
    data: DataDir, day: date, portfolio: ShownPortfolio, account_id: str | None, limit: int
) -> list[TrendPoint]:
    if portfolio.figures is None:
        return []
    shown = frozenset(account.account_id for account in portfolio.accounts)
    is_reconstructed = any(account.group.row["rows_reconstructed"] for account in portfolio.accounts)
    return reading.read_trend(data, TrendPoint(day, portfolio.figures, shown, is_reconstructed), account_id, limit)


def _build_account(
    data: DataDir, rows: reading.AccountDay, shown: ShownAccount, day: date, name: str
) -> AccountContent:
    """Return everything of an account; small groups of the shown courses are not withheld yet."""
    total, by_course_reason = reading.read_attention(
        data, Partition(shown.account_id, day), [course.course_id for course in shown.courses]
    )
    return AccountContent(
        name=name,
        shown=shown,
        counts=rows.row,
        quality=rows.quality,
        oldest_fetched_at=rows.row["oldest_fetched_at"],
        cohorts=rows.cohorts,
        curve=_build_curve(name, ()),
        course_curves=(),
        reasons=total,
        course_reasons=by_course_reason,
        names=(),
    )


def _add_curves(data: DataDir, account: AccountContent, day: date, *, has_courses: bool) -> AccountContent:
    """Return the account with its curve, and those of its largest courses."""
    shown = account.shown
    courses = shown.courses[:MAX_CURVES] if has_courses else ()
    rows = reading.read_curves(data, Partition(shown.account_id, day), [course.course_id for course in courses])
    curves = [
        _build_curve(clean(course.title or course.course_id), rows[course.course_id])
        for course in courses
        if course.course_id in rows
    ]
    return replace(account, curve=_build_curve(account.name, rows.get(None, ())), course_curves=curves)


def _build_curve(name: str, rows: Sequence[Row]) -> Curve:
    return Curve(name, rows, select_curve(rows, 1), rows[0]["left_out"] if rows else None)


def _withhold(account: AccountContent, limit: int) -> AccountContent:
    """Return what may be shown of an account with small groups withheld: no cohorts, no curves of courses, no other counts."""
    curve = account.curve
    return replace(
        account,
        counts={},
        cohorts=(),
        curve=replace(curve, rows=(), points=select_curve(curve.rows, limit), left_out=None),
        course_curves=(),
        reasons=select_reasons(account.reasons, limit),
        course_reasons={},
    )


def _add_names(data: DataDir, account: AccountContent, day: date) -> AccountContent:
    return replace(account, names=reading.read_attention_names(data, Partition(account.shown.account_id, day)))


def clean(text: str) -> str:
    """Return a text of an LMS on one line, without control characters and marks of direction, cut to `MAX_TEXT_LENGTH`."""
    return shorten(text, MAX_TEXT_LENGTH)
