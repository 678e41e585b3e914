"""The quality of the snapshots behind the report: complete, rejected, carried over, and their age.

Belongs here: what a reader must know before trusting the figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from lms_pipeline.errors import choose_form, format_count
from lms_pipeline.report.completion import shorten
from lms_pipeline.report.content import ReportContent
from lms_pipeline.report.views import (
    Cell,
    Exhibit,
    Section,
    TableView,
    build_count_cell,
    build_name_cell,
    build_text_cell,
    limit_rows,
)
from lms_pipeline.report.words import MISSING, format_day, format_instant

MAX_ROWS = 300
MAX_REASONS = 20
"""Accounts that a note names."""
MAX_REASON_LENGTH = 300
"""Characters of the reason why raw records are missing, which may quote a response."""
COUNTS = {
    "rows_carried": "Carried over",
    "rows_roster": "From a roster",
    "after_day": "After the day",
    "left_out_by_role": "Left out by role",
    "left_out_by_rule": "Left out by rule",
    "faulty_dates": "Impossible dates",
}
"""Columns of `account_completion` in the table, none of them with small groups withheld."""
STRATEGIES = {"sweep": "the whole list", "pairs": "single enrollments", "roster": "rosters", "learner": "by learner"}


def build_quality(content: ReportContent) -> Section:
    """Return the section about the data behind the figures."""
    accounts = content.accounts
    if not accounts:
        return Section("quality", "Quality of the data", "There is no account to show.")
    incomplete = [account for account in accounts if not account.quality.is_complete]
    if incomplete:
        are = choose_form(len(incomplete), "is", "are")
        lead = f"{len(incomplete):,} of {format_count(len(accounts), 'snapshot')} {are} incomplete: their figures may be too low."
    else:
        lead = choose_form(len(accounts), "The snapshot is complete.", f"All {len(accounts):,} snapshots are complete.")
    return Section(
        "quality",
        "Quality of the data",
        lead,
        [Exhibit(_build_table(content), is_open=True)],
        list(_list_notes(content)),
    )


def _build_table(content: ReportContent) -> TableView:
    counts = COUNTS if content.limit == 1 else {}
    shown, note = limit_rows(content.accounts, MAX_ROWS, are_largest=True)
    rows = [
        [
            build_name_cell(account.name),
            build_text_cell("yes" if account.quality.is_complete else "no"),
            build_text_cell(STRATEGIES.get(account.quality.strategy or "", account.quality.strategy or MISSING)),
            _build_instant_cell(account.quality.pulled_at, content),
            _build_instant_cell(account.oldest_fetched_at, content),
            _build_rejected_cell(account.quality.rejected, content.limit),
            *(build_count_cell(account.shown.figures.counts.get(name)) for name in counts),
        ]
        for account in shown
    ]
    header = ["Account", "Complete", "Pulled as", "Pulled at", "Oldest response", "Rejected records", *counts.values()]
    return TableView("table-quality", "Snapshots", header, rows, note)


def _build_instant_cell(instant: datetime | None, content: ReportContent) -> Cell:
    if instant is None:
        return build_text_cell(MISSING)
    local = instant.astimezone(content.generated_at.tzinfo)
    return Cell(format_instant(local), local.isoformat(timespec="minutes"))


def _build_rejected_cell(rejected: int | None, limit: int) -> Cell:
    """Return the number of rejected records; only whether there are any, if counts are withheld."""
    if limit == 1 or rejected is None:
        return build_count_cell(rejected)
    return build_text_cell("some" if rejected else "none")


def _list_notes(content: ReportContent) -> Iterator[str]:
    if content.accounts_missing:
        names, note = limit_rows(content.accounts_missing, MAX_REASONS)
        yield f"Without a snapshot of {format_day(content.day)}, and in no figure: {', '.join(names)}. {note}".rstrip()
    if content.accounts_damaged:
        names, note = limit_rows(content.accounts_damaged, MAX_REASONS)
        its = choose_form(len(content.accounts_damaged), "its", "their")
        yield f"Left out because {its} files can't be used: {', '.join(names)}. {note}".rstrip()
    mixed = [account.name for account in content.accounts if account.quality.has_mixed_sources]
    if mixed:
        names, note = limit_rows(mixed, MAX_REASONS)
        yield (
            "The tables of these accounts were computed from different pulls or with different rules, so that sections may "
            "contradict each other; "
            f"materialize the metrics of the day again: {', '.join(names)}. {note}"
        ).rstrip()
    left_out = sum(account.shown.figures.counts.get("left_out_by_rule") or 0 for account in content.accounts)
    if left_out:
        yield f"{format_count(left_out, 'enrollment')} left out by a rule of the rules file (LMS_RULES_FILE)."
    yield from _list_raw_gaps(content)
    yield (
        "Rejected: records without the fields that identify an enrollment; they are in no figure. Carried over: enrollments "
        "whose roster entry did not change, so that an earlier response stands for them. Oldest response: how old the oldest "
        "data behind an account is."
    )


def _list_raw_gaps(content: ReportContent) -> Iterator[str]:
    """Yield which accounts lack raw records, the largest first; and why, unless counts are withheld."""
    lacking = [account for account in content.accounts if account.quality.raw_gaps]
    shown, note = limit_rows(lacking, MAX_REASONS, are_largest=True)
    for account in shown:
        why = shorten(account.quality.raw_gaps or "", MAX_REASON_LENGTH) if content.limit == 1 else ""
        yield f"{account.name} lacks raw records: without a role an instructor counts as a learner. {why}".rstrip()
    if note:
        yield f"Accounts that lack raw records: {note}"
