"""Views over files with the columns of the table, and over those of older and newer versions."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse
from lms_pipeline.tables.pulled import COURSES
from lms_pipeline_tests.support.lake_files import FIRST, SECOND, publish
from lms_pipeline_tests.support.warehouse_builds import leaving_out_comments


@pytest.fixture(scope="module", autouse=True)
def _without_comments():
    with leaving_out_comments():
        yield


@pytest.fixture
def data(tmp_path):
    data = DataDir(tmp_path)
    for account in ("acme", "beta", "gamma"):
        for day in (FIRST, SECOND):
            publish(data, account, day, {"course_id": f"of {account}", "status": "open"}, table=COURSES)
    return data


def replace(data, account, change):
    """Write the first day of an account with other columns."""
    path = data.file(COURSES, Partition(account, FIRST))
    changed = change(pq.read_table(path))
    new = path.with_name("new")
    pq.write_table(changed, new)
    new.replace(path)


def lack_status(table):
    return table.drop_columns("status")


def add_column(table):
    return table.add_column(0, "later", pa.array([1]))


def select(data, where="true"):
    query = f"SELECT account_id, snapshot_date, status FROM courses WHERE {where} ORDER BY ALL"  # noqa: S608
    with open_warehouse(data) as connection:
        return connection.sql(query).fetchall()


def list_rows(*without):
    accounts = ("acme", "beta", "gamma")
    return [
        (account, day, None if (account, day) in without else "open") for account in accounts for day in (FIRST, SECOND)
    ]


def test_a_query_opens_the_first_file_and_those_of_its_account_and_day(data):
    """The other files hold nothing that can be read."""
    build_warehouse(data)
    for account, day in (("acme", SECOND), ("beta", FIRST), ("gamma", FIRST), ("gamma", SECOND)):
        data.file(COURSES, Partition(account, day)).write_bytes(b"PAR1")
    assert select(data, "account_id = 'beta' AND snapshot_date = '2026-03-02'") == [("beta", SECOND, "open")]


@pytest.mark.parametrize("account", ["acme", "gamma"], ids=["the first file", "a later file"])
def test_a_column_that_an_older_file_lacks_is_null_after_a_build(data, account):
    build_warehouse(data)
    replace(data, account, lack_status)
    build_warehouse(data)
    assert select(data) == list_rows((account, FIRST))


@pytest.mark.parametrize("account", ["acme", "gamma"], ids=["the first file", "a later file"])
def test_a_view_shows_files_with_another_column_that_are_published_later(data, account):
    build_warehouse(data)
    replace(data, account, add_column)
    assert select(data) == list_rows()


def test_a_view_over_older_files_shows_files_that_are_published_later(data):
    replace(data, "beta", lack_status)
    build_warehouse(data)
    publish(data, "beta", FIRST, {"course_id": "c1", "status": "open"}, table=COURSES)
    replace(data, "gamma", lack_status)
    assert select(data) == list_rows(("gamma", FIRST))


def test_a_view_opens_single_files_again_when_the_last_older_file_is_replaced(data):
    replace(data, "acme", lack_status)
    build_warehouse(data)
    publish(data, "acme", FIRST, {"course_id": "c1", "status": "open"}, table=COURSES)
    build_warehouse(data)
    with open_warehouse(data) as connection:
        [(query,)] = connection.sql("SELECT sql FROM duckdb_views() WHERE view_name = 'courses'").fetchall()
    assert "union_by_name" not in query
