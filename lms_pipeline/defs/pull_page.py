"""What a pull tells of each of its tables.

What belongs here: the figures of a report on the pages of the assets, under names that say what is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from lms_pipeline.defs.pages import moment, provenance
from lms_pipeline.tables.pulled import COURSES, LEARNERS, UNIFIED_ENROLLMENTS

if TYPE_CHECKING:
    from collections import Counter

    from lms_pipeline.lake.publishing import Published
    from lms_pipeline.snapshot.job import Report

MOST_STATUSES, LONGEST_STATUS = 10, 40
"""Of those that nobody documents: a text from outside, and as many as there are enrollments."""
UNREADABLE = "unreadable_"


def pull_figures(report: Report, published: Published) -> dict[str, Any]:
    """What is told of one table; `requests` and `seconds` are of the whole pull, which brings all tables at once."""
    if report.kept:
        return {"kept": True, **provenance(published.path)}
    told = {
        "kept": False,
        **provenance(published.path),
        "complete": report.complete,
        "why": report.why,
        "requests": report.requests,
        "seconds": round(report.seconds, 3),
    }
    reading = report.reading.get(published.table.name)
    if published.table == UNIFIED_ENROLLMENTS:
        told |= _sums(report)
        told |= {} if report.strategy == "sweep" else _pairs(report)
    elif published.table in {LEARNERS, COURSES} and reading is not None:
        told |= {name: reading[name] for name in ("rejected", "duplicates")}
    return told if reading is None else told | _reading(reading)


def _sums(report: Report) -> dict[str, Any]:
    """What became of the enrollments: served = stored + rejected + duplicates, but for those of `_pairs`."""
    return {
        "calls_saved": report.calls_saved,
        "served": report.served,
        "rejected": report.rejected,
        "duplicates": report.duplicates.total,
        "duplicates_identical": report.duplicates.identical,
        "duplicates_conflicting": report.duplicates.conflicting,
        "repaired_pages": report.repaired_pages,
        **_statuses(report.undocumented_statuses),
    }


def _pairs(report: Report) -> dict[str, Any]:
    """What only an account has that is asked for one learner and course after the other."""
    rows = report.served + report.carried + report.roster
    return {
        **{f"pairs_{kind}": report.planned[kind] for kind in ("new", "changed", "rotation", "carried")},
        "pairs_not_enrolled": report.not_enrolled,
        "rows_carried": report.carried,
        "rows_roster": report.roster,
        "share_carried": round(report.carried / rows, 4) if rows else 0.0,
        "details_gone": report.gone,
        "unusable_entries": report.unusable,
        "carry_asked": report.carry_asked,
        "carry_differing": report.carry_differing,
        **({} if report.oldest_fetch is None else {"oldest_fetched_at": moment(report.oldest_fetch)}),
    }


def _statuses(found: Counter[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"undocumented_statuses": found.total()}
    if found:
        most = {text[:LONGEST_STATUS] or "(none)": count for text, count in found.most_common(MOST_STATUSES)}
        told["which_statuses"] = dg.MetadataValue.json(most)
    return told


def _reading(counts: Counter[str]) -> dict[str, Any]:
    """How well the records fitted what is documented."""
    fields = {
        name.removeprefix(UNREADABLE): count for name, count in counts.items() if name.startswith(UNREADABLE)
    }
    told: dict[str, Any] = {
        "read_leniently": counts["read_leniently"],
        "unreadable_values": sum(fields.values()),
    }
    return told | ({"which_fields": dg.MetadataValue.json(fields)} if fields else {})
