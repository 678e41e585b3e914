"""Tables that commit a4277a4 did not have, over a data directory that it wrote: typed, empty or computed."""

from __future__ import annotations

import pytest

from lms_pipeline import lake
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.warehouse import open_warehouse
from lms_pipeline.tables.catalog import TABLES, VIEWS
from lms_pipeline_tests.support.older_data import FIRST, SECOND, THIRD, night_after

PORTFOLIO = {FIRST: (37 + 33, 7 + 6, 2, 1), SECOND: (36 + 24 + 33, 6 + 4 + 6, 3, 0)}
"""All and completed enrollments of the accounts that have the day, how many these are, and how many lack it."""
NEW = ("cohort_completion", "completion_curve", "attention", "portfolio_completion", "completion_trend")


@pytest.fixture(scope="module")
def upgraded(copy_directory):
    """The data directory after the first build of its warehouse."""
    directory = copy_directory("upgraded")
    done = directory.run(night_after(THIRD), "materialize", "--select", "warehouse")
    assert done.status == 0, done.output
    return directory


@pytest.mark.parametrize("table", NEW)
def test_a_new_table_is_empty_and_has_its_columns_before_anything_runs(written, table):
    rows = lake.read(table, data_dir=written.root)
    assert set((TABLES | VIEWS)[table].column_names) <= set(rows.schema.names)
    assert rows.num_rows == (0 if table != "completion_trend" else count_trend(written))


def count_trend(directory):
    """The trend is computed from the older tables: a row for each of theirs."""
    return sum(sum(directory.count_rows(table).values()) for table in ("account_completion", "course_completion"))


@pytest.mark.parametrize("table", NEW)
def test_the_warehouse_has_every_new_table(upgraded, table):
    with open_warehouse(DataDir(upgraded.root)) as connection:
        assert set((TABLES | VIEWS)[table].column_names) <= set(connection.table(table).columns)


def test_the_first_build_computes_the_portfolio_of_all_stored_days(upgraded):
    rows = lake.read("portfolio_completion", data_dir=upgraded.root).to_pylist()
    names = ("n_all", "n_completed", "accounts", "accounts_missing")
    assert {row["snapshot_date"]: tuple(row[name] for name in names) for row in rows} == PORTFOLIO


def test_a_count_that_the_older_files_lack_is_null(upgraded):
    rows = lake.read("portfolio_completion", data_dir=upgraded.root)
    assert rows["n_due_by_rule"].null_count == rows.num_rows


def test_metrics_of_an_older_day_are_computed_without_a_call(upgraded, truto):
    before = len(truto.requests)
    selected = "cohort_completion,completion_curve,attention"
    done = upgraded.run(
        night_after(THIRD), "materialize", "--account", "academy", "--date", str(SECOND), "--select", selected
    )
    assert done.status == 0, done.output
    assert len(truto.requests) == before
    cohorts = lake.read("cohort_completion", ["academy"], data_dir=upgraded.root)
    assert set(cohorts["snapshot_date"].to_pylist()) == {SECOND}
