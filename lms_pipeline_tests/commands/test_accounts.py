def test_sync_takes_in_what_truto_lists(connected):
    done = connected("accounts", "sync")
    first, second = done.out.splitlines()
    assert (done.status, first) == (0, "2 accounts, 2 of them active, 2 new.")
    assert second == "138 partitions by account and day, of 100,000 that Dagster is good for."


def test_sync_without_a_token_says_what_to_set(command):
    done = command("accounts", "sync")
    assert done.status == 2
    assert done.err.startswith("Error: There is no API token: set TRUTO_API_TOKEN")


def test_an_account_is_taken_in_and_out_by_hand(command):
    assert (
        command("accounts", "add", "north", "--name", "North").out == "north is active, from 2026-03-10 on.\n"
    )
    assert command("accounts", "remove", "north").out == "north is inactive; what was pulled of it stays.\n"
    listed = command("accounts", "list").out
    assert "north" in listed
    assert "inactive" in listed


def test_an_id_that_could_leave_its_folder_is_refused(command):
    done = command("accounts", "add", "../../x")
    assert done.status == 2
    assert "can't be an account id" in done.err


def test_an_empty_registry_says_how_to_fill_it(command):
    assert "lms-pipeline accounts sync" in command("accounts", "list").out
