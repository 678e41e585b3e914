"""`lms-pipeline state`: the registry to a file and back."""

from datetime import date

import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.lake.paths import DataDir

FIRST = date(2026, 3, 1)


@pytest.fixture
def data(command, tmp_path):
    """The data directory, with two accounts."""
    data = DataDir(tmp_path / "data")
    for account_id, name in (("north", "Northwind"), ("south", "Süd")):
        Registry(data).add(account_id, name=name, first_day=FIRST)
    return data


def test_the_file_of_the_registry_is_written_and_read_byte_for_byte(command, data, tmp_path):
    written, before = tmp_path / "accounts.json", data.registry.read_bytes()
    done = command("state", "export", str(written))
    assert (done.status, done.out) == (0, f"Wrote 2 accounts to {written}.\n")
    assert written.read_bytes() == before
    data.registry.unlink()
    done = command("state", "import", str(written))
    assert (done.status, done.out) == (0, f"Read 2 accounts from {written}.\n")
    assert data.registry.read_bytes() == before


def test_an_empty_registry_is_an_empty_list(command, tmp_path):
    assert command("state", "export", str(tmp_path / "out.json")).status == 0
    assert (tmp_path / "out.json").read_bytes() == b"[]"


@pytest.mark.usefixtures("data")
def test_a_file_that_exists_is_replaced(command, tmp_path):
    (tmp_path / "backup").write_text("of yesterday")
    assert command("state", "export", str(tmp_path / "backup")).status == 0
    assert (tmp_path / "backup").read_bytes() == (tmp_path / "data/state/accounts.json").read_bytes()


def test_the_registry_is_not_written_over_a_folder(command, tmp_path):
    done = command("state", "export", str(tmp_path))
    assert (done.status, done.out) == (2, "")
    assert done.err == f"Error: The registry can't be written to '{tmp_path}': name a file, which may be new.\n"


def test_accounts_are_not_imported_over_others(command, data, tmp_path):
    command("state", "export", str(tmp_path / "two.json"))
    Registry(data).add("west", name=None, first_day=FIRST)
    before = data.registry.read_bytes()
    done = command("state", "import", str(tmp_path / "two.json"))
    assert done.status == 2
    assert done.err == ("Error: The registry has 3 accounts already: add --replace to remove them from it.\n")
    assert data.registry.read_bytes() == before


def test_accounts_replace_others_on_request(command, data, tmp_path):
    command("state", "export", str(tmp_path / "two.json"))
    Registry(data).add("west", name=None, first_day=FIRST)
    assert command("state", "import", "--replace", str(tmp_path / "two.json")).status == 0
    assert [account.id for account in Registry(data).read_accounts()] == ["north", "south"]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff", b'[{"id": "a"}]', b'[{"id": "../a", "name": "a", "first_day": "2026-03-01"}]']
)
def test_another_file_is_refused_in_one_sentence(command, data, tmp_path, content):
    (tmp_path / "odd.json").write_bytes(content)
    before = data.registry.read_bytes()
    done = command("state", "import", "--replace", str(tmp_path / "odd.json"))
    assert done.status == 2
    assert done.err == (
        f"Error: {tmp_path / 'odd.json'} does not hold the accounts of a registry: use a file that `lms-pipeline state export` "
        "wrote.\n"
    )
    assert data.registry.read_bytes() == before


def test_an_account_that_is_there_twice_is_refused(command, tmp_path):
    account = '{"id": "a", "name": "a", "first_day": "2026-03-01"}'
    (tmp_path / "twice.json").write_text(f"[{account}, {account}]")
    done = command("state", "import", str(tmp_path / "twice.json"))
    assert done.status == 2
    assert done.err == (f"Error: {tmp_path / 'twice.json'} has account a 2 times: remove all but one.\n")


def test_a_missing_file_is_one_sentence(command, tmp_path):
    done = command("state", "import", str(tmp_path / "none.json"))
    assert done.status == 2
    assert done.err == (f"Error: {tmp_path / 'none.json'} can't be read: No such file or directory.\n")


def test_a_folder_is_not_written_over(command, data, tmp_path):
    assert command("state", "export", str(tmp_path)).status == 2


@pytest.mark.parametrize("setting", ["LMS_STATE_URL", pytest.param("LMS_LAKE_URL", marks=pytest.mark.distributed)])
def test_the_demo_is_refused_beside_a_bucket_or_a_database(command, monkeypatch, setting):
    monkeypatch.setenv("LMS_STATE_URL", "postgresql://lms:p4ss@127.0.0.1:1/lms")
    if setting == "LMS_LAKE_URL":
        pytest.importorskip("obstore", reason="the extra `distributed` is not installed")
        monkeypatch.setenv("LMS_LAKE_URL", "s3://bucket")
    done = command("demo")
    assert done.status == 2
    assert done.err == (
        "Error: The demo keeps its accounts on this machine: unset LMS_LAKE_URL and LMS_STATE_URL, and choose a folder for it "
        "with --data-dir.\n"
    )
