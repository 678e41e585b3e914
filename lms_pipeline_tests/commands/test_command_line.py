"""Behavior of every command: help, version, invalid settings, a disk that can't be written."""

import socket
import subprocess
import sys

import pytest

from lms_pipeline import __version__
from lms_pipeline.cli import COMMANDS
from lms_pipeline.connection import DemoMark
from lms_pipeline.lake.paths import DataDir
from lms_pipeline_tests.support.damages import put_folder


def test_help_lists_every_command(command):
    done = command("--help")
    assert done.status == 0
    assert all(name in done.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_text(name, command):
    done = command(name, "--help")
    assert done.status == 0
    assert done.out.startswith(f"Usage: lms-pipeline {name}")


def test_the_version_is_printed(command):
    assert command("--version").out == f"lms-pipeline, version {__version__}\n"


def test_an_unknown_command_is_wrong_use_and_names_the_one_like_it(command):
    done = command("materialise")
    assert done.status == 2
    assert done.err.endswith("No such command 'materialise'. Did you mean 'materialize'?\n")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LMS_TIMEZONE", "Mars/Olympus"),
        ("LMS_GRACE_HOURS", "48"),
        ("LMS_NOW", "2999-01-01T00:00:00Z"),
        ("TRUTO_BASE_URL", "http://api.example.org"),
        ("LMS_START_DATE", "soon"),
    ],
)
def test_an_invalid_setting_is_named_in_one_sentence(name, value, command, monkeypatch):
    monkeypatch.setenv(name, value)
    done = command("accounts", "list")
    assert done.status == 2
    assert done.err.startswith(f"Error: {name} can't be used: ")
    assert len(done.err.splitlines()) == 1


def test_a_data_directory_that_can_not_be_created_is_one_sentence(command, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("LMS_DATA_DIR", str(tmp_path / "file" / "data"))
    done = command("accounts", "add", "north")
    assert done.status == 1
    assert str(tmp_path / "file") in done.err
    assert len(done.err.splitlines()) == 1


def test_a_demo_whose_data_directory_can_not_be_created_names_the_option(command, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    folder = tmp_path / "file" / "data"
    done = command("demo", "--days", "1", "--data-dir", str(folder))
    assert done.status == 1
    assert done.err == f"Error: The data directory {folder} can't be created: choose another one with --data-dir.\n"


@pytest.mark.parametrize("words", [["demo", "--days", "1"], ["ui", "--port", "65123"]], ids=" ".join)
def test_a_data_directory_with_a_wildcard_is_refused_as_an_option_too(command, tmp_path, words):
    folder = tmp_path / "demo[1]"
    done = command(*words, "--data-dir", str(folder))
    assert (done.status, folder.exists()) == (2, False)
    assert done.err == (
        f"Error: {folder} can't be the data directory: the whole path must not contain '*', '?' or '[', which DuckDB reads as "
        "wildcards.\n"
    )


def test_the_sandbox_reports_a_port_in_use(command):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = command("sandbox", "--port", str(listener.getsockname()[1]))
    assert done.status == 1
    assert "is in use" in done.err


def test_the_demo_refuses_a_directory_with_real_accounts(command):
    command("accounts", "add", "north")
    done = command("demo", "--days", "1")
    assert done.status == 2
    assert "choose another folder for the demo with --data-dir" in done.err


def test_help_imports_nothing_heavy():
    code = "import sys; from lms_pipeline import cli; print([m for m in ('dagster', 'pyarrow', 'duckdb') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "words", [["accounts", "sync"], ["materialize"], ["materialize", "--dry-run"], ["doctor"]], ids=" ".join
)
def test_no_command_connects_the_demos_directory_with_a_real_truto(command, monkeypatch, tmp_path, words):
    command("accounts", "add", "north")
    DemoMark(DataDir(tmp_path / "data")).path.touch()
    monkeypatch.setenv("TRUTO_BASE_URL", "https://api.example.org")
    monkeypatch.setenv("TRUTO_API_TOKEN", "token")
    done = command(*words)
    assert done.status == 2
    assert "belongs to the demo: choose another folder for your own accounts with LMS_DATA_DIR." in done.err


def test_the_demos_directory_connects_with_a_sandbox(connected, tmp_path):
    connected("accounts", "sync")
    DemoMark(DataDir(tmp_path / "data")).path.touch()
    assert connected("materialize", "--account", "north", "--dry-run").status == 0


def test_a_demo_that_begins_before_the_first_day_is_wrong_use(command, monkeypatch):
    monkeypatch.setenv("LMS_START_DATE", "2026-03-09")
    done = command("demo", "--days", "3")
    assert done.status == 2
    assert "2026-03-08 is before the first day, LMS_START_DATE 2026-03-09." in done.err


@pytest.mark.parametrize(
    ("name", "damage", "sentence"),
    [
        ("history/runs.db", lambda path: path.write_bytes(b"no database" * 900), "is damaged: move `history`"),
        ("history/runs/index.db", lambda path: path.write_bytes(b"no database" * 900), "is damaged: move `history`"),
        ("schedules/schedules.db", put_folder, "can't be opened for writing: check who owns it"),
    ],
)
def test_a_damaged_database_of_dagster_is_one_sentence(command, tmp_path, name, damage, sentence):
    home = tmp_path / "data" / "dagster"
    for path in home.rglob("*.db-*"):
        path.unlink()
    damage(home / name)
    done = command("materialize", "--select", "warehouse")
    assert done.status == 1
    assert f"Error: Dagster's database in {home} {sentence}" in done.err
    assert "Traceback" not in done.err


def test_an_interrupt_before_the_first_run_ends_with_130(command, monkeypatch):
    def interrupt(*_args, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr("lms_pipeline.commands.accounts.load_settings", interrupt)
    done = command("accounts", "list")
    assert (done.status, done.err.strip()) == (130, "Interrupted.")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--to", "2026-03-10"), "Error: --to needs --date, the first day of the range.\n"),
        (("--select", ""), "Error: --select names no asset: leave it out to select all of them.\n"),
        (("--select", " , "), "Error: --select names no asset: leave it out to select all of them.\n"),
    ],
)
def test_options_of_materialize_without_a_meaning_are_refused(command, words, sentence):
    done = command("materialize", *words)
    assert (done.status, done.err) == (2, sentence)


@pytest.mark.parametrize("path", ["/dev/null", "file", "x" * 300])
def test_a_data_directory_that_can_be_none_is_refused(command, tmp_path, monkeypatch, path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LMS_DATA_DIR", path)
    done = command("accounts", "list")
    assert done.status == 1
    assert done.err.startswith("Error: ")
    assert path in done.err
