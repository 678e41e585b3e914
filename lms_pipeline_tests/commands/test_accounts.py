"""`lms-pipeline accounts`: listing, synchronizing, adding and removing accounts."""

from datetime import UTC, date, datetime, timedelta

import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.stopped import StoppedPull, save_stopped
from lms_pipeline.lake.waiting import WaitingPull, save_waiting
from lms_pipeline.truto.models import IntegratedAccount, Integration


def test_sync_adds_the_accounts_that_truto_lists(connected):
    done = connected("accounts", "sync")
    assert done.status == 0
    accounts, partitions = done.out.splitlines()
    assert accounts == "2 accounts, 2 of them active, 2 new."
    assert partitions == "2 accounts x 1 day are 2 partition keys; Dagster advises 100,000 at most."


@pytest.fixture
def others(tmp_path):
    """A registry with three active accounts of Truto that the sandbox does not list."""
    registry = Registry(DataDir(tmp_path / "data"))
    lms = Integration(name="otherlms", category="lms")
    accounts = [IntegratedAccount(account_id, integration=lms) for account_id in ("a", "b", "c")]
    registry.sync(accounts, integrations=(), day=date(2026, 3, 1))
    return registry


def test_sync_refuses_a_list_that_lacks_most_accounts_and_changes_nothing(connected, others):
    done = connected("accounts", "sync")
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        "Error: Truto's list of accounts lacks 3 of 3 active ones, and the registry was not changed: if they are really "
        "gone, run `lms-pipeline accounts sync --allow-drop` once.\n"
    )
    assert [account.id for account in others.read_active()] == ["a", "b", "c"]


def test_sync_that_allows_a_drop_marks_the_missing_accounts_as_gone(connected, others):
    done = connected("accounts", "sync", "--allow-drop")
    assert done.status == 0
    assert done.out.startswith("5 accounts, 2 of them active, 2 new.\n")
    assert [account.id for account in others.read_active()] == ["north", "south"]


def test_too_many_partition_keys_are_reported_with_a_remedy(command, monkeypatch):
    monkeypatch.setenv("LMS_START_DATE", "2000-01-01")
    *_, done = [command("accounts", "add", f"account-{number}") for number in range(11)]
    assert "105,226 partition keys" in done.err
    assert "list fewer days with LMS_PARTITION_DAYS" in done.err


def test_sync_without_a_token_names_the_setting(command):
    done = command("accounts", "sync")
    assert done.status == 2
    assert done.err.startswith("Error: There is no API token: set TRUTO_API_TOKEN")


def test_an_account_is_added_and_removed_by_hand(command):
    assert command("accounts", "add", "north", "--name", "North").out == "north is active, from 2026-03-10 on.\n"
    assert command("accounts", "remove", "north").out == "north is inactive; its data stays.\n"
    listed = command("accounts", "list").out
    assert "north" in listed
    assert "inactive" in listed


def test_an_id_that_can_not_be_a_path_is_refused(command):
    done = command("accounts", "add", "../../x")
    assert done.status == 2
    assert "can't be an account id" in done.err


def test_an_empty_registry_says_how_to_fill_it(command):
    assert "lms-pipeline accounts sync" in command("accounts", "list").out


@pytest.fixture
def options(tmp_path, monkeypatch):
    """An options file that names an account of the sandbox, and one with a misspelled id."""
    path = tmp_path / "accounts.toml"
    path.write_text("[accounts.north]\npage_size = 10\n[accounts.nroth]\npage_size = 10\n", encoding="utf-8")
    monkeypatch.setenv("LMS_ACCOUNTS_FILE", str(path))


UNKNOWN = (
    "LMS_ACCOUNTS_FILE has options of nroth, which is not in the registry: they have no effect; correct the id, or register "
    "the account with `lms-pipeline accounts sync` or `accounts add`.\n"
)


@pytest.mark.usefixtures("options")
def test_options_of_an_account_that_is_not_registered_are_reported(connected):
    synced, listed = connected("accounts", "sync"), connected("accounts", "list")
    assert (synced.status, synced.err) == (0, UNKNOWN)
    assert (listed.status, listed.err) == (0, UNKNOWN)
    assert connected("doctor").err.startswith(UNKNOWN)
    assert connected("materialize", "--dry-run").err == UNKNOWN


@pytest.mark.usefixtures("options")
def test_options_of_an_account_are_reported_for_an_empty_registry_too(command):
    listed = command("accounts", "list")
    assert listed.out.startswith("No accounts yet")
    assert listed.err == UNKNOWN.replace("nroth", "north") + UNKNOWN


def test_one_account_is_counted_in_the_singular(command, connected, monkeypatch):
    sync = "lms_pipeline.accounts.sync.sync_with_truto"
    command("accounts", "add", "north")
    monkeypatch.setattr(sync, lambda *_args, **_more: ["north"])
    assert connected("accounts", "sync").out.splitlines() == [
        "1 account, 1 active, 1 new.",
        "1 account x 1 day is 1 partition key; Dagster advises 100,000 at most.",
    ]


def test_sync_without_an_lms_among_the_accounts_says_what_to_do(connected, monkeypatch):
    monkeypatch.setattr("lms_pipeline.accounts.sync.sync_with_truto", lambda *_args, **_more: [])
    done = connected("accounts", "sync")
    assert done.status == 0
    assert done.out == (
        "No account that Truto lists is an LMS: name their integrations in LMS_INTEGRATIONS, or register single accounts with "
        "`lms-pipeline accounts add ID`.\n"
    )


def test_sync_of_no_account_into_an_empty_registry_says_what_to_do(connected, sandbox, monkeypatch):
    monkeypatch.setattr("lms_pipeline.truto.client.TrutoClient.fetch_account_list", lambda _client: ([], 0, 0))
    done = connected("accounts", "sync")
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        "Error: Truto lists no account, and none is registered: connect an LMS in Truto, or set TRUTO_API_TOKEN to a token of "
        "the environment that has one.\n"
    )


def wait_until(tmp_path, account_id, at):
    """Store that the pull of an account continues at an instant."""
    data = DataDir(tmp_path / "data")
    pull = WaitingPull(
        account_id=account_id,
        day=date(2026, 3, 10),
        run_id="run-1",
        since=at - timedelta(minutes=50),
        at=at,
        subject="The LMS",
        spent_seconds=3_000,
        responses=1,
    )
    data.pull_folder(pull.partition).mkdir(parents=True)
    save_waiting(data, pull)


def test_the_list_says_why_a_pull_stopped(command, tmp_path):
    command("accounts", "add", "north")
    before = command("accounts", "list").out
    reason = "The list has no end after 6 records (GET /unified/lms/users of account north): report it to Truto."
    at = datetime(2026, 3, 11, 8, 35, tzinfo=UTC)
    save_stopped(
        DataDir(tmp_path / "data"), StoppedPull(account_id="north", day=date(2026, 3, 10), at=at, reason=reason)
    )
    assert command("accounts", "list").out == (
        f"{before}north on 2026-03-10 stopped at 2026-03-11 08:35 UTC: {reason}\n"
    )


def test_the_list_says_when_a_pull_continues_in_the_zone_of_the_days(command, tmp_path, monkeypatch):
    monkeypatch.setenv("LMS_TIMEZONE", "Asia/Kolkata")
    monkeypatch.setattr("lms_pipeline.commands.accounts.utc_now", lambda: datetime(2026, 3, 11, 8, tzinfo=UTC))
    for account_id in ("north", "south", "east"):
        command("accounts", "add", account_id)
    assert "continues at" not in command("accounts", "list").out
    wait_until(tmp_path, "north", datetime(2026, 3, 11, 8, 35, tzinfo=UTC))
    wait_until(tmp_path, "south", datetime(2026, 3, 11, 7, 30, tzinfo=UTC))
    header, *lines = [line for line in command("accounts", "list").out.splitlines() if line.strip()]
    assert header.split()[-2:] == ["continues", "at"]
    assert {line.split()[0]: "14:05 Asia/Kolkata" in line for line in lines if line.split()[0].isalpha()} == {
        "north": True,
        "south": False,
        "east": False,
    }
