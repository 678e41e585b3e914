"""The courses and the accounts, ranked by their completion rate.

Belongs here: which courses are charted, and the columns of the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from lms_pipeline.errors import format_count
from lms_pipeline.report.charts import Bar, build_ranking
from lms_pipeline.report.content import ReportContent, name_courses
from lms_pipeline.report.largest_courses import MAX_COURSES, KeptCourse, RateRange, extend_range
from lms_pipeline.report.small_groups import COMPLETION_RATE, Figures
from lms_pipeline.report.views import (
    Cell,
    ChartView,
    Exhibit,
    Section,
    TableView,
    build_count_cell,
    build_name_cell,
    build_rate_cell,
    build_text_cell,
    limit_rows,
)
from lms_pipeline.report.words import MISSING, RATE_WORDS, format_percent

MAX_BARS = 20
MAX_ROWS = MAX_COURSES
"""Rows of a table: the largest courses or accounts."""
TABLE_RATES = (
    *("completion_rate", "completion_rate_eligible", "start_rate", "on_time_rate", "overdue_rate", "compliance_rate"),
    *("withdrawal_rate", "pass_rate"),
)
"""The rates of a course in its table."""


class Item(NamedTuple):
    """A course or an account of a ranking."""

    name: str
    account: str | None
    """The account of a course, if the report has several."""
    figures: Figures


def list_items(content: ReportContent, courses: Sequence[KeptCourse]) -> list[Item]:
    """Return courses as items of a ranking, the largest first; with their accounts if the report has several."""
    names = content.account_names if len(content.accounts) > 1 else {}
    titles = name_courses([(account_id, course.course_id, course.title) for account_id, course in courses])
    items = [
        Item(title, names.get(account_id), course.figures)
        for title, (account_id, course) in zip(titles, courses, strict=True)
    ]
    return sorted(items, key=lambda item: (-item.figures.enrollments, item.name, item.account or ""))


def build_courses(content: ReportContent) -> Section:
    """Return the section about courses."""
    courses = content.courses
    figures = _build_figures("courses", "course", list_items(content, courses.largest), courses.count)
    notes = _describe_left_out(content, courses.count)
    return Section("courses", "Courses", _describe_range(courses.rates), list(figures), notes)


def build_accounts(content: ReportContent) -> Section | None:
    """Return the section about accounts; None for a report of one account."""
    if len(content.accounts) < 2:
        return None
    items = [Item(account.name, None, account.shown.figures) for account in content.accounts]
    rates: RateRange | None = None
    for item in items:
        rates = extend_range(rates, item.figures)
    return Section(
        "accounts", "Accounts", _describe_range(rates), list(_build_figures("accounts", "account", items, len(items)))
    )


def rank(items: Iterable[Item], rate: str) -> list[Item]:
    """Return the items that have a rate, the highest first."""
    rated = [item for item in items if rate in item.figures.rates]
    return sorted(rated, key=lambda item: (-item.figures.rates[rate].value, -item.figures.enrollments, item.name))


def build_bars(items: Sequence[Item], rate: str) -> list[Bar]:
    """Return a bar for each item, with its counts where they may be shown."""
    bars = []
    for item in items:
        share = item.figures.rates[rate]
        of = "" if share.of is None else f" · {share.counted:,} of {share.of:,}"
        name = f"{item.name} ({item.account})" if item.account else item.name
        bars.append(Bar(name, share.value, f"{format_percent(share.value, is_whole=share.of is None)}{of}"))
    return bars


def _build_figures(name: str, noun: str, items: Sequence[Item], total: int) -> Iterator[Exhibit]:
    """Yield the chart and table of the largest items, of which there are `total`."""
    largest = items[:MAX_BARS]
    ranked = rank(largest, COMPLETION_RATE)
    table = _build_table(name, noun, items, total)
    if not ranked:
        yield Exhibit(table, is_open=True)
        return
    which = f"The {len(largest)} largest {noun}s" if total > len(largest) else f"All {noun}s"
    yield Exhibit(
        table,
        ChartView(
            f"chart-{name}",
            f"{which} by completion rate",
            f"{which}, the highest completion rate first: from {ranked[0].name} with "
            f"{format_percent(ranked[0].figures.rates[COMPLETION_RATE].value)} down to {ranked[-1].name} with "
            f"{format_percent(ranked[-1].figures.rates[COMPLETION_RATE].value)}.",
            build_ranking(build_bars(ranked, COMPLETION_RATE)),
        ),
    )


def _build_table(name: str, noun: str, items: Sequence[Item], total: int) -> TableView:
    shown, note = limit_rows(items, MAX_ROWS, total, are_largest=True)
    ranked = rank(shown, COMPLETION_RATE)
    rows = [*ranked, *(item for item in shown if COMPLETION_RATE not in item.figures.rates)]
    rates = [rate for rate in TABLE_RATES if any(rate in item.figures.rates for item in shown)]
    has_account = any(item.account for item in shown)
    header = ["Course" if name == "courses" else "Account", *(["Account"] if has_account else [])]
    header += ["Learners", "Enrollments", "Completed", *(RATE_WORDS[rate].label for rate in rates)]
    if name == "courses" and any(_read_median(item) is not None for item in shown):
        header.append("Median days to complete")
    cells = [
        list(_build_row(item, rates, has_account=has_account, has_median=header[-1].startswith("Median")))
        for item in rows
    ]
    return TableView(f"table-{name}", f"{'Largest' if note else 'All'} {noun}s", header, cells, note)


def _build_row(item: Item, rates: Sequence[str], *, has_account: bool, has_median: bool) -> Iterator[Cell]:
    figures = item.figures
    yield build_name_cell(item.name)
    if has_account:
        yield build_text_cell(item.account or "")
    yield build_count_cell(figures.learners)
    yield build_count_cell(figures.enrollments)
    yield build_count_cell(figures.completed)
    for rate in rates:
        yield build_rate_cell(figures.rates.get(rate))
    if has_median:
        median = _read_median(item)
        yield Cell(
            MISSING if median is None else f"{median:,.0f}", "" if median is None else f"{median:g}", is_number=True
        )


def _read_median(item: Item) -> float | None:
    median: float | None = item.figures.counts.get("days_to_complete_p50")
    return median


def _describe_range(rates: RateRange | None) -> str:
    if rates is None:
        return "None can be shown."
    low, high = format_percent(rates.lowest), format_percent(rates.highest)
    return (
        f"Completion rates go from {low} to {high}; {rates.halves:,} of {rates.rated:,} have at least half of their "
        "enrollments completed."
    )


def _describe_left_out(content: ReportContent, shown: int) -> list[str]:
    if not content.courses_left_out:
        return []
    left_out, of = format_count(content.courses_left_out, "course"), format_count(shown, "course")
    return [f"{left_out} with fewer than {content.limit} learners left out; {of} shown."]
