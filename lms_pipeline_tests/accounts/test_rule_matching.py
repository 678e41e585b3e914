"""Which courses a rule matches, what the rules say about a course, and rules that contradict each other."""

from datetime import date
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.accounts.rule_matching import Contradiction, CourseRule, match_rules
from lms_pipeline.accounts.rules import EFFECTS, Rule


def rule(title=None, course=None, **keys):
    return Rule(account="a", title=title, course=course, **(keys or {"mandatory": True}))


@pytest.mark.parametrize(
    ("pattern", "title"),
    [
        ("Fire safety", "Fire safety"),
        ("fire SAFETY", " Fire Safety "),
        ("Fire*", "Fire safety"),
        ("*safety*", "Fire safety 2026"),
        ("Fire ??", "Fire 26"),
        ("*", "Fire"),
        ("*", ""),
        ("*", None),
        ("[2026] Fire", "[2026] Fire"),
        ("Fire (basic).", "fire (basic)."),
        ("STRASSE*", "Straße"),
        ("Cafe\u0301", "Café"),
        ("Fire*safety", "Fire\nsafety"),
    ],
)
def test_a_pattern_matches_whole_titles(pattern, title):
    assert match_rules({1: rule(pattern)}, {"c1": title}).counts == {1: 1}


@pytest.mark.parametrize(
    ("pattern", "title"),
    [
        ("Fire", "Fire safety"),
        ("safety", "Fire safety"),
        ("Fire ?", "Fire "),
        ("[F]ire", "Fire"),
        ("F.re", "Fire"),
        ("c1", "Fire"),
        ("?*", None),
    ],
)
def test_a_pattern_does_not_match_other_titles(pattern, title):
    assert match_rules({1: rule(pattern)}, {"c1": title}).counts == {1: 0}


def test_the_id_of_a_course_is_compared_as_it_is():
    matched = match_rules({1: rule(course="C1"), 2: rule(course="c*")}, {"c1": "C1", "C1": None})
    assert [course.course_id for course in matched.courses] == ["C1"]
    assert (matched.counts, matched.unmatched) == ({1: 1, 2: 0}, [2])


def test_rules_of_different_fields_add_up():
    rules = {
        1: rule("*", mandatory=True),
        2: rule("Fire", due_days=30, renew_months=12, override=True),
        3: rule(course="c1", opens=date(2026, 2, 1), excluded_learners=("18",), excluded_roles=("Coach",)),
        4: rule(course="c1", excluded_learners=("17", "18"), excluded_roles=("mentor",)),
    }
    matched = match_rules(rules, {"c1": "Fire", "c2": None})
    assert matched.contradictions == ()
    assert matched.courses == (
        CourseRule(
            course_id="c1",
            mandatory=True,
            due_days=30,
            due_overrides=True,
            renew_months=12,
            renewal_overrides=True,
            opens=date(2026, 2, 1),
            excluded_learners=("17", "18"),
            excluded_roles=("coach", "mentor"),
        ),
        CourseRule(course_id="c2", mandatory=True),
    )


def test_equal_values_do_not_contradict_each_other():
    matched = match_rules({1: rule("*", due_days=30), 2: rule(course="c1", due_days=30)}, {"c1": "Fire"})
    assert (matched.contradictions, matched.courses) == ((), (CourseRule(course_id="c1", due_days=30),))


@pytest.mark.parametrize(
    ("one", "other", "field"),
    [
        ({"mandatory": True}, {"mandatory": False}, "mandatory"),
        ({"due_days": 30}, {"due_days": 31}, "the due day"),
        ({"due_days": 0}, {"due_on": date(2026, 6, 30)}, "the due day"),
        ({"due_on": date(2026, 6, 29)}, {"due_on": date(2026, 6, 30)}, "the due day"),
        ({"due_days": 30}, {"due_days": 30, "override": True}, "the due day"),
        ({"renew_months": 12}, {"renew_months": 24}, "renew_months"),
        ({"opens": date(2026, 2, 1)}, {"opens": date(2026, 2, 2)}, "opens"),
    ],
)
@pytest.mark.parametrize("where", [{"title": "Fire*"}, {"course": "c1"}, {"title": "*"}])
def test_different_values_contradict_each_other_and_none_is_used(one, other, field, where):
    rules = {3: rule(course="c1", **one), 7: rule(**where, **other)}
    matched = match_rules(rules, {"c1": "Fire safety"})
    assert matched.contradictions == (Contradiction("c1", field, (3, 7)),)
    assert matched.courses == (CourseRule(course_id="c1"),)


def test_a_contradiction_concerns_one_field_of_one_course():
    rules = {1: rule("*", mandatory=True, due_days=30), 2: rule(course="c1", due_days=14)}
    matched = match_rules(rules, {"c1": "Fire", "c2": "Water"})
    assert matched.courses == (
        CourseRule(course_id="c1", mandatory=True),
        CourseRule(course_id="c2", mandatory=True, due_days=30),
    )


def test_a_contradiction_is_described_without_its_values():
    assert str(Contradiction("c1", "the due day", (1, 3, 4))) == (
        "rules 1, 3 and 4 contradict each other in the due day of course c1"
    )


VALUES: dict[str, Any] = {
    "mandatory": False,
    "due_days": 0,
    "due_on": date(2026, 6, 30),
    "renew_months": 12,
    "opens": date(2026, 5, 1),
    "excluded_learners": ("17",),
    "excluded_roles": ("mentor",),
}
"""A value of each key that changes a figure."""


@pytest.mark.parametrize("key", EFFECTS)
def test_every_key_that_changes_a_figure_is_said_about_the_course(key):
    [course] = match_rules({1: Rule(account="acme", course="c1", **{key: VALUES[key]})}, {"c1": None}).courses
    assert getattr(course, key) == VALUES[key]


@pytest.mark.parametrize(
    ("pattern", "is_matched"),
    [
        ("*a" * 10 + "*b", False),
        ("*a" * 10 + "*", True),
        ("*" * 50 + "b", False),
        ("*?" * 20 + "b", False),
        ("a*" * 61, False),
        ("a*" * 60, True),
    ],
    ids=["no end", "any end", "stars only", "any characters", "one too many", "all"],
)
def test_a_pattern_of_many_stars_is_matched_at_once(pattern, is_matched):
    """With backtracking, the first one does not end within a day."""
    assert match_rules({1: rule(pattern)}, {"c1": "a" * 60}).counts == {1: int(is_matched)}


@given(st.text("ab*?", min_size=1, max_size=7), st.text("ab", max_size=7))
def test_a_pattern_matches_what_the_shell_matches(pattern, title):
    assert match_rules({1: rule(pattern)}, {"c1": title}).counts == {1: int(fnmatchcase(title, pattern))}
