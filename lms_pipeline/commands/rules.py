"""`lms-pipeline rules`: the rules of LMS_RULES_FILE, and which courses they match.

Belongs here: output. Not here: reading and matching rules (`accounts/`), what is wrong with them (`checks/rules.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.accounts.rule_matching import MatchedRules, match_rules
from lms_pipeline.accounts.rules import EFFECTS, Rule, load_rules, select_rules
from lms_pipeline.commands.common import load_settings
from lms_pipeline.commands.terminal import build_cell, echo, print_table
from lms_pipeline.errors import LakeError, format_count
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.tables.pulled import COURSES, UNIFIED_ENROLLMENTS

if TYPE_CHECKING:
    from lms_pipeline.metrics.rules import LeftOut


@click.command()
@click.option("--courses", "lists_courses", is_flag=True, help="Also print each course that a rule matches.")
def rules(*, lists_courses: bool) -> None:
    """Print the rules for courses, what they match in the latest snapshot of each account, and what is wrong with them.

    Exits with 1 if a rule matches nothing or contradicts another one, or a snapshot can't be read, with 2 if LMS_RULES_FILE
    can't be used. Prints no id of a learner.
    """
    from lms_pipeline.checks.rules import describe_unknown_accounts, describe_unmatched, find_unmatched_rules
    from lms_pipeline.lake.index_sync import read_index  # imports Arrow

    settings = load_settings()
    found = load_rules(settings.rules_file)
    if not found:
        echo("There are no rules: LMS_RULES_FILE names a file with them, see docs/rules.md.")
        return
    data = DataDir.open(settings)
    accounts = Registry.open(settings).read_accounts()
    active = {account.id for account in accounts if account.is_active}
    days = read_index(data, lambda index: index.find_latest_days(UNIFIED_ENROLLMENTS.name))
    latest = {account_id: Partition(account_id, day) for account_id, day in days.items() if account_id in active}
    data.fetch([COURSES, UNIFIED_ENROLLMENTS], latest.values())
    titles, damaged = _read_titles(data, latest.values())
    matched = {account_id: match_rules(select_rules(found, account_id), titles[account_id]) for account_id in titles}
    left_out = _count_left_out(data, found, {account_id: latest[account_id] for account_id in titles}, titles)
    _print_rules(found, matched, left_out)
    if lists_courses:
        _print_courses(found, titles)
    faults = [
        *describe_unknown_accounts(found, {account.id for account in accounts}),
        *describe_unmatched(found, find_unmatched_rules(found, latest, titles.get)),
        *(f"{account_id}: {one}" for account_id, result in matched.items() for one in result.contradictions),
    ]
    if not latest:
        echo("No active account has a snapshot yet: the rules are matched with none.")
    for fault in faults:
        echo(f"{fault[0].upper()}{fault[1:]}." if fault.startswith("rule") else f"{fault}.", err=True)
    for sentence in (*_describe_left_out(left_out), *damaged):
        echo(sentence, err=True)
    if faults or damaged:
        sys.exit(1)


def _read_titles(
    data: DataDir, partitions: Iterable[Partition]
) -> tuple[dict[str, Mapping[str, str | None]], list[str]]:
    """Return the titles of the courses of each account that can be read, and a sentence for each of the others."""
    from lms_pipeline.metrics.rules import find_courses

    titles: dict[str, Mapping[str, str | None]] = {}
    damaged = []
    for partition in partitions:
        try:
            titles[partition.account_id] = find_courses(data, partition)
        except LakeError as error:
            damaged.append(str(error))
    return titles, damaged


def _count_left_out(
    data: DataDir,
    rules: Mapping[int, Rule],
    latest: Mapping[str, Partition],
    titles: Mapping[str, Mapping[str, str | None]],
) -> dict[int, LeftOut]:
    """Return what each rule leaves out of all accounts together, by number; only of rules that exclude somebody."""
    from lms_pipeline.metrics.rules import LeftOut, count_left_out

    sums: dict[int, LeftOut] = {}
    for account_id, partition in latest.items():
        in_force = select_rules(rules, account_id)
        for number, one in count_left_out(data, partition, in_force, titles[account_id]).items():
            before = sums.get(number, LeftOut(0, 0))
            sums[number] = LeftOut(before.enrollments + one.enrollments, before.of + one.of)
    return sums


def _describe_left_out(left_out: Mapping[int, LeftOut]) -> Iterator[str]:
    """Yield a sentence for each rule whose exclusions are probably not what was meant."""
    for number, one in sorted(left_out.items()):
        if one.enrollments == 0:
            yield f"Rule {number} leaves out nobody: no enrollment in its courses has one of its learners or roles."
        elif one.enrollments == one.of:
            yield f"Rule {number} leaves out every enrollment in its courses."


def _print_rules(
    rules: Mapping[int, Rule], matched: Mapping[str, MatchedRules], left_out: Mapping[int, LeftOut]
) -> None:
    table = Table("rule", "account", "courses", "says", "matches", "leaves out", box=box.SIMPLE)
    for number, rule in rules.items():
        counts = [count for result in matched.values() if (count := result.counts.get(number))]
        matches = f"{format_count(sum(counts), 'course')} of {format_count(len(counts), 'account')}" if counts else "-"
        table.add_row(
            str(number),
            build_cell(rule.account),
            build_cell(rule.courses),
            build_cell(_describe(rule)),
            matches,
            f"{one.enrollments:,} of {one.of:,}" if (one := left_out.get(number)) else "-",
        )
    print_table(table)


def _print_courses(rules: Mapping[int, Rule], titles: Mapping[str, Mapping[str, str | None]]) -> None:
    table = Table("rule", "account", "course", "title", box=box.SIMPLE)
    for number, rule in rules.items():
        for account_id, of_account in titles.items():
            for course in match_rules(select_rules({number: rule}, account_id), of_account).courses:
                title = of_account[course.course_id] or ""
                table.add_row(str(number), account_id, build_cell(course.course_id), build_cell(title))
    print_table(table)


def _describe(rule: Rule) -> str:
    """Return what a rule says; of learners only their number, since their ids are personal data."""
    said = {name: getattr(rule, name) for name in EFFECTS}
    said["excluded_learners"] = len(rule.excluded_learners) or None
    said["excluded_roles"] = ", ".join(rule.excluded_roles) or None
    said["override"] = rule.override or None
    return "; ".join(f"{name} = {str(value).lower()}" for name, value in said.items() if value is not None)
