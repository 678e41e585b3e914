"""Mandatory training and deadlines: who is compliant, what is overdue, and what became of what was due.

Belongs here: the figures that auditors ask for. Whose date it is, the LMS's or a rule's, stands beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lms_pipeline.errors import choose_form, format_count
from lms_pipeline.report.charts import build_ranking
from lms_pipeline.report.content import ReportContent
from lms_pipeline.report.largest_courses import MANDATORY_RATE
from lms_pipeline.report.sections.courses import MAX_BARS, MAX_ROWS, Item, build_bars, list_items, rank
from lms_pipeline.report.sections.headline import format_share
from lms_pipeline.report.small_groups import Figures
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
    build_text_cell,
    limit_rows,
)
from lms_pipeline.report.words import DUE_PARTS, RATE_WORDS, format_percent

SHOWN_RATES = ("learner_compliance_rate", MANDATORY_RATE, "on_time_rate", "overdue_rate")
TITLE = "Mandatory training and deadlines"


def build_mandatory(content: ReportContent) -> Section:
    """Return the section about mandatory training and due days."""
    figures = content.figures
    known = [name for name in SHOWN_RATES if figures is not None and name in figures.rates]
    if figures is None or not known:
        return Section("mandatory", TITLE, _explain_none(content, figures))
    first = figures.rates[known[0]]
    lead = f"{format_percent(first.value, is_whole=first.of is None)}: {format_share(known[0], first)}."
    if not_due := figures.counts.get("n_required_not_due"):
        # not of all: an account without due days does not know how many of its own there are
        verbs = choose_form(not_due, "is open and not yet due, and counts", "are open and not yet due, and count")
        lead += f" {format_count(not_due, 'mandatory enrollment')} {verbs} as not completed."
    return Section(
        "mandatory", TITLE, lead, list(_build_figures(content, figures, known)), list(_list_notes(content, figures))
    )


def _explain_none(content: ReportContent, figures: Figures | None) -> str:
    """Return why there is no rate: nothing is known, or nothing counts yet."""
    if figures is not None and figures.withheld & set(SHOWN_RATES):
        return "Withheld because a group is too small."
    if figures is None or content.limit > 1:
        return "There is no figure for compliance that can be shown."
    counts = figures.counts
    if all(counts.get(name) is None for name in ("n_due", "n_required", "n_mandatory_withdrawn")):
        return (
            "The LMS reports neither due days nor which enrollments are mandatory, and no rule sets them, so that there is no "
            "figure for compliance. A file of rules (LMS_RULES_FILE) can set them."
        )
    parts = [] if counts.get("n_required") is None else ["no enrollment is mandatory now"]
    if counts.get("n_due") == 0:
        parts.append("no due day has come")
    if counts.get("n_mandatory_withdrawn"):
        parts.append(f"{format_count(counts['n_mandatory_withdrawn'], 'mandatory enrollment')} withdrawn")
    return f"There is no figure for compliance yet: {', '.join(parts)}."


def _build_figures(content: ReportContent, figures: Figures, known: list[str]) -> Iterator[Exhibit]:
    yield Exhibit(_build_rate_table(figures, known), is_open=True)
    courses = list_items(content, content.courses.mandatory)
    if courses:
        yield _build_course_figure(courses, content.courses.mandatory_count)
    if figures.counts.get("n_due"):
        yield _build_due_figure(figures)


def _build_rate_table(figures: Figures, known: Sequence[str]) -> TableView:
    """Return the rates, with their counts where those may be shown."""
    has_counts = all(figures.rates[name].of is not None for name in known)
    header = ["Rate", "Share", *(["Number", "Of"] if has_counts else []), "What is counted"]
    rows = []
    for name in known:
        rate, words = figures.rates[name], RATE_WORDS[name]
        counts = [build_count_cell(rate.counted), build_count_cell(rate.of)] if has_counts else []
        rows.append(
            [
                build_name_cell(words.label),
                build_rate_cell(rate),
                *counts,
                build_text_cell(f"{words.of} {words.predicate}"),
            ]
        )
    return TableView("table-mandatory", "Compliance and deadlines", header, rows)


def _build_course_figure(courses: Sequence[Item], total: int) -> Exhibit:
    """Return the largest courses with mandatory training, of which there are `total`, the lowest rate first."""
    courses, note = limit_rows(courses, MAX_ROWS, total, are_largest=True)
    ranked = rank(courses[:MAX_BARS], MANDATORY_RATE)[::-1]
    has_counts = all(item.figures.rates[MANDATORY_RATE].of is not None for item in courses)
    rows = []
    for item in rank(courses, MANDATORY_RATE)[::-1]:
        rate = item.figures.rates[MANDATORY_RATE]
        counts = [build_count_cell(rate.counted), build_count_cell(rate.of)] if has_counts else []
        rows.append(
            [
                build_name_cell(f"{item.name} ({item.account})" if item.account else item.name),
                build_rate_cell(rate),
                *counts,
            ]
        )
    table = TableView(
        "table-mandatory-courses",
        "Mandatory enrollments by course",
        ["Course", "Mandatory completed", *(["Number", "Of"] if has_counts else [])],
        rows,
        note,
    )
    which = f"The {MAX_BARS} largest courses" if len(courses) > MAX_BARS else "Courses"
    return Exhibit(
        table,
        ChartView(
            "chart-mandatory-courses",
            f"{which} with mandatory training, the lowest share first",
            f"{which} with mandatory training by the share of mandatory enrollments completed, the lowest first.",
            build_ranking(build_bars(ranked, MANDATORY_RATE)),
        ),
    )


def _build_due_figure(figures: Figures) -> Exhibit:
    """Return the parts of what was due, which add up to it."""
    total = figures.counts["n_due"]
    rows = [
        [build_name_cell(label), build_count_cell(count), build_share_cell(count / total)]
        for name, label in DUE_PARTS.items()
        if (count := figures.counts[name]) is not None
    ]
    rows.append(
        [build_name_cell("All whose due day has come"), build_count_cell(total), Cell("100%", "1", is_number=True)]
    )
    return Exhibit(
        TableView(
            "table-due", "What became of the enrollments whose due day has come", ["", "Enrollments", "Share"], rows
        ),
        is_open=True,
    )


def _list_notes(content: ReportContent, figures: Figures) -> Iterator[str]:
    counts = figures.counts
    if content.limit > 1:
        yield (
            "Withdrawn mandatory enrollments count in no rate of mandatory training, and their number is withheld: a rate can "
            "rise without an improvement."
        )
    removes = counts.get("withdrawal_rate_den") is None and counts.get("n_required") is not None
    if removes:
        yield (
            "The LMS removes an enrollment instead of reporting it as withdrawn. If the number of mandatory enrollments falls "
            "while the rate rises, the rate did not improve."
        )
    elif counts.get("n_mandatory_withdrawn") is not None:
        yield (
            f"Withdrawn: {format_count(counts['n_mandatory_withdrawn'], 'mandatory enrollment')}, which count in no rate of "
            "mandatory training. If this number rises together with the rate, the rate did not improve."
        )
    if counts.get("n_due_open") and counts.get("n_superseded"):
        yield (
            "Some enrollments have a later one of the same learner in the same course. They can be among those still open, but "
            "not among the overdue."
        )
    if counts.get("n_due_by_rule"):
        yield f"Of {counts['n_due']:,} due enrollments, {counts['n_due_by_rule']:,} have a due day that a rule sets, not the LMS."
    if counts.get("n_required_by_rule"):
        yield (
            f"Of {counts['n_required']:,} mandatory enrollments, {counts['n_required_by_rule']:,} are mandatory by a rule, not "
            "in the LMS."
        )
