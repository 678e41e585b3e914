"""How many pairs of the rotation differ from the rows that would have been carried over."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from lms_pipeline.lake.engine import duckdb_session, load_sql

COMPARED = ("status", "progress_percent", "completed_at", "enrolled_at", "score", "time_spent_seconds")


def compare(
    previous: Mapping[str, object], current: Mapping[str, object], sentinels_end: datetime | None = None
) -> tuple[int, int]:
    """Return how many pairs were fetched and differ, of one pair with these values in both snapshots."""
    with duckdb_session() as connection:
        connection.execute("SET VARIABLE sentinels_end = $value", {"value": sentinels_end})
        connection.execute("""
            CREATE TABLE plan AS
            SELECT
                'u1' AS user_id, 'c1' AS course_id, 'rotation' AS kind, true AS is_fetched,
                TIMESTAMPTZ '2026-03-02 02:00:00+00' AS fetched_at
        """)
        current = {"updated_at": "NULL::TIMESTAMPTZ", **current}
        for table, values in (("previous_rows", previous), ("current_rows", current)):
            columns = ", ".join(f"{value} AS {name}" for name, value in values.items())
            connection.execute(f"CREATE TABLE {table} AS SELECT 'u1' AS user_id, 'c1' AS course_id, {columns}")
        [figures] = connection.sql(load_sql("lms_pipeline.extract", "rotation.sql")).fetchall()
    return figures


ROW: dict[str, object] = dict.fromkeys(COMPARED, 1)


def test_an_equal_row_does_not_differ():
    assert compare(ROW, ROW) == (1, 0)


@pytest.mark.parametrize("column", COMPARED)
def test_a_row_with_another_value_differs(column):
    assert compare(ROW, ROW | {column: 2}) == (1, 1)


@pytest.mark.parametrize(("updated_at", "differing"), [("02:00:00", 1), ("02:00:01", 0)])
def test_a_row_that_changed_after_its_roster_does_not_differ(updated_at, differing):
    changed = ROW | {"status": 2, "updated_at": f"TIMESTAMPTZ '2026-03-02 {updated_at}+00'"}
    assert compare(ROW, changed) == (1, differing)


@pytest.mark.parametrize("column", COMPARED)
def test_a_column_that_the_previous_file_lacks_is_null(column):
    older = {name: value for name, value in ROW.items() if name != column}
    assert compare(older, ROW) == (1, 1)
    assert compare(older, ROW | {column: "NULL"}) == (1, 0)


@pytest.mark.parametrize("column", ["completed_at", "enrolled_at"])
def test_a_date_that_an_older_version_stored_for_no_date_is_null(column):
    dates: dict[str, object] = dict.fromkeys(("completed_at", "enrolled_at"), "TIMESTAMPTZ '2026-03-01 08:00:00+00'")
    older = ROW | dates | {column: "TIMESTAMPTZ '1970-01-01 00:00:00+00'"}
    of_1980 = datetime(1980, 1, 1, tzinfo=UTC)
    assert compare(older, ROW | dates | {column: "NULL::TIMESTAMPTZ"}, of_1980) == (1, 0)
    assert compare(older, ROW | dates, of_1980) == (1, 1)
