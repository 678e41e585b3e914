"""Which figures leave the lake: hand-worked cases, and no subtraction that gives away fewer learners than the limit."""

from collections import defaultdict
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_pipeline.report.small_groups import (
    ReasonCount,
    is_shown,
    round_share,
    select_account,
    select_curve,
    select_portfolio,
    select_reasons,
)
from lms_pipeline.tables.measures import RATES
from lms_pipeline_tests.support.report_lake import Enrolled, count, count_courses

LIMIT = 3


def choose(enrollments, limit=LIMIT, account_id="acme"):
    return select_account(account_id, count(enrollments), count_courses(enrollments), limit)


def select(enrollments, limit=LIMIT, account_id="acme"):
    selected = choose(enrollments, limit, account_id)
    return None if selected is None else selected.shown


def enroll(course, *learners, **more):
    return [Enrolled(learner, course, **more) for learner in learners]


@pytest.mark.parametrize(
    ("learners", "limit", "expected"), [(3, 3, True), (2, 3, False), (0, 1, True), (None, 1, True), (None, 2, False)]
)
def test_a_group_of_an_unknown_size_is_shown_without_a_limit_only(learners, limit, expected):
    assert is_shown(learners, limit) is expected


def test_a_course_of_unknown_size_is_left_out():
    enrollments = enroll("a", "u1", "u2", "u3")
    (known,) = count_courses(enrollments)
    unknown = {**known, "course_id": "b", "learners": None}
    selected = select_account("acme", count(enrollments), [known, unknown], LIMIT)
    assert selected is not None
    assert [course.course_id for course in selected.shown.courses] == ["a"]


class TestAnAccount:
    def test_is_the_sum_of_its_courses_with_enough_learners(self):
        shown = select(
            [*enroll("a", "u1", "u2", "u3", status="completed"), *enroll("b", "u1", "u9", status="completed")]
        )
        assert shown is not None
        assert [course.course_id for course in shown.courses] == ["a"]
        assert (shown.figures.enrollments, shown.figures.completed, shown.courses_left_out) == (3, 3, 1)

    def test_without_such_a_course_is_left_out(self):
        assert select([*enroll("a", "u1", "u2"), *enroll("b", "u3", "u4")]) is None

    def test_with_a_limit_of_one_is_its_row(self):
        enrollments = [*enroll("a", "u1", "u2"), *enroll("b", "u1")]
        shown = select(enrollments, limit=1)
        assert (shown.figures.learners, shown.figures.enrollments, len(shown.courses)) == (2, 3, 2)
        assert shown.figures.counts["n_open"] == 3

    def test_without_an_enrollment_and_limit_is_shown_with_zeros(self):
        shown = select([], limit=1)
        assert (shown.figures.enrollments, shown.figures.rates) == (0, {})

    def test_withholds_its_learners_if_a_course_is_left_out(self):
        assert select([*enroll("a", "u1", "u2", "u3"), *enroll("b", "u1")]).figures.learners is None

    def test_withholds_its_learners_if_few_are_missing_in_a_course(self):
        """4 learners, 3 of them in `a`: one is in `b` only."""
        assert select([*enroll("a", "u1", "u2", "u3"), *enroll("b", "u2", "u3", "u4")]).figures.learners is None

    def test_shows_its_learners_if_all_are_in_each_course(self):
        everybody = ("u1", "u2", "u3")
        assert select([*enroll("a", *everybody), *enroll("b", *everybody)]).figures.learners == 3

    def test_shows_no_other_count(self):
        assert select(enroll("a", "u1", "u2", "u3")).figures.counts == {}


class TestARate:
    def test_of_all_is_shown_with_its_counts(self):
        rate = select([*enroll("a", "u1", status="completed"), *enroll("a", "u2", "u3")]).figures.rates[
            "completion_rate"
        ]
        assert (rate.value, rate.counted, rate.of) == (1 / 3, 1, 3)

    def test_of_fewer_is_a_whole_percent_without_counts(self):
        due = [
            *enroll("a", "u1", "u2", is_due=True, status="completed", is_on_time=True),
            *enroll("a", "u3", is_due=True),
        ]
        rate = select([*due, *enroll("a", "u4", "u5", "u6")]).figures.rates["on_time_rate"]
        assert rate == (0.67, None, None)

    def test_with_a_small_denominator_is_withheld(self):
        shown = select([*enroll("a", "u1", "u2", is_due=True), *enroll("a", "u3", "u4", "u5")]).figures
        assert "on_time_rate" not in shown.rates
        assert "on_time_rate" in shown.withheld

    def test_with_few_outside_of_its_denominator_is_withheld(self):
        shown = select([*enroll("a", "u1", "u2", "u3", is_due=True), *enroll("a", "u4")]).figures
        assert "on_time_rate" in shown.withheld

    def test_with_nobody_outside_is_shown(self):
        shown = select(enroll("a", "u1", "u2", "u3", is_due=True)).figures
        assert shown.rates["on_time_rate"].value == 0

    def test_that_is_not_known_is_not_called_withheld(self):
        shown = select(enroll("a", "u1", "u2", "u3")).figures
        assert "on_time_rate" not in shown.withheld

    def test_counts_learners_not_their_enrollments(self):
        """Four due enrollments of one learner are no group of three."""
        retaken = enroll("a", "u1", "u1", "u1", "u1", is_due=True)
        assert "on_time_rate" in select([*retaken, *enroll("a", "u2", "u3", "u4")]).figures.withheld

    def test_of_learners_is_withheld_if_a_course_is_left_out(self):
        everybody = enroll("a", "u1", "u2", "u3", is_required=True)
        assert "learner_compliance_rate" in select(everybody).figures.rates
        assert "learner_compliance_rate" not in select([*everybody, *enroll("b", "u1")]).figures.rates


def add_up(accounts, limit=LIMIT):
    figures = select_portfolio(accounts, limit).figures
    assert figures is not None
    return figures


class TestAPortfolio:
    def test_is_the_sum_of_its_shown_accounts(self):
        large, small = enroll("a", "u1", "u2", "u3", status="completed"), enroll("a", "v1")
        portfolio = select_portfolio(
            [choose(large), choose(small, account_id="tiny"), choose(large, account_id="x")], LIMIT
        )
        assert portfolio.figures is not None
        assert (portfolio.figures.enrollments, portfolio.figures.completed, portfolio.figures.learners) == (6, 6, 6)
        assert portfolio.accounts_left_out == 1

    def test_without_a_shown_account_has_no_figures(self):
        assert select_portfolio([choose(enroll("a", "u1"))], LIMIT).figures is None

    def test_withholds_a_rate_that_an_account_withholds(self):
        shown = choose(enroll("a", "u1", "u2", "u3", is_due=True))
        withholding = choose([*enroll("a", "v1", "v2", is_due=True), *enroll("a", "v3", "v4", "v5")])
        assert "on_time_rate" not in add_up([shown, withholding]).rates
        assert "on_time_rate" in add_up([shown, shown]).rates

    def test_withholds_the_rate_of_learners_if_a_course_of_one_account_is_left_out(self):
        """The account with all of its courses alone would stand for both: 100%, and half of the other's are not compliant."""
        everybody = enroll("a", "u1", "u2", "u3", is_required=True, status="completed")
        others = [*enroll("a", "v1", "v2", "v3", is_required=True), *enroll("b", "v1")]
        figures = add_up([choose(everybody), choose(others, account_id="beta")])
        assert "learner_compliance_rate" not in figures.rates
        assert "learner_compliance_rate" in figures.withheld

    def test_divides_summed_numerators_by_summed_denominators(self):
        """3 of 4 and 1 of 6: 40%, where the mean of both rates is 46%."""
        first = [*enroll("a", "u1", "u2", "u3", status="completed"), *enroll("a", "u4")]
        second = [*enroll("a", "v1", status="completed"), *enroll("a", "v2", "v3", "v4", "v5", "v6")]
        rate = add_up([choose(first, 1), choose(second, 1)], 1).rates["completion_rate"]
        assert rate == (0.4, 4, 10)

    def test_adds_up_every_count_of_its_accounts(self):
        rows = [
            {**count(enroll("a", "u1")), "after_day": after, "progress_n": after + 1, "time_spent_hours": hours}
            for after, hours in ((2, 0.5), (3, None))
        ]
        counts = add_up([select_account("acme", row, [], 1) for row in rows], 1).counts
        assert (counts["after_day"], counts["progress_n"], counts["time_spent_hours"]) == (5, 7, 0.5)


flags = st.booleans()
enrolled = st.builds(
    Enrolled,
    learner=st.sampled_from([f"u{number}" for number in range(9)]),
    course=st.sampled_from("abcd"),
    status=st.sampled_from(["completed", "in_progress", "enrolled"]),
    is_due=flags,
    is_on_time=st.just(value=False),
    is_required=flags,
    is_dropped=st.just(value=False),
)
accounts = st.lists(st.lists(enrolled, max_size=40), min_size=1, max_size=3)


def list_groups(selected, all_enrollments):
    """Yield the enrollments behind each published count: of `all`, and of the learners' number."""
    for shown, enrollments in zip(selected, all_enrollments, strict=True):
        if shown is None:
            continue
        ids = {course.course_id for course in shown.courses}
        for course_id in ids:
            yield [(shown.account_id, one) for one in enrollments if one.course == course_id]
        yield [(shown.account_id, one) for one in enrollments if one.course in ids]


def count_learners(group):
    return len({(account_id, one.learner) for account_id, one in group})


@settings(max_examples=150, deadline=None)
@given(accounts, st.integers(2, 5))
def test_no_subtraction_of_counts_leaves_fewer_learners_than_the_limit(fleet, limit):
    fleet = [[one._replace(learner=f"{n}-{one.learner}") for one in account] for n, account in enumerate(fleet)]
    selected = [select(account, limit, f"acc{number}") for number, account in enumerate(fleet)]
    groups = [set(enumerate_group(group)) for group in list_groups(selected, fleet)]
    portfolio = set().union(*groups) if groups else set()
    for one, other in combinations([*groups, portfolio], 2):
        for rest in (one - other, other - one):
            assert not rest or count_learners([(key[0], key[1]) for key in rest]) >= limit


def enumerate_group(group):
    """Return the enrollments of a group, each of equal ones by its number."""
    seen: dict[Enrolled, int] = defaultdict(int)
    for account_id, one in group:
        seen[one] += 1
        yield account_id, one, seen[one]


@settings(max_examples=150, deadline=None)
@given(accounts, st.integers(2, 5))
def test_no_subtraction_of_learners_leaves_fewer_than_the_limit(fleet, limit):
    for number, account in enumerate(fleet):
        shown = select(account, limit, f"acc{number}")
        if shown is None or shown.figures.learners is None:
            continue
        others = {shown.figures.learners - course.figures.learners for course in shown.courses}
        assert all(other == 0 or other >= limit for other in others)
        assert all(course.figures.learners >= limit for course in shown.courses)


@settings(max_examples=150, deadline=None)
@given(accounts, st.integers(2, 5))
def test_a_rate_with_a_small_group_inside_or_outside_is_never_shown(fleet, limit):
    members = {
        "on_time_rate": lambda one: one.is_due,
        "compliance_rate": lambda one: one.is_required,
        "completion_rate_started": lambda one: one.status != "enrolled",
        "learner_compliance_rate": lambda one: one.is_required,
    }
    for account in fleet:
        shown = select(account, limit)
        for course in shown.courses if shown else ():
            group = [one for one in account if one.course == course.course_id]
            for name, is_member in members.items():
                if name not in course.figures.rates:
                    continue
                inside = {one.learner for one in group if is_member(one)}
                outside = {one.learner for one in group if not is_member(one)}
                outside -= inside if name == "learner_compliance_rate" else set()
                assert len(inside) >= limit
                assert not outside or len(outside) >= limit


@settings(max_examples=60, deadline=None)
@given(accounts)
def test_without_a_limit_the_portfolio_is_its_accounts_added_up(fleet):
    fleet = [
        [one._replace(learner=f"{n}-{one.learner}", course=f"{n}-{one.course}") for one in account]
        for n, account in enumerate(fleet)
    ]
    shown = add_up([choose(account, 1) for account in fleet], 1)
    whole = count([one for account in fleet for one in account])
    assert (shown.enrollments, shown.completed, shown.learners) == (
        whole["n_all"],
        whole["n_completed"],
        whole["learners"],
    )
    for rate in RATES:
        expected = whole[rate.name]
        assert (shown.rates[rate.name].value if rate.name in shown.rates else None) == expected


def curve_row(day, at_risk, share):
    names = ("completed_share", "left_share", "open_share")
    shares = dict.fromkeys(names, share) | {f"{name}_{end}": share for name in names for end in ("low", "high")}
    return {"day": day, "at_risk": at_risk, **shares}


class TestACurve:
    ROWS = (curve_row(5, 12, 0.456), curve_row(0, 20, 0.123), curve_row(9, 2, 0.5))

    def test_ends_where_too_few_are_at_risk(self):
        assert [point.day for point in select_curve(self.ROWS, 3)] == [0, 5]

    def test_has_whole_percents_and_no_counts(self):
        points = select_curve(self.ROWS, 3)
        assert [(point.completed, point.completed_low, point.at_risk) for point in points] == [
            (0.12, 0.12, None),
            (0.46, 0.46, None),
        ]

    def test_counts_learners_at_risk_not_their_enrollments(self):
        """Of 12 at risk on day 5, 9 may be further enrollments of the same learners: 3 learners."""
        assert [point.day for point in select_curve(self.ROWS, 3, repeated=9)] == [0, 5]
        assert [point.day for point in select_curve(self.ROWS, 3, repeated=10)] == [0]

    def test_is_whole_without_a_limit(self):
        points = select_curve(self.ROWS, 1)
        assert [(point.day, point.at_risk, point.completed) for point in points] == [
            (0, 20, 0.123),
            (5, 12, 0.456),
            (9, 2, 0.5),
        ]


@pytest.mark.parametrize(
    ("limit", "shown"),
    [(1, [("overdue", 10, 5), ("idle", 4, 2)]), (3, [("overdue", 9, None)]), (4, [("overdue", 12, None)]), (6, [])],
)
def test_reasons_of_few_learners_are_withheld_and_the_others_rounded(limit, shown):
    assert select_reasons([ReasonCount("overdue", 10, 5), ReasonCount("idle", 4, 2)], limit) == shown


@given(st.integers(1, 500), st.integers(2, 30))
def test_a_rounded_number_is_that_of_as_many_numbers_as_the_limit(enrollments, limit):
    (shown,) = select_reasons([ReasonCount("idle", enrollments, limit)], limit)
    same = [
        number
        for number in range(max(0, enrollments - limit), enrollments + limit + 1)
        if select_reasons([ReasonCount("idle", number, limit)], limit) == [shown]
    ]
    assert len(same) == limit or shown.enrollments == 0
    assert abs(shown.enrollments - enrollments) <= limit / 2


@pytest.mark.parametrize(
    ("share", "rounded"),
    [(0, 0), (1, 1), (2_999 / 3_000, 0.995), (1 / 3_000, 0.005), (0.994, 0.99), (0.996, 0.995), (0.674, 0.67)],
)
def test_a_share_in_whole_percents_is_never_that_of_nobody_or_everybody(share, rounded):
    assert round_share(share) == rounded
