"""The pages of a small account of the benchmarks."""

import pytest

from benchmarks.world.pages import write_world

ROWS = 2_000


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"), ROWS)


@pytest.fixture(autouse=True)
def keep_environment(monkeypatch):
    """Restore what a side sets."""
    monkeypatch.setenv("DAGSTER_HOME", "")
