"""How each figure is defined: from the same descriptions as the tables of the lake.

Belongs here: turning `tables/measures.py` into a table for readers. Not here: the definitions.
"""

from __future__ import annotations

from lms_pipeline.report.content import ReportContent
from lms_pipeline.report.views import Exhibit, Section, TableView, build_name_cell, build_text_cell
from lms_pipeline.report.words import RATE_WORDS
from lms_pipeline.tables.measures import ENROLLMENT_SETS, RATES

SETS = {
    *("all", "completed", "ever_completed", "finished", "started", "open", "not_started", "dropped_early", "eligible"),
    *("superseded", "due", "on_time", "overdue", "required", "mandatory_withdrawn"),
}
"""The sets that the report's words rest on."""
NOTES = (
    (
        "Every rate is one count divided by another. Where the denominator is zero, or the LMS reports no such data, there is "
        "no figure, which is not the same as zero."
    ),
    (
        "What happened after the day of the report does not count. A change is a difference of percentages against the "
        "snapshot 7 or 28 days before, or the latest of the 3 days before that; only over the same accounts."
    ),
)


def build_definitions(content: ReportContent) -> Section:
    """Return the section with the definitions of the rates, and of the sets behind them."""
    rates = TableView(
        "table-rates",
        "Rates",
        ["Rate", "Number", "Of", "Column", "What it is for"],
        [
            [
                build_name_cell(RATE_WORDS[rate.name].label),
                build_text_cell(rate.numerator),
                build_text_cell(rate.denominator),
                build_text_cell(rate.name),
                build_text_cell(rate.use),
            ]
            for rate in RATES
        ],
    )
    sets = TableView(
        "table-sets",
        "Sets of enrollments",
        ["Set", "Meaning"],
        [
            [build_name_cell(one.name.replace("_", " ")), build_text_cell(one.doc)]
            for one in ENROLLMENT_SETS
            if one.name in SETS
        ],
    )
    limit = f"Groups under {content.limit} learners are withheld (LMS_MIN_COHORT): such a course is left out of every total too."
    notes = [*NOTES, *([limit] if content.limit > 1 else [])]
    return Section(
        "definitions", "How each figure is defined", "", [Exhibit(rates, is_open=True), Exhibit(sets)], notes
    )
