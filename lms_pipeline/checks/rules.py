"""Checks of the rules for courses: what `LMS_RULES_FILE` says against the courses that there are.

Belongs here: rules that match nothing, contradict each other, or changed since the figures were computed. Not here: what a
rule says (`accounts/rules.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress

from lms_pipeline.accounts.rule_matching import MatchedRules, match_rules
from lms_pipeline.accounts.rules import EVERY_ACCOUNT, RULES_ENTRY, Rule, hash_rules, load_rules, select_rules
from lms_pipeline.checks.base import MAX_EXAMPLE_ROWS, Finding, Subject
from lms_pipeline.errors import LakeError, SettingsError, choose_form, format_count
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.tables.catalog import METRIC_TABLES


def rules_apply(subject: Subject) -> Finding:
    """Each rule of the account matches a course, no two rules contradict each other, and the figures are those of the rules."""
    try:
        rules = select_rules(load_rules(subject.rules_file), subject.account_day.account_id)
    except SettingsError as error:
        return Finding(passed=False, message=str(error))
    from lms_pipeline.metrics.rules import find_courses  # imports Arrow

    matched = match_rules(rules, find_courses(subject.data, subject.account_day) if rules else {})
    faults = [
        *describe_unmatched(rules, [n for n in matched.unmatched if rules[n].account != EVERY_ACCOUNT]),
        *map(str, matched.contradictions),
    ]
    if others := _find_tables_of_other_rules(subject, hash_rules(rules)):
        faults.append(
            f"the figures of {', '.join(others)} were computed with other rules: materialize the metrics of the day again"
        )
    figures = {
        "rules": len(rules),
        "courses_with_rules": len(matched.courses),
        "unmatched": len(matched.unmatched),
        "contradictions": len(matched.contradictions),
    }
    rows = [{"rule": fault} for fault in faults[:MAX_EXAMPLE_ROWS]]
    return Finding(not faults, _build_message(rules, matched, faults), figures, rows)


def has_rules(subject: Subject) -> bool:
    """Return whether there are rules, or figures that were computed with some."""
    return subject.rules_file is not None or bool(_find_tables_of_other_rules(subject, None))


def _find_tables_of_other_rules(subject: Subject, digest: str | None) -> list[str]:
    """Return the names of the metric tables of the day whose rules have another digest."""
    return [
        table.name
        for table in METRIC_TABLES
        if subject.path(table).exists() and subject.open_table(table).metadata.get(RULES_ENTRY) != digest
    ]


def find_unmatched_rules(
    rules: Mapping[int, Rule], account_ids: Iterable[str], read_titles: Callable[[str], Mapping[str, str | None] | None]
) -> list[int]:
    """Return the numbers of the rules that match no course of these accounts.

    A rule that names an account of which no titles can be read is none of them: it may match there. No more titles are
    read than it takes to match every rule.

    Args:
        rules: all rules, by number.
        account_ids: the accounts that have a snapshot.
        read_titles: returns the titles of an account's courses by id; None if its snapshot can't be read.
    """
    found: set[int] = set()
    examined: set[int] = set()
    unknown: set[int] = set()
    for account_id in account_ids:
        in_force = select_rules(rules, account_id)
        examined |= in_force.keys()
        open_rules = {number: rule for number, rule in in_force.items() if number not in found}
        titles = read_titles(account_id) if open_rules else {}
        if titles is None:
            unknown |= in_force.keys()
        else:
            found |= {number for number, count in match_rules(open_rules, titles).counts.items() if count}
    return sorted(examined - found - unknown)


def find_unmatched_in_lake(rules: Mapping[int, Rule], data: DataDir, latest: Iterable[Partition]) -> list[int]:
    """Return the numbers of the rules that match no course of these snapshots, one of each account.

    Raises:
        StoreError: the store can't be used.
    """
    from lms_pipeline.metrics.rules import find_listed_courses  # imports Arrow

    partitions = {partition.account_id: partition for partition in latest}

    def read_titles(account_id: str) -> Mapping[str, str | None] | None:
        with suppress(LakeError):  # `warehouse_is_whole` reports it
            return find_listed_courses(data, partitions[account_id])
        return None

    return find_unmatched_rules(rules, partitions, read_titles)


def describe_unknown_accounts(rules: Mapping[int, Rule], registered: Collection[str]) -> Iterator[str]:
    """Yield a phrase for each rule whose account is not in the registry."""
    for number, rule in rules.items():
        if rule.account != EVERY_ACCOUNT and rule.account not in registered:
            yield f"rule {number} names the account {rule.account}, which is not in the registry"


def describe_unmatched(rules: Mapping[int, Rule], numbers: Iterable[int]) -> Iterator[str]:
    """Yield a phrase for each of these rules, which match no course."""
    for number in numbers:
        rule = rules[number]
        whose = "of any account" if rule.account == EVERY_ACCOUNT else f"of {rule.account}"
        yield f"rule {number} matches no course {whose} ({rule.courses})"


def _build_message(rules: Mapping[int, Rule], matched: MatchedRules, faults: list[str]) -> str:
    if faults:
        more = f"; and {len(faults) - 1:,} more" if len(faults) > 1 else ""
        return f"{faults[0][0].upper()}{faults[0][1:]}{more}."
    if not rules:
        return "No rule is in force for the account."
    return (
        f"{format_count(len(rules), 'rule')} {choose_form(len(rules), 'is', 'are')} in force, for "
        f"{format_count(len(matched.courses), 'course')}."
    )
