"""LMS_STATE_URL in an installation: a day is pulled as without it, what is wrong with it is one sentence, it appears nowhere."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from lms_pipeline import cli
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.days import WrongPresentError
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import open_instance, run_partitions
from lms_pipeline.errors import LmsPipelineError, SettingsError
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.snapshot.present import check_present
from lms_pipeline.storage import postgres_refusals
from lms_pipeline.storage.postgres import Database, hash_name
from lms_pipeline.storage.state import StateError
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.distributed.services import PASSWORD, find_free_port

pytestmark = pytest.mark.distributed
ROOT = Path(__file__).parents[2]
NORTH = Partition("north", DAY)


def pull(settings, make_home):
    """Pull a day with Dagster; return the error of its run."""
    if not settings.dagster_home.exists():
        make_home(settings.dagster_home)
    Registry.open(settings).add("north", name=None, first_day=DAY)
    with open_instance(settings) as instance:
        [outcome] = run_partitions(build_defs(settings), instance, [NORTH])
    return outcome.error


def read_digests(data):
    return {table.name: read_metadata(data.file(table, NORTH))["digest"] for table in PULLED_TABLES}


@pytest.fixture
def shared(settings, state_url):
    """The settings with the state in the database, and the lake on this disk."""
    return settings.model_copy(update={"state_url": SecretStr(state_url)})


def test_a_day_is_pulled_as_with_a_state_in_files(settings, shared, make_home, tmp_path):
    assert pull(shared, make_home) is None
    local = settings.model_copy(update={"data_dir": tmp_path / "alone", "dagster_home_set": tmp_path / "alone_home"})
    assert pull(local, make_home) is None
    assert read_digests(DataDir.open(shared)) == read_digests(DataDir.open(local))
    assert Registry.open(shared).get("north").strategy == Registry.open(local).get("north").strategy != "auto"
    files = {path.name for path in DataDir.open(shared).state.iterdir()}
    assert files.isdisjoint({"accounts.json", "time_zone", "budgets", "alerts.json"})


@pytest.mark.parametrize("is_away", [False, True])
def test_no_file_of_a_run_and_no_output_has_the_password(shared, make_home, tmp_path, capfd, caplog, is_away):
    if is_away:
        Registry.open(shared).add("north", name=None, first_day=DAY)
        DataDir.open(shared).storage.state.write_note("time_zone", b"Pacific/Honolulu")  # the run fails
    error = pull(shared, make_home)
    assert (error is not None) is is_away
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in written)  # Dagster's log is among them
    assert [path for path in written if PASSWORD.encode() in path.read_bytes()] == []
    printed = capfd.readouterr()
    assert PASSWORD not in f"{error} {printed.out} {printed.err} {caplog.text}"


def test_a_run_that_lost_its_lock_publishes_nothing_and_the_next_makes_no_call_again(
    shared, make_home, sandbox, monkeypatch, state_url
):
    publish = Publication.publish

    def lose_lock(self, files):
        watcher = Database(SecretStr(state_url))
        find = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32) | objid::bigint = %s"
        [(pid,)] = watcher.query(find, [hash_name("pulls/account_id=north/snapshot_date=2026-03-10")])
        watcher.query("SELECT pg_terminate_backend(%s, 10000)", [pid])
        return publish(self, files)

    monkeypatch.setattr(Publication, "publish", lose_lock)
    error = pull(shared, make_home)
    assert error is not None
    assert "The lock pulls/account_id=north/snapshot_date=2026-03-10 is lost, since the database" in error
    data = DataDir.open(shared)
    assert [table.name for table in PULLED_TABLES if data.file(table, NORTH).exists()] == []
    calls = sandbox.stats()["total"]
    monkeypatch.undo()
    assert pull(shared, make_home) is None
    assert sandbox.stats()["total"] == calls
    assert all(data.file(table, NORTH).exists() for table in PULLED_TABLES)


def read_error(url):
    with pytest.raises(LmsPipelineError) as raised:
        Database(SecretStr(url)).query("SELECT 1")
    return raised.value


def test_a_database_that_is_not_there_is_one_sentence(postgres):
    error = read_error(f"postgresql://dagster:{PASSWORD}@127.0.0.1:{find_free_port()}/lms")
    assert isinstance(error, StateError)  # it may be there later
    assert str(error) == "The database of LMS_STATE_URL can't be reached: check the address, and that it runs."


def test_a_wrong_password_is_one_sentence(postgres, state_url):
    Database(SecretStr(state_url)).query("CREATE ROLE careful LOGIN PASSWORD 'right'")
    postgres.require_password("careful")
    url = state_url.replace("dagster:", "careful:")
    for wrong in (url, url.replace(f":{PASSWORD}", ""), state_url.replace("dagster:", "nobody:")):
        error = read_error(wrong)
        assert isinstance(error, SettingsError)
        assert str(error) == "The database refuses the user or the password of LMS_STATE_URL: correct it."
    assert Database(SecretStr(url.replace(PASSWORD, "right"))).query("SELECT 1") == [(1,)]


def test_a_user_without_the_right_to_connect_is_one_sentence(state_url):
    name = state_url.rpartition("/")[2]
    Database(SecretStr(state_url)).query("CREATE ROLE barred LOGIN")
    Database(SecretStr(state_url)).query(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    error = read_error(state_url.replace("dagster:", "barred:"))
    assert isinstance(error, SettingsError)
    assert str(error) == "The user of LMS_STATE_URL lacks a right: grant it CONNECT and CREATE on the database."


def test_a_server_without_tls_is_one_sentence(state_url):
    error = read_error(f"{state_url}?sslmode=require")
    assert isinstance(error, SettingsError)
    assert str(error).startswith("The database and this machine do not agree on TLS: ")


def test_a_standby_is_not_used_and_one_sentence_says_so(state_url):
    name = state_url.rpartition("/")[2]
    Database(SecretStr(state_url)).query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    error = read_error(state_url)
    assert isinstance(error, StateError)  # another one may take over
    assert str(error) == "The database of LMS_STATE_URL can't be written, as a standby: name the server that can."


def test_the_sentence_about_another_time_zone_says_where_it_is(shared):
    data = DataDir.open(shared)
    data.storage.state.write_note("time_zone", b"Pacific/Honolulu")
    with pytest.raises(WrongPresentError, match=r"or remove the row time_zone of lms\.notes in the database "):
        check_present(data, NORTH, shared.calendar, shared.now())


def test_a_name_of_no_database_is_one_sentence(state_url):
    error = read_error(f"{state_url}_else")
    assert str(error) == "The database that LMS_STATE_URL names does not exist: create it, or correct the name."


@pytest.mark.parametrize(
    "place", [f"u:{PASSWORD}@h:port/db", f"u:{PASSWORD}/x@h/db", f"u@h/db?passwort={PASSWORD}", "u:%zz@h/db"]
)
def test_an_address_that_can_not_be_read_is_one_sentence_without_it(extra, place):
    error = read_error(f"postgresql://{place}")
    assert isinstance(error, SettingsError)
    assert str(error).startswith("LMS_STATE_URL can't be used: it must be the address of a PostgreSQL database, like ")
    assert PASSWORD not in str(error)


@pytest.fixture
def speaks_otherwise(monkeypatch):
    """The server's texts are in a language that nobody knows here."""
    without_texts = tuple(replace(one, parts=()) for one in postgres_refusals._REFUSALS)
    monkeypatch.setattr(postgres_refusals, "_REFUSALS", without_texts)


@pytest.mark.usefixtures("speaks_otherwise")
def test_a_server_of_any_language_is_understood(postgres, state_url):
    database, name = Database(SecretStr(state_url)), state_url.rpartition("/")[2]
    database.query("CREATE ROLE known LOGIN PASSWORD 'right'")
    database.query("CREATE ROLE stranger LOGIN")
    database.query(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    postgres.require_password("known")
    try:
        found = {
            user: str(read_error(state_url.replace("dagster:", f"{user}:"))) for user in ("known", "nobody", "stranger")
        }
        found["no database"] = str(read_error(f"{state_url}_else"))
    finally:
        database.query("DROP ROLE known; DROP ROLE stranger")
    assert found == {
        "known": "The database refuses the user or the password of LMS_STATE_URL: correct it.",
        "nobody": "The database refuses the user or the password of LMS_STATE_URL: correct it.",
        "stranger": "The user of LMS_STATE_URL lacks a right: grant it CONNECT and CREATE on the database.",
        "no database": "The database that LMS_STATE_URL names does not exist: create it, or correct the name.",
    }


def test_a_user_without_the_right_to_make_the_schema_is_one_sentence(state_url, tmp_path):
    Database(SecretStr(state_url)).query("CREATE ROLE reader LOGIN")
    error = read_state_error(state_url.replace("dagster:", "reader:"), tmp_path)
    assert str(error) == (
        "The user of LMS_STATE_URL lacks a right: grant it CREATE on the database, or let it own the schema lms."
    )
    Database(SecretStr(state_url)).query("DROP ROLE reader")


def read_state_error(url, tmp_path):
    from lms_pipeline.storage.opening import open_storage

    with pytest.raises(LmsPipelineError) as raised:
        open_storage(tmp_path, None, SecretStr(url)).state.read_registry()
    return raised.value


def test_a_statement_that_is_refused_is_reported_without_the_text_of_the_server(state_url):
    database = Database(SecretStr(state_url))
    database.query("CREATE TABLE one (name text PRIMARY KEY); INSERT INTO one VALUES ('ann@example.org')")
    with pytest.raises(StateError) as raised:
        database.query("INSERT INTO one VALUES ('ann@example.org')")
    assert str(raised.value).startswith(
        "The database of LMS_STATE_URL refuses a statement (UniqueViolation, code 23505): "
    )
    assert raised.value.__cause__ is None


def test_a_command_prints_the_sentence_and_ends_with_its_status(extra, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMS_STATE_URL", f"postgresql://u:{PASSWORD}@127.0.0.1:{find_free_port()}/lms")
    monkeypatch.setattr(sys, "argv", ["lms-pipeline", "accounts", "list"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "Error: The database of LMS_STATE_URL can't be reached: check the address, and that it runs.\n"
    )


def test_without_the_extra_it_is_one_sentence_what_to_install():
    script = (
        "import sys; sys.modules['psycopg2'] = None\n"
        "from pydantic import SecretStr; from lms_pipeline.storage.postgres import Database\n"
        "try: Database(SecretStr('postgresql://h/db')).query('SELECT 1')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == (
        'SettingsError LMS_STATE_URL needs packages that are not installed: run `pip install "lms-pipeline[distributed]"`.\n'
    )
