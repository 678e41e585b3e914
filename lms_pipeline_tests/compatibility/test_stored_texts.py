"""Fetch plans and replay contexts are stored as texts, and compared as texts with those of other days.

Another text costs every account that is fetched by pair a full day of calls, and every replay is refused.
"""

from __future__ import annotations

import json
from datetime import date
from hashlib import sha256

import pytest

from lms_pipeline.accounts.rules import Rule, hash_rules
from lms_pipeline_tests.support.older_data import (
    ACADEMY,
    BRANCH,
    FIRST,
    PORTAL,
    PUBLISHED,
    SECOND,
    THIRD,
    context_text,
    plan_text,
    read_context,
    read_options,
)

ATTEMPTED = [*PUBLISHED, (ACADEMY, THIRD), (BRANCH, THIRD)]
"""Accounts and days with kept responses."""
MANY_OPTIONS = """
strategy = "roster"
remote_data = "drop"
page_size = 100
remote_query = { archived = "no", fields = ["status"], nested = { since = 2025 } }
rotation_days = 3
workers = 8
calls_per_hour = 10000
calls_per_snapshot = 9
max_hours = 2.5
carry_errors = 0.5
"""
"""Of these, the first four decide which requests are sent."""


@pytest.mark.parametrize(
    ("options", "plan"),
    [
        ("", '[null,"pair","auto","keep",{},500,null]'),
        (
            MANY_OPTIONS,
            '[null,"pair","roster","drop",{"archived":"no","fields":["status"],"nested":{"since":2025}},100,null]',
        ),
        (
            "strategy = 'pairs'\npairs_file = 'pairs of today.csv'\nidentity = 'pair'\nname = 'Acme'",
            '[null,"pair","pairs","keep",{},500,"pairs of today.csv"]',
        ),
        ("remote_data = 'raw_format'", '[null,"pair","auto","raw_format",{},500,null]'),
    ],
)
def test_the_text_of_a_fetch_plan_stays_byte_for_byte(options, plan):
    assert plan_text(options) == plan


def test_the_text_of_the_fetch_plan_of_a_sweep_stays_byte_for_byte():
    assert plan_text("", identity="enrollment_id") == '[null,"enrollment_id","auto","keep",{},500,null]'


def test_the_text_of_the_fetch_plan_of_lists_names_them(written):
    options = read_options(ACADEMY)
    plan = plan_text(options, identity="enrollment_id", tables=("learners", "courses"))
    assert plan == '[["courses","learners"],"enrollment_id","auto","keep",{},12,null]'
    [attempt] = written.read_attempts(ACADEMY, SECOND, ".lists.sqlite")
    assert (attempt["plan"], attempt["is_finished"], attempt["kept"]) == (plan, 1, 3)


@pytest.mark.parametrize(("account_id", "day"), ATTEMPTED)
def test_the_stored_text_of_a_fetch_plan_is_that_of_the_same_options(written, account_id, day):
    identity = "enrollment_id" if account_id == ACADEMY else "pair"
    plan = plan_text(read_options(account_id), identity=identity)
    assert [attempt["plan"] for attempt in written.read_attempts(account_id, day)] == [plan]
    if (account_id, day) in PUBLISHED and account_id != ACADEMY:
        assert written.read_roster_metadata(account_id, day)["plan"] == plan


@pytest.mark.parametrize(("previous_day", "written_as"), [(None, "false"), (FIRST, f'true,"previous_day":"{FIRST}"')])
def test_the_text_of_a_replay_context_stays_byte_for_byte(previous_day, written_as):
    assert context_text("rotation_days = 3", previous_day) == (
        '{"run_id":"run-1","strategy":"roster","why":"its metadata require user[id]","is_settled":true,'
        f'"may_carry":true,"rotation_days":3,"has_before":{written_as}}}'
    )


@pytest.mark.parametrize(("account_id", "day"), ATTEMPTED)
def test_a_stored_replay_context_is_read(written, account_id, day):
    [attempt] = written.read_attempts(account_id, day)
    context = json.loads(attempt["circumstances"])
    assert read_context(attempt["circumstances"]) == context
    strategies = {ACADEMY: "sweep", PORTAL: "roster", BRANCH: "learner"}
    assert context["strategy"] == strategies[account_id]
    assert context["has_before"] == ((account_id, day) in {(PORTAL, SECOND), (BRANCH, THIRD)})


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ([Rule(account="acme", title=" Fire*", due_days=30)], '{"due_days":30,"override":false,"title":"fire*"}'),
        (
            [
                Rule(account="*", course="c1", mandatory=False, due_on=date(2026, 6, 30), override=True),
                Rule(
                    account="*",
                    course="125",
                    renew_months=12,
                    opens=date(2026, 5, 1),
                    excluded_learners=("18", "17"),
                    excluded_roles=("Mentor ",),
                ),
            ],
            (
                '{"course":"125","excluded_learners":["17","18"],"excluded_roles":["mentor"],"opens":"2026-05-01",'
                '"override":false,"renew_months":12}\n'
                '{"course":"c1","due_on":"2026-06-30","mandatory":false,"override":true}'
            ),
        ),
    ],
    ids=["one rule", "every key"],
)
def test_the_digest_of_rules_is_that_of_the_same_text(rules, text):
    """Another one fails the check of the rules for every account, until all metrics are computed again."""
    assert hash_rules(dict(enumerate(rules, 1))) == sha256(text.encode()).hexdigest()
