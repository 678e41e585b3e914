"""The pages of a small account of the benchmarks."""

import pytest

from benchmarks.world.pages import write_world
from lms_pipeline_tests.support.cheaper_dagster import cheaper_dagster
from lms_pipeline_tests.support.warehouse_builds import warehouse_without_comments

__all__ = ["cheaper_dagster", "warehouse_without_comments"]

ROWS = 2_000


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"), ROWS)


@pytest.fixture(autouse=True)
def keep_environment(monkeypatch):
    """Restore what a side sets."""
    monkeypatch.setenv("DAGSTER_HOME", "")
