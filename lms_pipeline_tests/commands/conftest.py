"""The command line in this process: its output and exit status."""

import sys
from dataclasses import dataclass

import pytest

from lms_pipeline import cli
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.warehouse import build_warehouse
from lms_pipeline_tests.defs.conftest import NOW, new_instance, sandbox
from lms_pipeline_tests.support.remembered_metrics import remembered_metrics

__all__ = ["new_instance", "remembered_metrics", "sandbox"]


@dataclass
class Completed:
    """A finished command."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(tmp_path, monkeypatch, capsys, make_home):
    """Return a function that runs `lms-pipeline` in an empty folder, with `data` as its data directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("TRUTO_API_TOKEN", "TRUTO_BASE_URL", "LMS_DATA_DIR", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "data" / "dagster"))
    make_home(tmp_path / "data" / "dagster")
    monkeypatch.setenv("LMS_NOW", NOW.isoformat())

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["lms-pipeline", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Completed(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def connected(command, sandbox, monkeypatch):
    """Return `command` with the sandbox's address and token in the environment."""
    monkeypatch.setenv("TRUTO_BASE_URL", sandbox.url)
    monkeypatch.setenv("TRUTO_API_TOKEN", sandbox.token)
    return command


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
