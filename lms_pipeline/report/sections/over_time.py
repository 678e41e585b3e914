"""The sections about time: the trend by day, cohorts by month, and completion curves.

Belongs here: which days and cohorts are charted. Not here: how curves are estimated (docs/metrics.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lms_pipeline.errors import choose_form, format_count
from lms_pipeline.report.charts import BandPoint, HeatCell, Series, build_curves, build_heat_map, build_trend
from lms_pipeline.report.content import Curve, ReportContent
from lms_pipeline.report.sections.missing_tables import describe_missing
from lms_pipeline.report.small_groups import CurvePoint
from lms_pipeline.report.trend import find_change
from lms_pipeline.report.views import (
    Cell,
    ChartView,
    Exhibit,
    Section,
    TableView,
    build_count_cell,
    build_name_cell,
    build_rate_cell,
    build_share_cell,
)
from lms_pipeline.report.words import MISSING, RATE_WORDS, describe_change, format_day, format_month, format_percent
from lms_pipeline.tables.over_time import CHANGE_DAYS, COHORT_COMPLETION, COMPLETION_CURVE

TREND_RATES = ("completion_rate", "learner_compliance_rate", "on_time_rate", "start_rate")
"""The rates of the trend; `STYLES` of the charts has as many."""
MAX_COHORTS, MAX_MONTHS = 12, 12
"""Cohorts and months of the heat map. The table has all."""
MAX_CURVE_POINTS = 150
MILESTONES = (0, 7, 14, 30, 60, 90, 180, 365, 730)
"""Days after enrollment in the tables of curves."""
NAMED_MILESTONE = 30
SETTLED_SHARE = 0.99
"""Share of the last value of a curve from which on it is nearly flat."""


def build_trend_section(content: ReportContent) -> Section:
    """Return the section about the last days."""
    points = content.points
    names = [name for name in TREND_RATES if any(name in point.figures.rates for point in points)]
    series = [
        Series(
            RATE_WORDS[name].label,
            [(point.day, point.figures.rates[name].value) for point in points if name in point.figures.rates],
        )
        for name in names
    ]
    table = TableView(
        "table-trend",
        "Rates by day",
        ["Day", "Enrollments", "Completed", *(RATE_WORDS[name].label for name in names)],
        [
            [
                build_name_cell(point.day.isoformat()),
                build_count_cell(point.figures.enrollments),
                build_count_cell(point.figures.completed),
                *(build_rate_cell(point.figures.rates.get(name)) for name in names),
            ]
            for point in reversed(points)
        ],
    )
    if len(points) < 2 or not series:
        return Section("trend", "Trend", "There is no earlier day to compare with.", [Exhibit(table)] if points else [])
    first, last = points[0].day, points[-1].day
    chart = ChartView(
        "chart-trend",
        f"Rates from {format_day(first)} to {format_day(last)}",
        f"Lines by day from {format_day(first)} to {format_day(last)}: "
        + "; ".join(
            f"{one.name} from {format_percent(one.points[0][1])} to {format_percent(one.points[-1][1])}"
            for one in series
        )
        + ".",
        build_trend(series),
    )
    return Section("trend", "Trend", _describe_trend(content), [Exhibit(table, chart)], _describe_breaks(content))


def _describe_trend(content: ReportContent) -> str:
    changes = [
        f"{describe_change(change.points)} on {format_day(change.compared)}"
        for days in CHANGE_DAYS
        if (change := find_change(content.points, "completion_rate", days)) is not None
    ]
    if not changes:
        days = format_count(len(content.points), "day")
        return f"{days} so far: a change over 7 days needs a snapshot of 7 to 10 days before, with the same accounts."
    return f"The completion rate is {', and '.join(changes)}."


def _describe_breaks(content: ReportContent) -> list[str]:
    notes = []
    if len({point.accounts for point in content.points}) > 1:
        notes.append(
            "The accounts are not the same on all days, so that levels before and after such a day can't be compared."
        )
    elif len({point.courses for point in content.points}) > 1:
        notes.append(
            "The courses with enough learners are not the same on all days, so that not all levels can be compared."
        )
    return notes


def build_cohorts(content: ReportContent) -> Section:
    """Return the section about the months of enrollment."""
    title = "Cohorts"
    if content.limit > 1:
        return Section("cohorts", title, f"Withheld: cohorts may have fewer than {content.limit} learners.")
    enrolled = {row["cohort"]: row["enrolled"] for row in content.cohorts if row["months_since"] == 0}
    cohorts = sorted(enrolled)
    if not cohorts:
        missing = describe_missing(content, COHORT_COMPLETION)
        return Section("cohorts", title, missing or "No enrollment has a known beginning.")
    rates = {
        (row["cohort"], row["months_since"]): row["completed"] / enrolled[row["cohort"]]
        for row in content.cohorts
        if row["is_whole"] and enrolled.get(row["cohort"])
    }
    months = range(max((month for _, month in rates), default=0) + 1)
    table = TableView(
        "table-cohorts",
        "Share completed by month of enrollment",
        ["Month of enrollment", "Enrolled", *("Same month" if month == 0 else f"After {month}" for month in months)],
        [
            [build_name_cell(format_month(cohort)), build_count_cell(enrolled[cohort])]
            + [_build_optional_cell(rates.get((cohort, month))) for month in months]
            for cohort in cohorts
        ],
        "The columns say how many calendar months after the month of enrollment; a month that has not ended has no rate.",
    )
    charted = [
        HeatCell(f"{format_month(cohort)} · {enrolled[cohort]:,}", month, rate)
        for (cohort, month), rate in sorted(rates.items())
        if cohort in cohorts[-MAX_COHORTS:] and month <= MAX_MONTHS
    ]
    left_out = _count_outside(content, sum(enrolled.values()))
    notes = [f"{format_count(left_out, 'enrollment')} without usable dates left out."] if left_out else []
    if missing := describe_missing(content, COHORT_COMPLETION):
        notes.append(missing)
    lead = (
        "Of the enrollments that began in a month, the share completed by the end of that month (0) and of each later month. "
        "The sooner the colour is strong, the faster the cohort completed."
    )
    if not charted:
        return Section("cohorts", title, "No month of enrollment has ended yet.", [Exhibit(table, is_open=True)], notes)
    chart = ChartView(
        "chart-cohorts",
        "Share completed by month of enrollment; the number behind the month is how many enrolled",
        f"Heat map of the last {len({cell.cohort for cell in charted})} months of enrollment by months since; each cell "
        "shows the percent completed.",
        build_heat_map(charted),
    )
    return Section("cohorts", title, lead, [Exhibit(table, chart)], notes)


def _build_optional_cell(rate: float | None) -> Cell:
    return Cell("", "", is_number=True) if rate is None else build_share_cell(rate)


def build_curve_section(content: ReportContent) -> Section:
    """Return the section about completion curves: of the account and its largest courses, or of the largest accounts."""
    curves = [account.curve for account in content.accounts if account.curve.points]
    if not curves:
        return Section("curves", "Time to completion", _explain_no_curve(content))
    figures = [
        _build_curve_figure(f"curve-{number}", curve) for number, curve in enumerate([*curves, *content.course_curves])
    ]
    notes = list(_describe_curve_notes(content, curves))
    return Section(
        "curves", "Time to completion", _describe_curve(curves[0], is_one=len(content.accounts) == 1), figures, notes
    )


def _explain_no_curve(content: ReportContent) -> str:
    if content.limit > 1:
        return "Withheld: a course is left out, or too few learners are at risk."
    missing = describe_missing(content, COMPLETION_CURVE)
    return missing or "There is no curve: no enrollment has a known beginning."


def _build_curve_figure(name: str, curve: Curve) -> Exhibit:
    horizon = find_horizon(curve.points)
    bands = [
        BandPoint(series, point.day, share, low, high)
        for point in thin(cut(curve.points, horizon))
        for series, share, low, high in (
            ("Completed", point.completed, point.completed_low, point.completed_high),
            ("Left without completing", point.left, point.left_low, point.left_high),
        )
        if share is not None
    ]
    is_whole = any(point.at_risk is None for point in curve.points)
    rows = [
        [
            Cell(f"{day}", is_header=True, is_number=True),
            build_share_cell(point.completed, is_whole=is_whole),
            Cell(_format_band(point.completed_low, point.completed_high, is_whole=is_whole)),
            build_share_cell(point.left, is_whole=is_whole),
            Cell(_format_band(point.left_low, point.left_high, is_whole=is_whole)),
            build_share_cell(point.open, is_whole=is_whole),
        ]
        for day, point in find_milestones(curve.points)
    ]
    header = ["Days since enrollment", "Completed", "95% band", "Left", "95% band of left", "Still open"]
    last, is_cut = curve.points[-1], horizon < curve.points[-1].day
    size = curve.points[0].at_risk
    of = "" if size is None else f", {format_count(size, 'enrollment')}"
    return Exhibit(
        TableView(
            f"table-{name}",
            f"Share completed and left: {curve.name}",
            header,
            rows,
            "The chart ends where the curves are nearly flat." if is_cut else "",
        ),
        ChartView(
            f"chart-{name}",
            f"{curve.name}{of}",
            f"Curves of {curve.name} over {last.day} days since enrollment: "
            f"{format_percent(last.completed, is_whole=is_whole)} completed and "
            f"{format_percent(last.left, is_whole=is_whole)} left at the end.",
            build_curves(bands),
        ),
    )


def thin(points: Sequence[CurvePoint]) -> list[CurvePoint]:
    """Return at most `MAX_CURVE_POINTS` of the points, evenly spaced, with the first and the last."""
    if len(points) <= MAX_CURVE_POINTS:
        return list(points)
    step = (len(points) - 1) / (MAX_CURVE_POINTS - 1)
    return [points[round(number * step)] for number in range(MAX_CURVE_POINTS)]


def find_horizon(points: Sequence[CurvePoint]) -> int:
    """Return the day up to which a curve is charted: a tenth after the milestone by which nearly all ends have happened."""
    last = points[-1]
    for day in (day for day in MILESTONES if NAMED_MILESTONE <= day < last.day):
        at = [point for point in points if point.day <= day][-1]
        if all(
            (now or 0) >= SETTLED_SHARE * (end or 0)
            for now, end in ((at.completed, last.completed), (at.left, last.left))
        ):
            return min(last.day, day + day // 10)
    return last.day


def cut(points: Sequence[CurvePoint], horizon: int) -> list[CurvePoint]:
    """Return the points up to the horizon, the last one carried on to it."""
    shown = [point for point in points if point.day <= horizon]
    return shown if shown[-1].day == horizon else [*shown, shown[-1]._replace(day=horizon)]


def find_milestones(points: Sequence[CurvePoint]) -> Iterator[tuple[int, CurvePoint]]:
    """Yield the days of a curve's table, each with the point that holds on it; the last is the last day observed."""
    last = points[-1]
    for day in (*(day for day in MILESTONES if day < last.day), last.day):
        before = [point for point in points if point.day <= day]
        if before:
            yield day, before[-1]


def _format_band(low: float | None, high: float | None, *, is_whole: bool) -> str:
    if low is None or high is None:
        return MISSING
    return f"{format_percent(low, is_whole=is_whole)} to {format_percent(high, is_whole=is_whole)}"


def _describe_curve(curve: Curve, *, is_one: bool) -> str:
    points = curve.points
    is_whole = any(point.at_risk is None for point in points)
    of = "" if is_one else f"{curve.name}: "
    day = min(NAMED_MILESTONE, points[-1].day)
    share = [point for point in points if point.day <= day][-1].completed
    within = f"{of}{format_percent(share, is_whole=is_whole)} complete within {format_count(day, 'day')} of enrollment."
    if day < NAMED_MILESTONE:
        return within
    half = next((point.day for point in points if (point.completed or 0) >= 0.5), None)
    if half is None:
        return f"{within} Fewer than half have completed so far."
    return f"{within} Half complete within {format_count(half, 'day')}."


def _count_outside(content: ReportContent, enrolled: int) -> int:
    """Return how many enrollments are in no cohort, of the accounts that have the table; one without a cohort has no row in it."""
    table = COHORT_COMPLETION.name
    of_accounts = (one for one in content.accounts if table not in one.quality.missing_tables)
    return sum(one.shown.figures.enrollments for one in of_accounts) - enrolled


def _describe_curve_notes(content: ReportContent, curves: Sequence[Curve]) -> Iterator[str]:
    yield (
        "Leaving counts against completion, and enrollments that are still open count for as long as they were observed. "
        "The bands are 95% confidence intervals. Enrollments that the LMS has removed are in no curve."
    )
    if len(content.accounts) > len(curves):
        shown = choose_form(len(curves), "largest account that has one", "largest accounts that have one")
        yield f"Curves of the {len(curves)} {shown}; a report of one account shows its own curve."
    left_out = sum(curve.left_out or 0 for curve in curves)
    if left_out:
        yield f"{format_count(left_out, 'enrollment')} without usable dates left out."
