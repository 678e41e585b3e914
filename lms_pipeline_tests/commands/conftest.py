"""The command line in this process: its output and exit status."""

import os
import shutil
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from lms_pipeline import cli
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.warehouse import build_warehouse
from lms_pipeline_tests.defs.conftest import NOW, new_instance, sandbox, serve_accounts
from lms_pipeline_tests.support.cheaper_dagster import cheaper_dagster
from lms_pipeline_tests.support.remembered_metrics import remembered_metrics
from lms_pipeline_tests.support.warehouse_builds import warehouse_without_comments

__all__ = ["cheaper_dagster", "new_instance", "remembered_metrics", "sandbox", "warehouse_without_comments"]


@dataclass
class Completed:
    """A finished command."""

    status: int
    out: str
    err: str


def set_up(folder, monkeypatch, make_home):
    """Let `lms-pipeline` run in an empty folder, with `data` as its data directory."""
    monkeypatch.chdir(folder)
    for name in ("TRUTO_API_TOKEN", "TRUTO_BASE_URL", "LMS_DATA_DIR", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(folder / "data" / "dagster"))
    make_home(folder / "data" / "dagster")
    monkeypatch.setenv("LMS_NOW", NOW.isoformat())


@pytest.fixture
def command(tmp_path, monkeypatch, capsys, make_home):
    """Return a function that runs `lms-pipeline` in an empty folder, with `data` as its data directory."""
    set_up(tmp_path, monkeypatch, make_home)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["lms-pipeline", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Completed(int(ended.value.code or 0), printed.out, printed.err)

    return run


@contextmanager
def running_commands(folder, make_home):
    """Yield a function as that of `command`, and a patch, for fixtures that tests share; restore the process."""
    environment, umask = dict(os.environ), os.umask(0o022)
    os.umask(umask)

    def run(*words):
        patch.setattr(sys, "argv", ["lms-pipeline", *words])
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            cli.main()
        return Completed(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    with pytest.MonkeyPatch.context() as patch:
        set_up(folder, patch, make_home)
        yield run, patch
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def connected(command, sandbox, monkeypatch):
    """Return `command` with the sandbox's address and token in the environment."""
    monkeypatch.setenv("TRUTO_BASE_URL", sandbox.url)
    monkeypatch.setenv("TRUTO_API_TOKEN", sandbox.token)
    return command


@dataclass
class Materialized:
    """The data directory of both accounts after `materialize`, and what the command printed."""

    data: Path
    done: Completed


@pytest.fixture(scope="session")
def materialized(tmp_path_factory, make_home):
    """Both accounts after `accounts sync` and `materialize`. Read-only, since tests share it."""
    folder = tmp_path_factory.mktemp("materialized")
    with serve_accounts(folder) as server, running_commands(folder, make_home) as (run, patch):
        patch.setenv("TRUTO_BASE_URL", server.url)
        patch.setenv("TRUTO_API_TOKEN", server.token)
        assert run("accounts", "sync").status == 0
        return Materialized(folder / "data", run("materialize"))


@pytest.fixture
def after_a_day(connected, materialized, tmp_path):
    """Return `connected` with a copy of that data directory."""
    shutil.copytree(materialized.data, tmp_path / "data", dirs_exist_ok=True)
    return connected


@pytest.fixture(scope="session")
def empty_installation(tmp_path_factory):
    """A data directory whose warehouse has no rows. Read-only, since tests share it."""
    data = DataDir(tmp_path_factory.mktemp("empty") / "data")
    build_warehouse(data)
    return data


@pytest.fixture
def query(command, empty_installation, monkeypatch):
    """Return a function that runs `lms-pipeline query` over a warehouse without rows."""
    monkeypatch.setenv("LMS_DATA_DIR", str(empty_installation.root))
    return lambda *words: command("query", *words)
