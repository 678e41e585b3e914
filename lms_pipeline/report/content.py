"""The content of the report: everything that is shown, after small groups are withheld.

Belongs here: putting together what `reading.py` and `details.py` read and `small_groups.py` lets through. Not here:
sections, charts and words.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import NamedTuple

from lms_pipeline.accounts.names import load_display_names
from lms_pipeline.accounts.registry import RegisteredAccount, Registry
from lms_pipeline.errors import LakeError, WrongUseError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.metrics.portfolio import find_missing
from lms_pipeline.report import reading
from lms_pipeline.report.completion import shorten
from lms_pipeline.report.details import Found, read_attention_courses, read_attention_names, read_cohorts, read_reasons
from lms_pipeline.report.largest_courses import CourseCollector, Courses
from lms_pipeline.report.small_groups import (
    CurvePoint,
    Figures,
    ReasonCount,
    Row,
    SelectedAccount,
    ShownAccount,
    ShownPortfolio,
    select_curve,
    select_portfolio,
    select_reasons,
)
from lms_pipeline.report.trend import TrendPoint, build_point
from lms_pipeline.settings import Settings

log = logging.getLogger(__name__)

MAX_TEXT_LENGTH = 90
"""Characters of a title or name."""
MAX_CURVES = 6
"""Accounts with a curve; of one account the courses with a curve of their own. The largest."""


@dataclass(frozen=True)
class Curve:
    """The completion curve of an account or a course."""

    name: str
    points: Sequence[CurvePoint]
    left_out: int | None
    """Enrollments without a usable beginning; None if it is withheld."""


@dataclass(frozen=True)
class AccountContent:
    """What is shown of one account."""

    name: str
    shown: ShownAccount
    """Without its courses, which are in `ReportContent.courses`."""
    quality: reading.Quality
    oldest_fetched_at: datetime | None
    curve: Curve
    reasons: Sequence[ReasonCount]


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
    accounts_missing: Sequence[str]
    """Names of the accounts that should have the day and lack it, with their status; empty in a report of one account."""
    accounts_damaged: Sequence[str]
    """Names of the accounts with a file that can't be read; they are left out."""
    courses: Courses
    points: Sequence[TrendPoint]
    cohorts: Sequence[Row] = ()
    """The sums over accounts, see `cohorts.sql`; empty with a limit above 1."""
    course_curves: Sequence[Curve] = ()
    """Of the largest courses, if the report has one account; empty with a limit above 1."""
    attention_courses: Found = field(default_factory=Found)
    """The courses where most need attention, see `attention_courses.sql`; empty with a limit above 1."""
    attention_names: Found = field(default_factory=Found)
    """Enrollments that need attention, by name, see `attention_names.sql`; empty unless requested."""

    @property
    def is_portfolio(self) -> bool:
        """Whether it is about all accounts."""
        return self.account_id is None

    @property
    def courses_left_out(self) -> int:
        """Courses of the shown accounts with fewer learners than the limit."""
        return sum(account.shown.courses_left_out for account in self.accounts)

    @property
    def account_names(self) -> Mapping[str, str]:
        """The names of the shown accounts by id."""
        return {account.shown.account_id: account.name for account in self.accounts}


class _Basis(NamedTuple):
    """What else the content of an account needs of its row."""

    quality: reading.Quality
    oldest_fetched_at: datetime | None
    repeated: int | None
    """Enrollments that are not the first one of their learner; None if that is not known."""


@dataclass(frozen=True)
class _Day:
    """What is read of all accounts, one at a time."""

    portfolio: ShownPortfolio
    courses: Courses
    rows: Mapping[str, _Basis]
    """By the id of each shown account."""
    account_ids: Sequence[str]
    """All accounts that have the day."""
    damaged: Sequence[str]
    """The ids of those with a file that can't be read."""


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
    data, limit = DataDir.open(settings), settings.min_cohort
    if with_names and limit > 1:
        raise WrongUseError(
            f"Names can't be in the report: LMS_MIN_COHORT is {limit}, which withholds groups under {limit} learners; "
            "leave --with-names out, or set LMS_MIN_COHORT=1."
        )
    day = reading.find_report_day(data, day, account_id)
    found = _read_day(data, day, account_id, limit)
    names, registered = load_display_names(settings), Registry.open(settings).read_accounts()
    last = build_point(day, found.portfolio, limit)
    content = ReportContent(
        title=_name_account(names, account_id) if account_id else "All accounts",
        account_id=account_id,
        has_names=with_names,
        day=day,
        generated_at=settings.now().astimezone(settings.calendar.zone),
        limit=limit,
        figures=found.portfolio.figures,
        accounts=_build_accounts(data, day, found, names, limit),
        accounts_left_out=found.portfolio.accounts_left_out,
        accounts_missing=() if account_id else _list_missing(registered, names, day, found.account_ids),
        accounts_damaged=[_name_account(names, one) for one in found.damaged],
        courses=found.courses,
        points=reading.read_trend(data, last, account_id, limit, registered) if last is not None else [],
    )
    return content if limit > 1 else _add_details(data, content)


def _read_day(data: DataDir, day: date, account_id: str | None, limit: int) -> _Day:
    """Read the accounts one at a time, and keep the largest courses: those of a fleet do not fit into memory.

    Raises:
        LakeError: the files of all accounts are damaged.
        StoreError: the store can't be used. No account is left out for that.
    """
    collector, damaged, errors = CourseCollector(), [], []
    selected: list[SelectedAccount | None] = []
    basis: dict[str, _Basis] = {}
    account_ids = reading.list_accounts(data, day, account_id)
    partitions = [Partition(one, day) for one in account_ids]
    reading.fetch_day(data, partitions)
    for partition, quality in zip(partitions, reading.read_qualities(data, partitions), strict=True):
        try:
            account, of_account = _read_account(data, partition, limit, quality)
        except LakeError as error:
            log.warning("%s is left out of the report: %s", partition, error)
            damaged.append(partition.account_id)
            errors.append(error)
            continue
        if account is not None:
            collector.add(account.shown)
            basis[partition.account_id] = of_account
            account = account._replace(shown=replace(account.shown, courses=()))
        selected.append(account)
    if errors and not selected:
        raise errors[0]
    return _Day(select_portfolio(selected, limit), collector.build(), basis, account_ids, damaged)


def _read_account(
    data: DataDir, partition: Partition, limit: int, quality: reading.Quality | LakeError
) -> tuple[SelectedAccount | None, _Basis]:
    with reading.convert_damage(partition):
        reading.check_details(data, partition)
        row, account = reading.read_account(data, partition, limit)
        repeated = None if row["learners"] is None else row["n_all"] - row["learners"]
        if isinstance(quality, LakeError):
            raise quality
        return account, _Basis(quality, row["oldest_fetched_at"], repeated)


def _build_accounts(
    data: DataDir, day: date, found: _Day, names: Mapping[str, str], limit: int
) -> list[AccountContent]:
    """Return the shown accounts, the largest first, with the curves of the first ones."""
    reasons = read_reasons(data, {one.account_id: one.course_ids for one in found.portfolio.accounts}, day)
    accounts: list[AccountContent] = []
    for shown in sorted(found.portfolio.accounts, key=lambda shown: (-shown.figures.enrollments, shown.account_id)):
        name, partition = _name_account(names, shown.account_id), Partition(shown.account_id, day)
        basis, repeated = found.rows[shown.account_id], _find_repeated(found, shown, limit)
        has_curve = len(accounts) < MAX_CURVES and repeated is not None
        rows = reading.read_curves(data, partition, ()).get(None, ()) if has_curve else ()
        accounts.append(
            AccountContent(
                name=name,
                shown=shown,
                quality=basis.quality,
                oldest_fetched_at=basis.oldest_fetched_at,
                curve=_build_curve(name, rows, limit, repeated or 0),
                reasons=select_reasons(reasons.get(shown.account_id, ()), limit),
            )
        )
    return accounts


def _find_repeated(found: _Day, shown: ShownAccount, limit: int) -> int | None:
    """Return the repeated enrollments in the account's curve, None if it is withheld: it covers courses left out too."""
    if limit == 1:
        return 0
    return None if shown.courses_left_out else found.rows[shown.account_id].repeated


def _add_details(data: DataDir, content: ReportContent) -> ReportContent:
    """Return the content with what is shown only if no group is withheld: cohorts, curves and attention by course, names."""
    ids = list(content.account_names)
    return replace(
        content,
        cohorts=read_cohorts(data, ids, content.day),
        course_curves=_build_course_curves(data, ids[0], content) if len(ids) == 1 else (),
        attention_courses=read_attention_courses(data, ids, content.day),
        attention_names=read_attention_names(data, ids, content.day) if content.has_names else Found(),
    )


def _build_course_curves(data: DataDir, account_id: str, content: ReportContent) -> list[Curve]:
    courses = [kept.course for kept in content.courses.largest[:MAX_CURVES]]
    rows = reading.read_curves(data, Partition(account_id, content.day), [course.course_id for course in courses])
    names = name_courses([(account_id, course.course_id, course.title) for course in courses])
    return [
        _build_curve(name, rows[course.course_id], content.limit)
        for name, course in zip(names, courses, strict=True)
        if course.course_id in rows
    ]


def _build_curve(name: str, rows: Sequence[Row], limit: int, repeated: int = 0) -> Curve:
    left_out = rows[0]["left_out"] if rows and limit == 1 else None
    return Curve(name, select_curve(rows, limit, repeated), left_out)


def _list_missing(
    registered: Sequence[RegisteredAccount], names: Mapping[str, str], day: date, found: Sequence[str]
) -> list[str]:
    missing = set(find_missing(registered, day, set(found)))
    return [
        _name_account(names, one.id) + ("" if one.is_active else f" ({one.status})")
        for one in registered
        if one.id in missing
    ]


def _name_account(names: Mapping[str, str], account_id: str) -> str:
    return clean(names.get(account_id, "")) or account_id


def name_courses(courses: Sequence[tuple[str, str, str | None]]) -> list[str]:
    """Return a name for each course, given by account, id and title: its title, with the id if two have the same.

    Without a title that can be seen it is the id.
    """
    titles = [clean(title or "") or clean(course_id) for _, course_id, title in courses]
    seen = Counter((account_id, title) for (account_id, *_), title in zip(courses, titles, strict=True))
    return [
        title if seen[account_id, title] == 1 or title == clean(course_id) else f"{title} · {clean(course_id)}"
        for (account_id, course_id, _), title in zip(courses, titles, strict=True)
    ]


def clean(text: str) -> str:
    """Return a text of an LMS on one line, without control characters and marks of direction, cut to `MAX_TEXT_LENGTH`."""
    return shorten(text, MAX_TEXT_LENGTH)
