"""Those who need attention: counts by reason and course; by name only on request.

Belongs here: counts over accounts, and their tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from lms_pipeline.errors import choose_form, format_count
from lms_pipeline.report.charts import build_counts
from lms_pipeline.report.content import ReportContent, clean, name_courses
from lms_pipeline.report.details import MAX_ATTENTION_COURSES, MAX_NAMES
from lms_pipeline.report.sections.missing_tables import describe_missing, is_missing_everywhere
from lms_pipeline.report.small_groups import ReasonCount
from lms_pipeline.report.views import (
    Cell,
    ChartView,
    Exhibit,
    Section,
    TableView,
    build_count_cell,
    build_name_cell,
    build_text_cell,
    limit_rows,
)
from lms_pipeline.report.words import MISSING, REASON_WORDS
from lms_pipeline.tables.attention import ATTENTION

TITLE = "Who needs attention"


def build_attention(content: ReportContent) -> Section:
    """Return the section about open enrollments that need attention."""
    totals = sum_reasons([account.reasons for account in content.accounts])
    if not totals:
        return Section("attention", TITLE, _explain_none(content), notes=list(_list_notes(content)))
    return Section(
        "attention",
        TITLE,
        _describe(content, totals),
        list(_build_figures(content, totals)),
        list(_list_notes(content)),
    )


def _explain_none(content: ReportContent) -> str:
    if is_missing_everywhere(content, ATTENTION):
        return "Not known."
    return f"No reason applies to {content.limit} learners or more." if content.limit > 1 else "Nobody."


def format_message(content: ReportContent) -> str | None:
    """Return the counts as a message of one sentence; None if there is nothing to say."""
    totals = sum_reasons([account.reasons for account in content.accounts])
    if not totals:
        return None
    missing = len(content.accounts_missing) + len(content.accounts_damaged)
    present = len(content.accounts) + content.accounts_left_out
    of = f"{content.title}{f' ({present:,} of {present + missing:,})' if missing else ''}, {content.day}"
    return f"{of}: {_describe(content, totals)}"


def sum_reasons(counts: Sequence[Sequence[ReasonCount]]) -> list[ReasonCount]:
    """Return the sums over accounts by reason, the strongest reason first; learners only where all are known."""
    by_reason: dict[str, list[ReasonCount]] = defaultdict(list)
    for count in (count for account in counts for count in account):
        by_reason[count.reason].append(count)
    return [
        ReasonCount(reason, sum(count.enrollments for count in found), _sum_learners(found))
        for reason in REASON_WORDS
        if (found := by_reason.get(reason))
    ]


def _sum_learners(counts: Sequence[ReasonCount]) -> int | None:
    learners = [count.learners for count in counts if count.learners is not None]
    return sum(learners) if len(learners) == len(counts) else None


def _describe(content: ReportContent, totals: Sequence[ReasonCount]) -> str:
    parts = [f"{count.enrollments:,} {REASON_WORDS[count.reason][0].lower()}" for count in totals]
    if content.limit > 1:
        return f"Open enrollments by their strongest reason, rounded: {', '.join(parts)}."
    total = sum(count.enrollments for count in totals)
    need = choose_form(total, "needs", "need")
    return f"{format_count(total, 'open enrollment')} {need} attention: {', '.join(parts)}."


def _build_figures(content: ReportContent, totals: Sequence[ReasonCount]) -> Iterator[Exhibit]:
    has_learners = all(count.learners is not None for count in totals)
    table = TableView(
        "table-attention",
        "Open enrollments that need attention, by their strongest reason",
        ["Reason", "Enrollments", *(["Learners"] if has_learners else []), "Meaning"],
        [
            [
                build_name_cell(REASON_WORDS[count.reason][0]),
                build_count_cell(count.enrollments),
                *([build_count_cell(count.learners)] if has_learners else []),
                build_text_cell(REASON_WORDS[count.reason][1]),
            ]
            for count in totals
        ],
    )
    counts = [(REASON_WORDS[count.reason][0], count.enrollments) for count in totals]
    summary = f"Bars of open enrollments by reason: {', '.join(f'{name} {count:,}' for name, count in counts)}."
    chart = ChartView("chart-attention", "Open enrollments by their strongest reason", summary, build_counts(counts))
    yield Exhibit(table, chart, is_open=True)
    if content.attention_courses.rows:
        yield Exhibit(_build_course_table(content))
    if content.attention_names.rows:
        yield Exhibit(_build_name_table(content))


def _build_course_table(content: ReportContent) -> TableView:
    """Return the courses where most enrollments need attention."""
    names = content.account_names if len(content.accounts) > 1 else {}
    found = content.attention_courses
    shown, note = limit_rows(found.rows, MAX_ATTENTION_COURSES, found.count)
    titles = name_courses([(row["account_id"], row["course_id"], row["course_title"]) for row in shown])
    reasons = [reason for reason in REASON_WORDS if any(reason in row["reasons"] for row in shown)]
    return TableView(
        "table-attention-courses",
        "By course, those with most first",
        ["Course", *(["Account"] if names else []), "All reasons", *(REASON_WORDS[reason][0] for reason in reasons)],
        [
            [
                build_name_cell(title),
                *([build_text_cell(names[row["account_id"]])] if names else []),
                build_count_cell(sum(row["reasons"].values())),
                *(build_count_cell(row["reasons"].get(reason, 0)) for reason in reasons),
            ]
            for title, row in zip(titles, shown, strict=True)
        ],
        note,
    )


def _build_name_table(content: ReportContent) -> TableView:
    """Return the list by name."""
    names = content.account_names if len(content.accounts) > 1 else {}
    shown, note = limit_rows(content.attention_names.rows, MAX_NAMES, content.attention_names.count)
    rows = [
        [
            build_name_cell(clean(row["user_name"] or "") or clean(row["user_id"] or "") or MISSING),
            build_text_cell(clean(row["user_id"] or "")),
            build_text_cell(clean(row["course_title"] or "") or clean(row["course_id"] or "")),
            *([build_text_cell(names[row["account_id"]])] if names else []),
            build_text_cell(REASON_WORDS[row["reason"]][0]),
            build_count_cell(row["days"]),
            _build_day_cell(row["due_day"]),
            _build_day_cell(row["last_seen_day"]),
        ]
        for row in shown
    ]
    return TableView(
        "table-attention-names",
        "By name (personal data: pass this file on with care)",
        [
            "Learner",
            "Id of the learner",
            "Course",
            *(["Account"] if names else []),
            "Reason",
            "Days",
            "Due day",
            "Last seen",
        ],
        rows,
        note,
    )


def _build_day_cell(day: object) -> Cell:
    return build_text_cell("" if day is None else str(day))


def _list_notes(content: ReportContent) -> Iterator[str]:
    if missing := describe_missing(content, ATTENTION):
        yield missing
    unknown = sum(account.quality.idle_unknown or 0 for account in content.accounts)
    if unknown and content.limit == 1:
        yield (
            f"Of {format_count(unknown, 'started enrollment')} nothing says when the learner was last active: they are not "
            "counted as idle."
        )
    if content.limit > 1:
        yield (
            f"Reasons with fewer than {content.limit} learners in an account are withheld, and the numbers of an account are "
            f"rounded to multiples of {content.limit}."
        )
