"""The head of the report: what was counted, the headline rates with their denominators, and what is not known.

Belongs here: sentences and tiles about the whole. Not here: single courses and accounts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lms_pipeline.errors import choose_form, format_count
from lms_pipeline.report.content import ReportContent
from lms_pipeline.report.small_groups import COMPLETION_RATE, ShownRate
from lms_pipeline.report.trend import TrendPoint, find_change
from lms_pipeline.report.views import Tile
from lms_pipeline.report.words import RATE_WORDS, describe_change, format_day, format_percent, format_points
from lms_pipeline.tables.over_time import CHANGE_DAYS

TILES = (
    *("completion_rate", "learner_compliance_rate", "compliance_rate", "on_time_rate", "overdue_rate"),
    *("completion_rate_eligible", "start_rate", "learner_completion_rate"),
)
"""Headline rates in order of importance for an audit."""
MAX_TILES = 6
MAX_NAMED = 10
"""Accounts that a sentence names."""


def build_lead(content: ReportContent) -> str:
    """Return the sentences that say how far the learners are."""
    figures = content.figures
    if figures is None:
        return (
            f"Nothing can be shown: each group has fewer than {content.limit} learners."
            if content.limit > 1
            else "There are no enrollments."
        )
    rate = figures.rates.get(COMPLETION_RATE)
    if rate is None:
        return "There are no enrollments."
    lead = f"{format_share(COMPLETION_RATE, rate)}: {format_percent(rate.value)}."
    change = find_change(content.points, COMPLETION_RATE, CHANGE_DAYS[-1])
    if change is None:
        return lead
    return f"{lead} That is {describe_change(change.points)} on {format_day(change.compared)}."


def build_scope(content: ReportContent) -> str:
    """Return the line that says how much is in the report."""
    parts = []
    if content.is_portfolio:
        parts.append(format_count(len(content.accounts), "account"))
    parts.append(format_count(content.courses.count, "course"))
    figures = content.figures
    if figures is not None and figures.learners is not None:
        is_sum = len(content.accounts) > 1
        parts.append(
            format_count(figures.learners, "learner") + (" (a person in two accounts counts twice)" if is_sum else "")
        )
    if figures is not None:
        parts.append(format_count(figures.enrollments, "enrollment"))
    return ", ".join(parts)


def build_tiles(content: ReportContent) -> list[Tile]:
    """Return the headline rates that are known."""
    figures = content.figures
    if figures is None:
        return []
    return [
        Tile(
            RATE_WORDS[name].label,
            format_percent(rate.value, is_whole=rate.of is None),
            format_share(name, rate),
            list(_describe_changes(content.points, name)),
        )
        for name in TILES
        if (rate := figures.rates.get(name)) is not None
    ][:MAX_TILES]


def format_share(name: str, rate: ShownRate) -> str:
    """Return a rate's counts as a sentence, without a full stop."""
    words = RATE_WORDS[name]
    if rate.counted is None or rate.of is None:
        return f"of the {words.of} {words.predicate}"
    return f"{rate.counted:,} of {rate.of:,} {words.of} {words.predicate}"


def _describe_changes(points: Sequence[TrendPoint], name: str) -> Iterator[str]:
    for days in CHANGE_DAYS:
        change = find_change(points, name, days)
        if change is not None:
            yield f"{format_points(change.points)} points in {(points[-1].day - change.compared).days} days"


def list_notes(content: ReportContent) -> list[str]:
    """Return the sentences about rates without a figure, and what is left out."""
    figures = content.figures
    if figures is None:
        return []
    missing = [words.label for name, words in RATE_WORDS.items() if name not in {*figures.rates, *figures.withheld}]
    withheld = [words.label for name, words in RATE_WORDS.items() if name in figures.withheld]
    notes = list(_list_warnings(content))
    if missing:
        notes.append(
            f"No figure for: {', '.join(missing)}. The LMS reports no such data, or there is nothing to divide by; "
            "a missing figure is not zero."
        )
    if withheld:
        notes.append(f"Withheld because a group is too small: {', '.join(withheld)}.")
    if content.limit > 1:
        notes.append(_describe_limit(content))
    return notes


def _list_warnings(content: ReportContent) -> Iterator[str]:
    """Yield what makes the figures too low, or not those of all accounts."""
    if content.accounts_missing:
        have = choose_form(len(content.accounts_missing), "has", "have")
        accounts = format_count(len(content.accounts_missing), "account")
        yield f"{accounts} {have} no snapshot of this day: {_list_names(content.accounts_missing)}."
    if content.accounts_damaged:
        accounts = format_count(len(content.accounts_damaged), "account")
        why = choose_form(len(content.accounts_damaged), "is left out, since its", "are left out, since their")
        yield f"{accounts} {why} files can't be used: {_list_names(content.accounts_damaged)}."
    incomplete = sum(not account.quality.is_complete for account in content.accounts)
    if incomplete:
        are = choose_form(incomplete, "is", "are")
        yield f"{incomplete:,} of {format_count(len(content.accounts), 'snapshot')} {are} incomplete."


def _list_names(names: Sequence[str]) -> str:
    shown, hidden = names[:MAX_NAMED], len(names) - MAX_NAMED
    return ", ".join(shown) + (f" and {hidden:,} more" if hidden > 0 else "")


def _describe_limit(content: ReportContent) -> str:
    left_out = [format_count(content.courses_left_out, "course")]
    if content.is_portfolio:
        left_out.append(format_count(content.accounts_left_out, "account"))
    return (
        f"Groups under {content.limit} learners are withheld, also from every total: {' and '.join(left_out)} left out. "
        "Other rates than the completion rate are whole percents without counts."
    )
