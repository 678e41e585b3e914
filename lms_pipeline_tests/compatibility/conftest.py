"""Copies of the data directory that commit a4277a4 wrote, and a server with its accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import chdir

import pytest

from lms_pipeline_tests.support.cheaper_dagster import cheaper_dagster
from lms_pipeline_tests.support.older_data import WORLD, DataDirectory, unpack
from lms_pipeline_tests.support.recorded_truto import RecordedTruto, serving
from lms_pipeline_tests.support.warehouse_builds import warehouse_without_comments

__all__ = ["cheaper_dagster", "warehouse_without_comments"]


@pytest.fixture(scope="module")
def truto() -> Iterator[RecordedTruto]:
    with serving(WORLD) as truto:
        yield truto


@pytest.fixture(scope="module")
def written(tmp_path_factory, truto) -> DataDirectory:
    """The data directory as it was written; no command runs over it."""
    return DataDirectory(unpack(tmp_path_factory.mktemp("written")), truto)


@pytest.fixture(scope="module")
def copy_directory(tmp_path_factory, truto, make_home) -> Iterator[Callable[[str], DataDirectory]]:
    """Return a function that makes another copy, for commands to run over."""

    def copy(name: str) -> DataDirectory:
        root = unpack(tmp_path_factory.mktemp(name) / "data")
        make_home(root / "dagster")
        return DataDirectory(root, truto)

    with chdir(tmp_path_factory.mktemp("empty")):  # a folder without `.env`
        yield copy
