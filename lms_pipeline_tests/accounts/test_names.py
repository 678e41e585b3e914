"""The name of an account in place of its id: the refusal names the id."""

from datetime import date

import pytest

from lms_pipeline.accounts.names import find_account, find_id_by_name, load_display_names
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.errors import WrongUseError
from lms_pipeline.settings import Settings

DAY = date(2026, 3, 2)


@pytest.fixture
def settings(tmp_path):
    options = tmp_path / "accounts.toml"
    options.write_text('[accounts.b2]\nname = "Beta Works"\n', encoding="utf-8")
    settings = Settings(data_dir=tmp_path / "data", accounts_file=options)
    registry = Registry.open(settings)
    for account_id, name in [
        ("a1", "Acme Ltd"),
        ("b2", "beta"),
        ("c3", "Twins"),
        ("d4", "Twins"),
        ("e5", "a1"),
        ("f6", None),
    ]:
        registry.add(account_id, name=name, first_day=DAY)
    return settings


@pytest.mark.parametrize(
    ("text", "account_id"),
    [
        ("Acme Ltd", "a1"),
        (" acme ltd ", "a1"),
        ("Beta Works", "b2"),
        ("beta", "b2"),
        ("Twins", None),
        ("Acme", None),
        ("", None),
    ],
)
def test_the_name_of_exactly_one_account_is_found_by_option_or_registry(settings, text, account_id):
    assert find_id_by_name(settings, text) == account_id


def test_the_option_of_one_account_and_the_registry_of_another_are_one_name_of_two(settings):
    Registry.open(settings).add("g7", name="Beta Works", first_day=DAY)
    assert find_id_by_name(settings, "Beta Works") is None


def test_a_name_of_two_accounts_is_shown_with_their_ids(settings):
    """The option gives `b2` its name, so that `beta` is no name of two."""
    shown = load_display_names(settings)
    assert (shown["a1"], shown["b2"], shown["c3"], shown["d4"]) == (
        "Acme Ltd",
        "Beta Works",
        "Twins (c3)",
        "Twins (d4)",
    )


@pytest.mark.parametrize("account_id", ["a1", "b2", "f6"])
def test_an_id_is_an_id_even_if_another_account_has_it_as_its_name(settings, account_id):
    assert find_account(settings, account_id).id == account_id


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Acme Ltd", "'Acme Ltd' is the name of a1: use the id."),
        ("beta", "'beta' is the name of b2: use the id."),
        ("Twins", "Account Twins is not in the registry: "),
        ("no such name", "'no such name' can't be an account id: "),
    ],
)
def test_a_name_is_refused_with_the_id(settings, text, sentence):
    with pytest.raises(WrongUseError) as refused:
        find_account(settings, text)
    assert str(refused.value).startswith(sentence)
