"""`lms-pipeline accounts`: listing, synchronizing, adding and removing accounts."""


def test_sync_adds_the_accounts_that_truto_lists(connected):
    done = connected("accounts", "sync")
    assert done.status == 0
    accounts, partitions = done.out.splitlines()
    assert accounts == "2 accounts, 2 of them active, 2 new."
    assert partitions == "2 accounts x 69 days are 138 partition keys; Dagster advises 100,000 at most."


def test_too_many_partition_keys_are_reported_with_a_remedy(command, monkeypatch):
    monkeypatch.setenv("LMS_START_DATE", "1700-01-01")
    done = command("accounts", "add", "north")
    assert "119,138 partition keys" in done.err
    assert "set LMS_START_DATE later" in done.err


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
