"""`lms-pipeline rules`: what it prints, and its exit status."""

import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.damages import damage_pages
from lms_pipeline_tests.support.lake_files import FIRST, enrollment, publish


@pytest.fixture
def write_rules(tmp_path, monkeypatch):
    """Return a function that writes the rules file of this installation."""
    monkeypatch.setenv("LMS_RULES_FILE", str(tmp_path / "rules.toml"))
    return lambda text: (tmp_path / "rules.toml").write_text(text, "utf-8")


@pytest.fixture
def snapshots(tmp_path):
    """Two accounts, each with a course on fire safety, and another one."""
    data = DataDir(tmp_path / "data")
    for account_id in ("acme", "beta"):
        Registry(data).add(account_id, name=None, first_day=FIRST)
        rows = enrollment("u17", "c1", course_title="Fire safety"), enrollment("u17", account_id, course_title="Other")
        publish(data, account_id, FIRST, *rows)


def words(line):
    return " ".join(line.split())


@pytest.mark.usefixtures("snapshots")
def test_each_rule_is_printed_with_what_it_matches(command, write_rules):
    write_rules(
        '[[rules]]\naccount = "*"\ntitle = "fire*"\nmandatory = false\ndue_days = 0\noverride = true\n'
        '[[rules]]\naccount = "acme"\ncourse = "acme"\nexcluded_learners = ["u17"]\nexcluded_roles = ["mentor"]\n'
    )
    done = command("rules")
    lines = [words(line) for line in done.out.splitlines()]
    assert (done.status, done.err) == (0, "Rule 2 leaves out every enrollment in its courses.\n")
    assert '1 * title = "fire*" mandatory = false; due_days = 0; override = true 2 courses of 2 accounts -' in lines, (
        done.out
    )
    assert (
        '2 acme course = "acme" excluded_learners = 1; excluded_roles = mentor 1 course of 1 account 1 of 1' in lines
    ), done.out


@pytest.mark.usefixtures("snapshots")
def test_no_id_of_a_learner_is_printed(command, write_rules):
    write_rules('[[rules]]\naccount = "acme"\ncourse = "x"\nexcluded_learners = ["u17"]\n')
    done = command("rules", "--courses")
    assert "u17" not in done.out + done.err


@pytest.mark.parametrize(
    ("excluded", "leaves_out", "warning"),
    [
        ('excluded_learners = ["ann"]', "2 of 5", ""),
        ('excluded_roles = ["mentor"]', "1 of 5", ""),
        ('excluded_learners = ["ann"]\nexcluded_roles = ["MENTOR"]', "3 of 5", ""),
        (
            'excluded_learners = ["Ann"]',
            "0 of 5",
            "Rule 1 leaves out nobody: no enrollment in its courses has one of its learners or roles.\n",
        ),
        (
            'excluded_learners = ["ann", "bob", "cem", "dee"]',
            "5 of 5",
            "Rule 1 leaves out every enrollment in its courses.\n",
        ),
        ("mandatory = true", "-", ""),
    ],
)
def test_a_rule_is_printed_with_the_number_of_enrollments_that_it_leaves_out(
    command, write_rules, tmp_path, excluded, leaves_out, warning
):
    data = DataDir(tmp_path / "data")
    for account_id, learners in (("acme", ("ann", "bob", "cem")), ("beta", ("ann", "dee"))):
        Registry(data).add(account_id, name=None, first_day=FIRST)
        of_others = enrollment("ann", "other")
        roles = {"cem": "Mentor", "bob": "learner"}
        publish(data, account_id, FIRST, of_others, *(enrollment(one, "c1", role=roles.get(one)) for one in learners))
    write_rules(f'[[rules]]\naccount = "*"\ncourse = "c1"\n{excluded}\n')
    done = command("rules")
    assert (done.status, done.err) == (0, warning)
    assert any(words(line).endswith(f"2 courses of 2 accounts {leaves_out}") for line in done.out.splitlines()), (
        done.out
    )


@pytest.mark.usefixtures("snapshots")
def test_the_matched_courses_are_listed_on_demand(command, write_rules):
    write_rules('[[rules]]\naccount = "*"\ntitle = "fire*"\nmandatory = true\n')
    lines = [words(line) for line in command("rules", "--courses").out.splitlines()]
    assert {"1 acme c1 Fire safety", "1 beta c1 Fire safety"} <= set(lines)


@pytest.mark.usefixtures("snapshots")
def test_rules_that_match_nothing_or_contradict_each_other_end_with_one(command, write_rules):
    write_rules(
        '[[rules]]\naccount = "*"\ntitle = "Wind*"\nmandatory = true\n'
        '[[rules]]\naccount = "acne"\ncourse = "c1"\nmandatory = true\n'
        '[[rules]]\naccount = "beta"\ncourse = "c1"\ndue_days = 1\n'
        '[[rules]]\naccount = "*"\ntitle = "Fire*"\ndue_days = 2\n'
    )
    done = command("rules")
    assert done.status == 1
    assert done.err.splitlines() == [
        "Rule 2 names the account acne, which is not in the registry.",
        'Rule 1 matches no course of any account (title = "Wind*").',
        "beta: rules 3 and 4 contradict each other in the due day of course c1.",
    ]


@pytest.mark.usefixtures("snapshots")
def test_a_damaged_snapshot_does_not_stop_the_others_and_ends_with_one(command, write_rules, tmp_path):
    damage_pages(DataDir(tmp_path / "data").file(UNIFIED_ENROLLMENTS, Partition("acme", FIRST)))
    write_rules(
        '[[rules]]\naccount = "*"\ntitle = "Wind*"\nmandatory = true\n'
        '[[rules]]\naccount = "beta"\ncourse = "acme"\nmandatory = true\n'
        '[[rules]]\naccount = "beta"\ncourse = "c1"\nmandatory = true\n'
    )
    done = command("rules")
    unmatched, damaged = done.err.splitlines()
    assert done.status == 1
    assert unmatched == 'Rule 2 matches no course of beta (course = "acme").'
    assert "account_id=acme" in damaged
    assert "1 course of 1 account" in words(done.out)


@pytest.mark.parametrize("text", ["[[rules]]\ndue = 1\n", "[[rules]", 'rules = "x"'])
def test_a_file_that_can_not_be_used_ends_with_two(command, write_rules, text):
    write_rules(text)
    done = command("rules")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("Error: LMS_RULES_FILE ")


def test_without_a_file_it_says_so(command):
    done = command("rules")
    assert (done.status, done.out) == (
        0,
        "There are no rules: LMS_RULES_FILE names a file with them, see docs/rules.md.\n",
    )


def test_without_a_snapshot_nothing_is_matched(command, write_rules):
    write_rules('[[rules]]\naccount = "*"\ncourse = "c1"\nmandatory = true\n')
    done = command("rules")
    assert (done.status, done.err) == (0, "")
    assert done.out.endswith("No active account has a snapshot yet: the rules are matched with none.\n")
