"""Rules for courses whose LMS has no due dates or mandatory flag: the tables `[[rules]]` of `LMS_RULES_FILE`.

Belongs here: the keys of a rule, their limits, and the digest of rules. Not here: which courses a rule matches
(`rule_matching.py`), what a rule changes in the figures (`metrics/sql/rules.sql`).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import msgspec

from lms_pipeline.accounts.toml_files import read_toml
from lms_pipeline.errors import SettingsError
from lms_pipeline.lake.paths import BadIdError, check_account_id
from lms_pipeline.tables.roles import normalize_role

EVERY_ACCOUNT = "*"
"""The `account` of a rule for all accounts."""
RULES_ENTRY = "rules"
"""The entry in the metadata of a file of metrics with the digest of the rules behind its figures."""
MAX_DUE_DAYS = 36_500
MAX_RENEW_MONTHS = 1_200


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What holds for the courses that one rule matches. A key that is not set changes nothing."""

    account: str
    """Id of the account, or `*`."""
    course: str | None = None
    """Id of the course. A rule has either this or `title`."""
    title: str | None = None
    """Pattern of the title: `*` is any text, `?` is any character; upper and lower case are the same."""
    mandatory: bool | None = None
    due_days: Annotated[int, msgspec.Meta(ge=0, le=MAX_DUE_DAYS)] | None = None
    """Calendar days from the day on which the enrollment began to its due day."""
    due_on: date | None = None
    """The due day of every enrollment."""
    renew_months: Annotated[int, msgspec.Meta(ge=1, le=MAX_RENEW_MONTHS)] | None = None
    """Months after which a completion counts no longer."""
    opens: date | None = None
    """The day from which learners can work in the course."""
    excluded_learners: tuple[str, ...] = ()
    """Ids of learners whose enrollments in the courses are left out."""
    excluded_roles: tuple[str, ...] = ()
    """Roles that are left out in the courses, in addition to those of the account."""
    override: bool = False
    """Whether the rule's due day, mandatory flag and renewals hold although the LMS has its own."""

    @property
    def courses(self) -> str:
        """The key and value by which the rule finds its courses, as in the file."""
        return f'course = "{self.course}"' if self.title is None else f'title = "{self.title}"'


_FORMS = {
    "account": 'the id of an account in quotes, or "*" for all accounts',
    "course": "the id of a course in quotes",
    "title": 'a pattern in quotes, like "Fire safety*"',
    "mandatory": "true or false",
    "due_days": f"a whole number from 0 to {MAX_DUE_DAYS:,}",
    "due_on": "a day without quotes, like 2026-06-30",
    "renew_months": f"a whole number from 1 to {MAX_RENEW_MONTHS:,}",
    "opens": "a day without quotes, like 2026-02-01",
    "excluded_learners": 'a list of ids in quotes, like ["17", "18"]',
    "excluded_roles": 'a list of texts in quotes, like ["mentor"]',
    "override": "true or false",
}
"""What each key must be. Values are in no message: an id of a learner is personal data."""
EFFECTS = ("mandatory", "due_days", "due_on", "renew_months", "opens", "excluded_learners", "excluded_roles")
"""The keys that change a figure."""
_KEY = re.compile(r"`\$\.(\w+)(?:\[[^]]*\])?`$")
"""The end of msgspec's messages about a value."""


_PLAIN_KEY = re.compile(r"[A-Za-z0-9_]{1,30}\Z")
"""A key that an error may repeat."""


def load_rules(path: Path | None) -> dict[int, Rule]:
    """Return the rules of `LMS_RULES_FILE` by their number in the file, from 1; none without a file.

    Raises:
        SettingsError: the file can't be read, or a rule can't be used. The sentence has the number of the rule and the
            key, and no value.
    """
    if path is None:
        return {}
    document = read_toml(path, "LMS_RULES_FILE")
    problem = "every rule must be a table [[rules]], and there is nothing else"
    tables = document.get("rules", [])
    if document.keys() - {"rules"} or not isinstance(tables, list):
        raise SettingsError(f"LMS_RULES_FILE {path} can't be used: {problem}; docs/rules.md has examples.")
    rules = {}
    for number, table in enumerate(tables, 1):
        rule, problem = _read_rule(table)
        if rule is None:
            raise SettingsError(f"LMS_RULES_FILE {path} can't be used: rule {number}: {problem}.")
        rules[number] = rule
    return rules


def select_rules(rules: Mapping[int, Rule], account_id: str) -> dict[int, Rule]:
    """Return the rules in force for an account: those that name it, and those for all accounts."""
    return {number: rule for number, rule in rules.items() if rule.account in {account_id, EVERY_ACCOUNT}}


def hash_rules(rules: Mapping[int, Rule]) -> str | None:
    """Return the SHA-256 of the rules in force for an account, None without any.

    It does not depend on their order, their layout in the file, or anything else that changes no figure.
    """
    canonical = sorted({msgspec.json.encode(_build_canonical(rule), order="sorted") for rule in rules.values()})
    return hashlib.sha256(b"\n".join(canonical)).hexdigest() if canonical else None


def normalize_title(title: str) -> str:
    """Return the form in which titles and patterns are compared: case, and blanks at the ends, do not matter."""
    return unicodedata.normalize("NFC", title.strip().casefold())


def _build_canonical(rule: Rule) -> dict[str, Any]:
    """Return what a rule says, without the keys that it leaves out, and the account, which may be `*`.

    Another text changes the digest of every installation, and fails the check of its metrics until all are computed again.
    So a new key is left out at its default. `override` was never left out.
    """
    canonical = {
        **msgspec.structs.asdict(rule),
        "account": None,
        "title": None if rule.title is None else normalize_title(rule.title),
        "excluded_learners": sorted(set(rule.excluded_learners)),
        "excluded_roles": sorted({normalize_role(role) for role in rule.excluded_roles}),
    }
    defaults = msgspec.structs.asdict(type(rule)(account=EVERY_ACCOUNT))
    return {
        name: value
        for name, value in canonical.items()
        if name == "override" or value not in (None, [], defaults[name])
    }


def _read_rule(table: object) -> tuple[Rule | None, str]:
    """Return a rule, or None and what is wrong with it."""
    if not isinstance(table, dict):
        return None, "it must be a table [[rules]]"
    if unknown := [name for name in table if name not in Rule.__struct_fields__]:
        # a value at the wrong place may be an address
        what = f"there is no key '{unknown[0]}'" if _PLAIN_KEY.match(unknown[0]) else "it has an unknown key"
        return None, f"{what}: docs/rules.md lists them"
    if "account" not in table:
        return None, f"it needs account, {_FORMS['account']}"
    try:
        rule = msgspec.convert(table, Rule)
    except msgspec.ValidationError as error:
        place = _KEY.search(str(error))
        key = place[1] if place else "account"
        return None, f"{key} must be {_FORMS[key]}"
    problem = _find_problem(rule)
    return (None, problem) if problem else (rule, "")


def _find_problem(rule: Rule) -> str | None:
    """Return what is wrong with a rule whose values have the right types."""
    is_set = {name for name in EFFECTS if getattr(rule, name) not in (None, ())}
    texts = {"course": [rule.course], "title": [rule.title]}
    texts |= {name: [*getattr(rule, name)] for name in ("excluded_learners", "excluded_roles")}
    problems = {
        f"account must be {_FORMS['account']}": not _is_account(rule.account),
        "it needs either course or title": (rule.course is None) == (rule.title is None),
        **{
            f"{name} must be {_FORMS[name]}": any(text is not None and not text.strip() for text in values)
            for name, values in texts.items()
        },
        "due_days and due_on exclude each other": {"due_days", "due_on"} <= is_set,
        "due_on is before opens": rule.due_on is not None and rule.opens is not None and rule.due_on < rule.opens,
        f"it changes nothing: set one of {', '.join(EFFECTS)}": not is_set,
        "override needs mandatory, due_days, due_on or renew_months": rule.override
        and not is_set & {"mandatory", "due_days", "due_on", "renew_months"},
    }
    return next((problem for problem, is_found in problems.items() if is_found), None)


def _is_account(text: str) -> bool:
    try:
        return text == EVERY_ACCOUNT or bool(check_account_id(text))
    except BadIdError:
        return False
