"""Which courses of an account each rule matches, and what holds for each course.

Belongs here: matching ids and titles, and rules that contradict each other. Not here: the rules (`rules.py`), where the
courses come from (`metrics/rules.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from lms_pipeline.accounts.rules import EVERY_ACCOUNT, Rule, normalize_title
from lms_pipeline.tables.roles import normalize_role

_SAYS_NOTHING = Rule(account=EVERY_ACCOUNT)


class Contradiction(NamedTuple):
    """Rules that match the same course and give different values to a field. None of the values is used."""

    course_id: str
    field: str
    rules: tuple[int, ...]
    """The numbers of the rules in the file."""

    def __str__(self) -> str:
        """Return what contradicts, without the values."""
        *others, last = self.rules
        numbers = f"{', '.join(map(str, others))} and {last}"
        return f"rules {numbers} contradict each other in {self.field} of course {self.course_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseRule:
    """What the rules say about one course. None: they say nothing, or contradict each other."""

    course_id: str
    mandatory: bool | None = None
    mandatory_overrides: bool = False
    due_days: int | None = None
    due_on: date | None = None
    due_overrides: bool = False
    renew_months: int | None = None
    renewal_overrides: bool = False
    opens: date | None = None
    excluded_learners: tuple[str, ...] = ()
    excluded_roles: tuple[str, ...] = ()
    """In the form of `normalize_role`."""


@dataclass(frozen=True, slots=True)
class MatchedRules:
    """The rules of an account against its courses."""

    courses: tuple[CourseRule, ...]
    """One for each course that a rule matches, by id."""
    counts: Mapping[int, int]
    """The number of courses that each rule matches, by the number of the rule."""
    contradictions: tuple[Contradiction, ...]

    @property
    def unmatched(self) -> list[int]:
        """The rules that match no course."""
        return [number for number, count in self.counts.items() if not count]


def match_rules(rules: Mapping[int, Rule], titles: Mapping[str, str | None]) -> MatchedRules:
    """Match the rules in force for an account with its courses, given as titles by id.

    A course without a title has an empty one.
    """
    compiled = {number: _compile(rule) for number, rule in rules.items()}
    counts = dict.fromkeys(rules, 0)
    courses: list[CourseRule] = []
    contradictions: list[Contradiction] = []
    for course_id, title in sorted(titles.items()):
        compared = normalize_title(title or "")
        matching = {
            number: rule
            for number, rule in rules.items()
            if (rule.course == course_id if (found := compiled[number]) is None else found.fullmatch(compared))
        }
        for number in matching:
            counts[number] += 1
        if matching:
            course, found_here = _merge(course_id, matching)
            courses.append(course)
            contradictions += found_here
    return MatchedRules(tuple(courses), counts, tuple(contradictions))


def _compile(rule: Rule) -> re.Pattern[str] | None:
    """Return the pattern of the titles, None for a rule with the id of a course. Brackets are text: titles have them.

    What follows a `*` is found at its first place after it, and is looked for nowhere else (an atomic group): a later place
    leaves less for the rest. Otherwise a few stars take more time than there is.
    """
    if rule.title is None:
        return None
    begin, *between = (_escape(piece) for piece in normalize_title(rule.title).split("*"))
    if not between:
        return re.compile(begin, re.DOTALL)
    *between, end = between
    found_first = "".join(f"(?>.*?{piece})" for piece in between)
    return re.compile(f"{begin}{found_first}.*{end}", re.DOTALL)


def _escape(text: str) -> str:
    return "".join("." if character == "?" else re.escape(character) for character in text)


def _merge(course_id: str, rules: Mapping[int, Rule]) -> tuple[CourseRule, list[Contradiction]]:
    """Merge the rules that match a course: lists add up; different values of another field contradict each other."""
    said: dict[str, dict[int, tuple[object, ...]]] = {
        "mandatory": {n: (rule.mandatory, rule.override) for n, rule in rules.items() if rule.mandatory is not None},
        "the due day": {
            n: (rule.due_days, rule.due_on, rule.override)
            for n, rule in rules.items()
            if rule.due_days is not None or rule.due_on is not None
        },
        "renew_months": {n: (rule.renew_months, rule.override) for n, rule in rules.items() if rule.renew_months},
        "opens": {n: (rule.opens,) for n, rule in rules.items() if rule.opens is not None},
    }
    contradictions = [
        Contradiction(course_id, name, tuple(values)) for name, values in said.items() if len(set(values.values())) > 1
    ]
    refused = {contradiction.field for contradiction in contradictions}
    used = {name: rules[min(values)] for name, values in said.items() if values and name not in refused}
    mandatory, due, renewal, opens = (used.get(name, _SAYS_NOTHING) for name in said)
    course = CourseRule(
        course_id=course_id,
        mandatory=mandatory.mandatory,
        mandatory_overrides=mandatory.override,
        due_days=due.due_days,
        due_on=due.due_on,
        due_overrides=due.override,
        renew_months=renewal.renew_months,
        renewal_overrides=renewal.override,
        opens=opens.opens,
        excluded_learners=tuple(sorted({one for rule in rules.values() for one in rule.excluded_learners})),
        excluded_roles=tuple(sorted({normalize_role(one) for rule in rules.values() for one in rule.excluded_roles})),
    )
    return course, contradictions
