"""Which settings the metrics of an account use."""

import pytest

from lms_pipeline.errors import SettingsError
from lms_pipeline.metrics.options import MetricOptions
from lms_pipeline.settings import Settings
from lms_pipeline.tables.roles import EXCLUDED_ROLES


@pytest.fixture
def load(tmp_path):
    """Return the options of `acme` with these files of accounts and rules."""

    def load(accounts="", rules=""):
        (tmp_path / "accounts.toml").write_text(accounts, "utf-8")
        (tmp_path / "rules.toml").write_text(rules, "utf-8")
        settings = Settings(accounts_file=tmp_path / "accounts.toml", rules_file=tmp_path / "rules.toml")
        return MetricOptions.load(settings, "acme")

    return load


def test_an_account_without_options_has_the_default_roles_and_no_rules(load):
    assert load() == MetricOptions(EXCLUDED_ROLES, {})


def test_an_account_has_its_own_roles_and_rules(load):
    rules = "\n".join(f'[[rules]]\naccount = "{one}"\ncourse = "c1"\nmandatory = true' for one in ("other", "acme"))
    found = load('[accounts.acme]\nexcluded_roles = ["mentor"]', rules)
    assert (found.excluded_roles, list(found.rules)) == (("mentor",), [2])


def test_a_rule_that_can_not_be_used_stops_the_metrics_of_every_account(load):
    with pytest.raises(SettingsError, match="rule 1: there is no key 'due'"):
        load(rules='[[rules]]\naccount = "other"\ndue = 1')
