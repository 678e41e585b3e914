"""Checks of the rules for courses."""

from datetime import UTC, date, datetime

import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.accounts.rules import hash_rules, load_rules, select_rules
from lms_pipeline.checks.base import open_subject
from lms_pipeline.checks.fleet import load_fleet, rules_match
from lms_pipeline.checks.rules import has_rules, rules_apply
from lms_pipeline.lake.paths import Partition
from lms_pipeline.settings import Settings
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION
from lms_pipeline.tables.pulled import COURSES, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.damages import damage_pages
from lms_pipeline_tests.support.lake_files import FIRST, enrollment, publish

ACME = Partition("acme", FIRST)


def rule(account="acme", where='course = "c1"', says="mandatory = true"):
    return f'[[rules]]\naccount = "{account}"\n{where}\n{says}\n'


@pytest.fixture
def use(files):
    """Return settings with a file of these rules."""

    def use(*rules):
        path = files.data.root / "rules.toml"
        path.write_text("".join(rules), "utf-8")
        return Settings(
            data_dir=files.data.root, rules_file=path, start_date=FIRST, frozen_now=datetime(2026, 3, 2, 12, tzinfo=UTC)
        )

    return use


@pytest.fixture
def find(files, use):
    """Return the finding of `rules_apply` about an account with the courses c1 (Fire) and c2, whose figures are current."""

    def find(*rules, digest=None):
        settings = use(*rules)
        files.put_pulled(enrollment("ann", "c1", course_title="Fire"), enrollment("ann", "c2"))
        current = "" if digest is not None else hash_rules(select_rules(load_rules(settings.rules_file), "acme"))
        files.put({}, table=ACCOUNT_COMPLETION, **({"rules": current or digest} if current or digest else {}))
        with open_subject(settings, files.data, ACME) as open_table:
            return rules_apply(open_table(ACCOUNT_COMPLETION))

    return find


def counts(rules, courses, unmatched, contradictions):
    return {"rules": rules, "courses_with_rules": courses, "unmatched": unmatched, "contradictions": contradictions}


class TestRulesOfAnAccount:
    def test_pass_if_each_matches_a_course(self, find):
        found = find(rule(), rule("*", 'title = "fire"', "due_days = 30"), rule("other", 'course = "x"'))
        assert (found.passed, found.figures) == (True, counts(2, 1, 0, 0))
        assert found.message == "2 rules are in force, for 1 course."

    def test_pass_without_any(self, find):
        found = find()
        assert (found.passed, found.message) == (True, "No rule is in force for the account.")

    def test_pass_if_one_for_all_accounts_matches_none_of_this_one(self, find):
        found = find(rule("*", 'title = "Water*"'))
        assert (found.passed, found.figures) == (True, counts(1, 0, 1, 0))

    def test_fail_if_one_that_names_it_matches_nothing(self, find):
        found = find(rule(), rule(where='title = "Water*"'))
        assert (found.passed, found.figures) == (False, counts(2, 1, 1, 0))
        assert found.message == 'Rule 2 matches no course of acme (title = "Water*").'

    def test_fail_if_two_contradict_each_other(self, find):
        found = find(rule(says="due_days = 30"), rule("*", 'title = "F*"', "due_on = 2026-06-30"))
        assert (found.passed, found.figures) == (False, counts(2, 1, 0, 1))
        assert found.message == "Rules 1 and 2 contradict each other in the due day of course c1."

    def test_fail_if_the_figures_are_those_of_other_rules(self, find):
        found = find(rule(), digest="other")
        assert not found.passed
        assert found.message == (
            "The figures of account_completion were computed with other rules: materialize the metrics of the day again."
        )

    def test_fail_if_another_metric_table_has_the_figures_of_other_rules(self, files, find):
        for table in (COURSE_COMPLETION, ATTENTION):
            files.put(table=table, rules="other")
        assert find(rule()).message.startswith("The figures of course_completion, attention were computed with other")

    def test_fail_if_the_figures_are_those_of_rules_that_are_gone(self, find):
        assert not find(digest="other").passed

    def test_fail_if_the_file_can_not_be_used(self, files, use):
        files.put({}, table=ACCOUNT_COMPLETION)
        with open_subject(use(rule(says="due_day = 30")), files.data, ACME) as open_table:
            found = rules_apply(open_table(ACCOUNT_COMPLETION))
        assert not found.passed
        assert "rule 1: there is no key 'due_day'" in found.message

    @pytest.mark.parametrize(
        ("has_file", "digest", "applies"),
        [(False, None, False), (True, None, True), (False, "other", True)],
        ids=["without rules", "with a file", "with figures of rules that are gone"],
    )
    def test_apply_if_there_is_a_file_or_figures_by_rules(self, files, use, has_file, digest, applies):
        files.put({}, table=ACCOUNT_COMPLETION, **({"rules": digest} if digest else {}))
        settings = use(rule()) if has_file else use().model_copy(update={"rules_file": None})
        with open_subject(settings, files.data, ACME) as open_table:
            assert has_rules(open_table(ACCOUNT_COMPLETION)) is applies

    def test_name_the_first_fault_and_list_them_all(self, find):
        found = find(rule(where='course = "x"'), rule(where='course = "y"'))
        assert found.message == 'Rule 1 matches no course of acme (course = "x"); and 1 more.'
        assert len(found.rows) == 2

    def test_have_no_id_of_a_learner_in_their_finding(self, find):
        found = find(rule(where='course = "x"', says='excluded_learners = ["ann"]'))
        assert "ann" not in f"{found.message} {found.rows}"


class TestRulesOfTheFleet:
    @pytest.fixture
    def find(self, files, use):
        """Return the finding about `acme` with the course c1 (Fire), `beta` with c2 (Water), and `new` without a snapshot."""
        registry = Registry(files.data)
        for account_id in ("acme", "beta", "new"):
            registry.add(account_id, name=None, first_day=FIRST)
        publish(files.data, "acme", FIRST, enrollment("ann", "c1", course_title="Fire"))
        publish(files.data, "beta", date(2026, 3, 1), enrollment("ann", "c2", course_title="Water"))
        return lambda *rules: rules_match(load_fleet(files.data, use(*rules), frozenset()))

    def test_pass_if_each_matches_a_course_of_some_account(self, find):
        found = find(rule(), rule("*", 'title = "water"'), rule("new", 'course = "c9"'))
        assert (found.passed, found.message, found.figures) == (True, "3 rules can be used.", {"rules": 3, "wrong": 0})

    def test_fail_if_one_matches_no_course_of_any_account(self, find):
        found = find(rule(), rule("*", 'title = "Wind"'), rule("beta"))
        assert (found.passed, found.figures) == (False, {"rules": 3, "wrong": 2})
        assert found.message == "2 faults in LMS_RULES_FILE: `lms-pipeline rules` lists all of them."
        assert found.rows == [
            {"rule": 'rule 2 matches no course of any account (title = "Wind")'},
            {"rule": 'rule 3 matches no course of beta (course = "c1")'},
        ]

    def test_fail_if_one_names_an_account_that_is_not_registered(self, find):
        found = find(rule("acne"))
        assert found.rows == [{"rule": "rule 1 names the account acne, which is not in the registry"}]

    def test_fail_if_the_file_can_not_be_used(self, find):
        found = find(rule(says="due_day = 30"))
        assert not found.passed
        assert "there is no key 'due_day'" in found.rows[0]["rule"]

    def test_pass_if_one_matches_a_listed_course_without_an_enrollment(self, files, find):
        publish(files.data, "acme", FIRST, {"course_id": "c7", "course_title": "Wind"}, table=COURSES)
        assert find(rule("*", 'title = "Wind"'), rule("acme", 'title = "Fire"')).passed

    def test_read_no_enrollments_where_courses_are_listed_and_counted(self, files, find):
        for account_id, course in (("acme", "c1"), ("beta", "c2")):
            publish(files.data, account_id, FIRST, {"course_id": course, "course_title": "Old"}, table=COURSES)
            publish(
                files.data, account_id, FIRST, {"course_id": course, "course_title": "New"}, table=COURSE_COMPLETION
            )
            files.data.file(UNIFIED_ENROLLMENTS, Partition(account_id, FIRST)).write_bytes(b"not read")
        found = find(rule("*", 'title = "New"'), rule("*", 'title = "Old"'))
        assert found.rows == [{"rule": 'rule 2 matches no course of any account (title = "Old")'}]

    def test_pass_if_a_snapshot_that_may_match_can_not_be_read(self, files, find):
        damage_pages(files.data.file(UNIFIED_ENROLLMENTS, ACME))
        assert find(rule("*", 'title = "Wind"')).passed
