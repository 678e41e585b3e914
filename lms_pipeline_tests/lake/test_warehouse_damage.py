"""A file that can't be read: the warehouse leaves it out, says so, and holds everything else."""

import shutil
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline.checks.fleet import load_fleet, warehouse_is_whole
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse, read_left_out
from lms_pipeline.settings import Settings
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.tables.pulled import LEARNERS, RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table
from lms_pipeline_tests.support.lake_files import FIRST, enrollment, publish
from lms_pipeline_tests.support.parquet_damage import change_value, damage_pages, truncate, write_newer
from lms_pipeline_tests.support.warehouse_builds import leaving_out_comments

TABLES = [UNIFIED_ENROLLMENTS, RAW_ENROLLMENTS, LEARNERS, ACCOUNT_COMPLETION, LEARNER_COMPLETION]
ROWS: dict[Table, dict[str, Any]] = {
    LEARNERS: {"user_id": "u1"},
    LEARNER_COMPLETION: {"user_id": "u1", "n_all": 3},
    ACCOUNT_COMPLETION: {"n_all": 3, "completion_rate": 0.5},
    UNIFIED_ENROLLMENTS: enrollment("u1"),
}


@pytest.fixture(scope="module", autouse=True)
def _without_comments():
    with leaving_out_comments():
        yield


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A data directory for copies."""
    data = DataDir(tmp_path_factory.mktemp("published"))
    for account in ("acme", "beta", "gamma"):
        for table in TABLES:
            publish(data, account, FIRST, ROWS.get(table, {}), table=table)
    return data.root


@pytest.fixture
def data(published, tmp_path):
    return DataDir(shutil.copytree(published, tmp_path, dirs_exist_ok=True))


def _list_accounts(data, table):
    with open_warehouse(data) as connection:
        return [name for (name,) in connection.table(table.name).select("account_id").order("1").fetchall()]


@pytest.mark.parametrize("damage", [truncate, write_newer])
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_others_are_built(data, table, damage):
    path = data.file(table, Partition("beta", FIRST))
    damage(path)
    left_out = build_warehouse(data).left_out
    assert left_out
    assert all(str(path) in reason for reason in left_out)
    assert _list_accounts(data, table) == ["acme", "gamma"]
    assert read_left_out(data) == left_out


@pytest.mark.parametrize("table", [ACCOUNT_COMPLETION, LEARNER_COMPLETION], ids=lambda table: table.name)
def test_a_damaged_page_of_a_stored_table_is_found(data, table):
    damage_pages(data.file(table, Partition("beta", FIRST)))
    [reason] = build_warehouse(data).left_out
    assert str(data.file(table, Partition("beta", FIRST))) in reason
    assert _list_accounts(data, table) == ["acme", "gamma"]
    assert _list_accounts(data, UNIFIED_ENROLLMENTS) == ["acme", "beta", "gamma"]


@pytest.mark.parametrize("table", [ACCOUNT_COMPLETION, LEARNER_COMPLETION], ids=lambda table: table.name)
def test_a_changed_value_of_a_stored_table_is_found(data, table):
    change_value(data.file(table, Partition("beta", FIRST)), "n_all")
    [reason] = build_warehouse(data).left_out
    assert str(data.file(table, Partition("beta", FIRST))) in reason
    assert _list_accounts(data, table) == ["acme", "gamma"]


@pytest.mark.parametrize("value", ["three", [3]], ids=["a text", "a list"])
def test_a_metric_that_is_no_number_is_left_out(data, value):
    path = data.file(ACCOUNT_COMPLETION, Partition("beta", FIRST))
    rows = pq.read_table(path)
    position = rows.column_names.index("n_all")
    pq.write_table(rows.set_column(position, "n_all", pa.array([value])), path)
    [reason] = build_warehouse(data).left_out
    assert str(path) in reason
    assert _list_accounts(data, ACCOUNT_COMPLETION) == ["acme", "gamma"]


def test_a_check_fails_until_the_file_is_restored(data):
    path = data.file(ACCOUNT_COMPLETION, Partition("beta", FIRST))
    whole = path.read_bytes()
    truncate(path)
    build_warehouse(data)
    found = warehouse_is_whole(load_fleet(data, Settings(data_dir=data.root), frozenset()))
    assert (found.passed, found.message) == (False, "1 file is left out of the warehouse: see the rows.")
    path.write_bytes(whole)
    build_warehouse(data)
    assert warehouse_is_whole(load_fleet(data, Settings(data_dir=data.root), frozenset())).passed


def test_before_the_first_build_nothing_is_left_out(data):
    assert read_left_out(data) == []
