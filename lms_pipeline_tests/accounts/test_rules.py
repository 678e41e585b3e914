"""The rules file: what it accepts, how it refuses the rest, and the digest of the rules in force."""

from datetime import date

import pytest

from lms_pipeline.accounts.rules import EFFECTS, Rule, hash_rules, load_rules, select_rules
from lms_pipeline.errors import SettingsError


@pytest.fixture
def read(tmp_path):
    """Return the rules of a file with this text."""

    def read(text):
        (tmp_path / "rules.toml").write_text(text, "utf-8")
        return load_rules(tmp_path / "rules.toml")

    return read


def test_without_a_file_there_are_no_rules():
    assert load_rules(None) == {}


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "rules = []\n"])
def test_a_file_may_be_empty(read, text):
    assert read(text) == {}


def test_every_key_is_read(read):
    rules = read(
        """
        [[rules]]
        account = "*"
        title = "Fire*"
        mandatory = true
        due_days = 30
        renew_months = 12
        opens = 2026-02-01
        override = true

        [[rules]]
        account = "62f44730-dd91-461e-bd6a-aedd9e0ad79d"
        course = "125"
        due_on = 2026-06-30
        excluded_learners = ["17"]
        excluded_roles = ["mentor"]
        """
    )
    assert rules == {
        1: Rule(
            account="*",
            title="Fire*",
            mandatory=True,
            due_days=30,
            renew_months=12,
            opens=date(2026, 2, 1),
            override=True,
        ),
        2: Rule(
            account="62f44730-dd91-461e-bd6a-aedd9e0ad79d",
            course="125",
            due_on=date(2026, 6, 30),
            excluded_learners=("17",),
            excluded_roles=("mentor",),
        ),
    }


COURSE = 'account = "a"\ncourse = "c"\n'


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (f"{COURSE}due_day = 3", r"there is no key 'due_day': docs/rules\.md lists them\.$"),
        (
            'course = "c"\nmandatory = true',
            r'it needs account, the id of an account in quotes, or "\*" for all accounts',
        ),
        ('account = "a b"\ncourse = "c"\nmandatory = true', "account must be the id of an account in quotes"),
        ('account = 5\ncourse = "c"\nmandatory = true', "account must be the id of an account in quotes"),
        ('account = "a"\nmandatory = true', "it needs either course or title"),
        (f'{COURSE}title = "T"\nmandatory = true', "it needs either course or title"),
        ('account = "a"\ncourse = " "\nmandatory = true', "course must be the id of a course in quotes"),
        ('account = "a"\ncourse = 125\nmandatory = true', "course must be the id of a course in quotes"),
        ('account = "a"\ntitle = ""\nmandatory = true', "title must be a pattern in quotes"),
        ('account = "a"\ntitle = ["T"]\nmandatory = true', "title must be a pattern in quotes"),
        (f'{COURSE}mandatory = "yes"', "mandatory must be true or false"),
        (f"{COURSE}mandatory = 1", "mandatory must be true or false"),
        (f"{COURSE}due_days = -1", r"due_days must be a whole number from 0 to 36,500"),
        (f"{COURSE}due_days = 36501", r"due_days must be a whole number from 0 to 36,500"),
        (f"{COURSE}due_days = 1.5", "due_days must be a whole number"),
        (f"{COURSE}due_days = true", "due_days must be a whole number"),
        (f"{COURSE}due_on = 2026-06-30T00:00:00Z", "due_on must be a day without quotes, like 2026-06-30"),
        (f'{COURSE}due_on = "30.6.2026"', "due_on must be a day without quotes"),
        (f"{COURSE}due_on = 2026-06-30\ndue_days = 3", "due_days and due_on exclude each other"),
        (f"{COURSE}due_on = 2026-06-30\nopens = 2026-07-01", "due_on is before opens"),
        (f"{COURSE}renew_months = 0", "renew_months must be a whole number from 1 to 1,200"),
        (f"{COURSE}renew_months = 1201", "renew_months must be a whole number from 1 to 1,200"),
        (f'{COURSE}opens = "soon"', "opens must be a day without quotes"),
        (
            f'{COURSE}excluded_learners = "17"',
            r'excluded_learners must be a list of ids in quotes, like \["17", "18"\]',
        ),
        (f"{COURSE}excluded_learners = [17]", "excluded_learners must be a list of ids in quotes"),
        (f'{COURSE}excluded_learners = ["", "17"]', "excluded_learners must be a list of ids in quotes"),
        (f'{COURSE}excluded_roles = ["mentor", " "]', "excluded_roles must be a list of texts in quotes"),
        (f"{COURSE}override = true", "it changes nothing: set one of mandatory, due_days, due_on, "),
        (COURSE, "it changes nothing: set one of mandatory"),
        (
            f'{COURSE}override = true\nexcluded_roles = ["m"]',
            "override needs mandatory, due_days, due_on or renew_months",
        ),
        (f"{COURSE}override = 1\nmandatory = true", "override must be true or false"),
    ],
)
def test_a_rule_that_can_not_be_used_is_one_sentence_with_its_number_and_key(read, rule, problem):
    first = f"[[rules]]\n{COURSE}mandatory = true\n"
    with pytest.raises(
        SettingsError, match=rf"^LMS_RULES_FILE \S+rules\.toml can't be used: rule 2: {problem}"
    ) as refused:
        read(f"{first}[[rules]]\n{rule}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ['[rules]\naccount = "a"', "[[rule]]", "rules = 5", "[[rules]]\n[accounts.a]\n"])
def test_a_file_of_something_else_is_refused(read, text):
    with pytest.raises(SettingsError, match=r"^LMS_RULES_FILE \S+ can't be used: .*\[\[rules\]\]"):
        read(text)


def test_an_element_that_is_no_table_is_refused(read):
    with pytest.raises(SettingsError, match=r"rule 1: it must be a table \[\[rules\]\]\.$"):
        read("rules = [5]")


@pytest.mark.parametrize("text", ["[[rules]", "account: a"])
def test_a_file_that_is_no_toml_is_refused(read, text):
    with pytest.raises(SettingsError, match=r"^LMS_RULES_FILE \S+ can't be used: "):
        read(text)


def test_a_file_that_is_missing_is_refused(tmp_path):
    with pytest.raises(
        SettingsError, match=r"^LMS_RULES_FILE \S+ can't be read: No such file or directory; correct the"
    ):
        load_rules(tmp_path / "rules.toml")


@pytest.mark.parametrize(
    "rule", ['excluded_learners = ["ann-17", ""]', 'course = "ann-17"', 'due_days = "ann-17"', 'due_on = "ann-17"']
)
def test_a_value_is_in_no_message(read, rule):
    with pytest.raises(SettingsError) as refused:
        read(f'[[rules]]\naccount = "a"\ntitle = "T"\nmandatory = true\n{rule}\n')
    assert "ann-17" not in str(refused.value)


def test_an_account_has_the_rules_that_name_it_and_those_for_all(read):
    rules = read(
        "\n".join(
            f'[[rules]]\naccount = "{account}"\ncourse = "c"\nmandatory = true' for account in ("a", "b", "*", "a")
        )
    )
    assert list(select_rules(rules, "a")) == [1, 3, 4]


def rule(**keys):
    return Rule(**{"account": "a", "title": "Fire*", "due_days": 30, **keys})


def test_without_rules_there_is_no_digest():
    assert hash_rules({}) is None


@pytest.mark.parametrize(
    "rules",
    [
        {2: rule(), 1: rule(mandatory=True)},
        {1: rule(mandatory=True), 2: rule(), 3: rule()},
        {1: rule(mandatory=True, account="*"), 2: rule(title=" FIRE*")},
    ],
)
def test_the_digest_does_not_depend_on_what_changes_no_figure(rules):
    assert hash_rules(rules) == hash_rules({1: rule(), 2: rule(mandatory=True)})


@pytest.mark.parametrize(
    "keys",
    [
        {"title": "Fires*"},
        {"title": None, "course": "Fire*"},
        {"due_days": 0},
        {"due_days": None, "due_on": date(2026, 6, 30)},
        {"mandatory": False},
        {"mandatory": True},
        {"renew_months": 12},
        {"opens": date(2026, 6, 30)},
        {"excluded_learners": ("17",)},
        {"excluded_roles": ("mentor",)},
        {"override": True},
    ],
)
def test_the_digest_depends_on_every_key(keys):
    digests = {hash_rules({1: one}) for one in (rule(), rule(**keys), rule(due_days=None, mandatory=None))}
    assert len(digests) == 3


def test_the_order_of_learners_and_the_spelling_of_roles_do_not_change_the_digest():
    one = rule(excluded_learners=("17", "18"), excluded_roles=("Mentor", "coach"))
    other = rule(excluded_learners=("18", "17", "17"), excluded_roles=("coach", " mentor "))
    assert hash_rules({1: one}) == hash_rules({1: other})


class LaterRule(Rule, frozen=True, kw_only=True):
    """A rule of a later version, with keys of every kind."""

    weight: int = 1
    is_optional: bool = False
    tags: tuple[str, ...] = ()
    note: str | None = None


def test_a_key_of_a_later_version_does_not_change_the_digest_at_its_default():
    later = LaterRule(account="acme", title="Fire*", due_days=30)
    assert hash_rules({1: later}) == hash_rules({1: Rule(account="acme", title="Fire*", due_days=30)})


@pytest.mark.parametrize("keys", [{"weight": 2}, {"is_optional": True}, {"tags": ("a",)}, {"note": "x"}])
def test_a_key_of_a_later_version_changes_the_digest_otherwise(keys):
    later = LaterRule(account="acme", title="Fire*", due_days=30, **keys)
    assert hash_rules({1: later}) != hash_rules({1: Rule(account="acme", title="Fire*", due_days=30)})


def test_every_key_of_a_rule_names_a_course_or_changes_a_figure():
    assert {*EFFECTS, "account", "course", "title", "override"} == set(Rule.__struct_fields__)


@pytest.mark.parametrize("key", ['"ann@example.org"', '"ann example"', "x" * 31, '"é"', '""'])
def test_a_key_that_may_be_an_address_is_not_repeated(read, key):
    with pytest.raises(SettingsError) as caught:
        read(f'[[rules]]\naccount = "acme"\n{key} = true\n')
    assert str(caught.value).endswith("rule 1: it has an unknown key: docs/rules.md lists them.")


def test_a_byte_order_mark_is_skipped(read):
    rules = read('\ufeff[[rules]]\naccount = "acme"\ncourse = "c1"\nmandatory = true\n')
    assert rules[1].mandatory is True
