"""Commands that take the id of an account: its name is refused with the id."""

import pytest


@pytest.fixture
def named(command):
    """A command in an installation with the account `a1`, whose name is `Acme Ltd`."""
    assert command("accounts", "add", "a1", "--name", "Acme Ltd").status == 0
    return command


@pytest.mark.parametrize(
    "words",
    [
        ["materialize", "--account", "Acme Ltd"],
        ["report", "--account", "Acme Ltd"],
        ["replay", "--account", "Acme Ltd", "--date", "2026-03-10"],
        ["doctor", "--account", "Acme Ltd"],
        ["accounts", "remove", "Acme Ltd"],
        ["housekeeping", "--remove", "Acme Ltd", "2026-03-10"],
        ["housekeeping", "--dry-run", "--remove", "acme ltd", "2026-03-10"],
    ],
    ids=" ".join,
)
def test_a_name_in_place_of_an_id_is_one_sentence_with_the_id(named, words):
    done = named(*words)
    assert (done.status, done.out) == (2, "")
    (sentence,) = done.err.splitlines()
    assert sentence.lower() == "error: 'acme ltd' is the name of a1: use the id."


def test_options_under_a_name_are_reported_with_the_id(named, monkeypatch, tmp_path):
    named("accounts", "add", "b2", "--name", "Beta")
    (tmp_path / "accounts.toml").write_text("[accounts.beta]\nanswer_days = 3\n", encoding="utf-8")
    monkeypatch.setenv("LMS_ACCOUNTS_FILE", str(tmp_path / "accounts.toml"))
    done = named("materialize", "--select", "warehouse")
    assert (
        "options of beta, which is not in the registry: they have no effect; it is the name of b2: use the id."
        in done.err
    )
