"""Behavior of every command: help, version, invalid settings, a disk that can't be written."""

import socket
import subprocess
import sys

import pytest

from lms_pipeline import __version__
from lms_pipeline.cli import COMMANDS
from lms_pipeline.connection import DemoMark
from lms_pipeline.lake.paths import DataDir


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


def test_an_unknown_command_is_wrong_use(command):
    assert command("materialise").status == 2


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


def test_a_damaged_run_log_is_one_sentence(command, tmp_path):
    command("accounts", "add", "north")
    log = tmp_path / "data" / "dagster" / "history" / "runs.db"
    log.write_text("not a database, and longer than the header of one" * 99, encoding="utf-8")
    done = command("materialize", "--select", "warehouse")
    assert done.status == 1
    (sentence,) = [line for line in done.err.splitlines() if line.startswith("Error: ")]
    assert sentence.endswith("check the disk of LMS_DATA_DIR, or add --debug for a traceback.")
    assert "Traceback" not in done.err
