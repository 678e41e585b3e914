"""Builds of the warehouse: their whole content, to compare two of them, and files that are old enough to be known again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lms_pipeline.lake import warehouse_build
from lms_pipeline.lake.paths import DATA_FILE, DataDir
from lms_pipeline.lake.warehouse import WarehouseBuild, build_warehouse, open_warehouse
from lms_pipeline.lake.warehouse_record import WarehouseRecord, load_record
from lms_pipeline.tables.catalog import TABLES

AGE_NS = 10_000_000_000


def age_files(data: DataDir) -> None:
    """Make files that were just written 10 s older: a build reads the newest files again."""
    for path in data.lake.rglob(f"*{DATA_FILE}*"):
        changed_ns = path.stat().st_mtime_ns
        if changed_ns > time.time_ns() - AGE_NS // 2:
            os.utime(path, ns=(changed_ns - AGE_NS, changed_ns - AGE_NS))


@contextmanager
def leaving_out_comments() -> Iterator[None]:
    """Build without the comments of tables and columns, whose 560 statements take half of the CPU of a build.

    For tests of rows: those of the content compare the comments, too.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warehouse_build, "iter_comments", lambda *_: iter(()))
        yield


@pytest.fixture(scope="module", autouse=True)
def warehouse_without_comments() -> Iterator[None]:
    """For the folders whose conftest imports it: what their tests do builds a warehouse, and is not about its comments."""
    with leaving_out_comments():
        yield


def update(data: DataDir) -> WarehouseBuild:
    """Build the warehouse after some time."""
    age_files(data)
    return build_warehouse(data)


def read_record(data: DataDir) -> WarehouseRecord:
    """Return the record of the latest build, which the next one may use."""
    record = load_record(data)
    assert record is not None
    return record


def read_content(data: DataDir) -> dict[str, Any]:
    """Return columns, types, rows and comments of each table and view."""
    content: dict[str, Any] = {}
    with open_warehouse(data) as connection:
        for name in TABLES:
            table = connection.table(name)
            content[name] = table.columns, list(map(str, table.types)), table.order("ALL").fetchall()
        for kind in ("table", "view"):
            query = f"SELECT {kind}_name, comment FROM duckdb_{kind}s() WHERE NOT internal ORDER BY ALL"  # noqa: S608
            content[f"comments of {kind}s"] = connection.sql(query).fetchall()
        query = "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
        content["comments of columns"] = connection.sql(query).fetchall()
    return content


def build_in_full(data: DataDir) -> tuple[WarehouseBuild, dict[str, Any]]:
    """Build all anew, and return the build with its content; then the earlier builds are as they were."""
    folder, aside = data.state / "warehouse", data.state / "aside"
    folder.rename(aside)
    link = data.warehouse.readlink()
    data.warehouse.unlink()
    built = build_warehouse(data)
    content = read_content(data)
    shutil.rmtree(folder)
    data.warehouse.unlink()
    aside.rename(folder)
    data.warehouse.symlink_to(link)
    return built, content
