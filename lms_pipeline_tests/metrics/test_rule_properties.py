"""Generated enrollments under rules have the figures of enrollments whose LMS reports what the rules say."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lms_pipeline.accounts.rules import Rule
from lms_pipeline.metrics.completion import EnrollmentsFile, open_completion
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline_tests.metrics.test_properties import ZONES, account
from lms_pipeline_tests.support import plain_metrics
from lms_pipeline_tests.support.enrollment_files import DAY, enrollments_file, write
from lms_pipeline_tests.support.full import choose

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Rows = list[dict[str, Any]]

OF_RULES = {"due_source", "mandatory_source", "n_due_by_rule", "n_required_by_rule", "left_out_by_rule"}
"""Figures that say that a rule gave a value."""


def add_months(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def report_as_lms(rows: Rows, rules: Sequence[Rule], zone: str) -> Rows:
    """Return the enrollments as an LMS would report them that knows what each course's rule says."""
    sets = plain_metrics.Sets(rows, DAY, zone)
    reported = []
    by_course = {rule.course: rule for rule in rules}
    for position, (row, read) in enumerate(zip(rows, sets.rows, strict=True)):
        rule = by_course[row["course_id"]]
        if row["user_id"] in rule.excluded_learners:
            continue
        new = dict(row)
        if rule.mandatory is not None and (row["is_mandatory"] is None or rule.override):
            new["is_mandatory"] = rule.mandatory
        due_day = sets.on(read["due_at"])
        said = find_first_due_day(sets.on(read["began"]), rule)
        first = said if said is not None and (due_day is None or rule.override) else due_day
        if rule.renew_months is not None and (due_day is None or rule.override) and read["status"] != "failed":
            is_superseded = position in sets.sets["superseded"]
            first = renew(new, read, first, rule.renew_months, sets, is_superseded=is_superseded)
        new["due_at"] = None if first is None else datetime.combine(first, time(), UTC)
        reported.append(new)
    return reported


def find_first_due_day(began: date | None, rule: Rule) -> date | None:
    if rule.due_days is None:
        return rule.due_on
    return None if began is None else began + timedelta(days=rule.due_days)


def renew(
    new: dict[str, Any],
    read: dict[str, Any],
    first: date | None,
    months: int,
    sets: plain_metrics.Sets,
    *,
    is_superseded: bool,
) -> date | None:
    """Return the due day of an enrollment that is renewed, and change its status if its completion has lapsed.

    One that is superseded does not lapse: the later one is its renewal.
    """
    completed = sets.on(read["completed_at"])
    if completed is None:
        return first
    renewal_day, began = add_months(completed, months), sets.on(read["began"])
    if read["status"] in plain_metrics.OPEN and not is_superseded:
        return renewal_day
    counts = read["status"] in {"completed", "passed"}
    if counts and renewal_day <= DAY and not is_superseded:
        new |= {"status": "overdue", "progress_percent": None}
        return renewal_day
    if first is not None and (completed <= first or (began is not None and completed < add_months(began, months))):
        return first
    return renewal_day if counts and renewal_day > DAY else None


def build_rules(course: str) -> st.SearchStrategy[Rule]:
    """Build the rules of a course."""
    named = partial(st.builds, Rule, account=st.just("acme"), course=st.just(course), override=st.booleans())
    return named(
        mandatory=st.sampled_from((None, True, False)),
        due_days=st.sampled_from((None, 0, 1, 27, 28, 90)),
        renew_months=st.sampled_from((None, 1, 2, 3, 12)),
        excluded_learners=st.sampled_from(((), ("a",), ("b", "c"))),
    ) | named(
        due_on=st.sampled_from((date(2026, 1, 31), date(2026, 3, 30), date(2026, 3, 31), date(2026, 4, 1))),
        renew_months=st.sampled_from((None, 1, 2)),
    )


def read_dates_only(rows: Rows) -> Rows:
    """Return the enrollments without due dates that mean "no date": these are counted, whatever a rule says."""
    return [row | {"due_at": None} if (row["due_at"] or DAY_ZERO) <= DAY_ZERO else row for row in rows]


DAY_ZERO = datetime(1980, 1, 1, tzinfo=UTC)


@settings(
    max_examples=choose(2, 5),  # of three rules each
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 2**32),
    size=st.integers(60, 120),
    zone=st.sampled_from(ZONES),
    rules=st.tuples(*map(build_rules, "xyz")),
)
def test_rules_count_like_an_lms_that_reports_what_they_say(
    tmp_path: Path, seed: int, size: int, zone: str, rules: tuple[Rule, ...]
) -> None:
    rows = read_dates_only(account(seed, size))
    ruled = enrollments_file(write(tmp_path / "ruled.parquet", rows), zone=zone, rules=dict(enumerate(rules, 1)))
    reported = enrollments_file(write(tmp_path / "reported.parquet", report_as_lms(rows, rules, zone)), zone=zone)
    ignored = OF_RULES | ({"left_out_by_role"} if any(rule.excluded_learners for rule in rules) else set())
    assert compute_tables(ruled, ignored) == compute_tables(reported, ignored)


def compute_tables(file: EnrollmentsFile, ignored: set[str]) -> dict[str, Rows]:
    """Return the rows of every metric table, without the ignored figures."""
    with open_completion(file) as read_rows:
        return {
            table.name: [
                {name: value for name, value in row.items() if name not in ignored}
                for row in read_rows(table).read_all().to_pylist()
            ]
            for table in METRIC_TABLES
        }
