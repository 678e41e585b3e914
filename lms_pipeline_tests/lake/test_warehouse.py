"""The content of the warehouse: a view for each pulled table, the metric tables stored."""

from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse
from lms_pipeline.tables.catalog import LATEST_DAY_TABLES, STORED_TABLES, TABLES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.tables.over_time import COMPLETION_TREND
from lms_pipeline.tables.pulled import COURSES, LEARNERS, PULLED_TABLES, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import arrow_schema
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.lake_files import (
    FIRST,
    NOON,
    SECOND,
    THIRD,
    enrollment,
    limit_file_size,
    publish,
    publish_all_accounts,
)
from lms_pipeline_tests.support.old_duckdb import needs_old_duckdb, read_warehouse
from lms_pipeline_tests.support.warehouse_builds import leaving_out_comments


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


@pytest.fixture(scope="class")
def without_comments():
    with leaving_out_comments():
        yield


def rows_of(data, query):
    with open_warehouse(data) as connection:
        return connection.sql(query).fetchall()


def test_an_empty_lake_gives_every_table(data):
    assert build_warehouse(data).rows == {table.name: 0 for table in STORED_TABLES}
    kinds = dict(rows_of(data, "SELECT table_name, table_type FROM information_schema.tables"))
    assert kinds == {
        **{table.name: "VIEW" for table in (*PULLED_TABLES, COMPLETION_TREND)},
        **{table.name: "BASE TABLE" for table in STORED_TABLES},
    }


@pytest.mark.parametrize("filled", [False, True])
def test_columns_have_their_types_with_and_without_files(data, filled):
    if filled:
        for table in TABLES.values():
            publish_any(data, table)
    build_warehouse(data)
    with open_warehouse(data) as connection:
        for table in TABLES.values():
            account = {"account_id": pa.string()} if table.per_account else {}
            schema = connection.table(table.name).limit(0).to_arrow_table().schema
            assert schema.names == [*account, "snapshot_date", *table.column_names]
            assert schema.types == [*account.values(), pa.date32(), *arrow_schema(table).types]


def publish_any(data, table):
    """Publish a row of a table, of an account or of all accounts."""
    if table.per_account:
        publish(data, "acme", FIRST, {}, table=table)
    else:
        publish_all_accounts(data, FIRST, {}, table=table)


@pytest.mark.usefixtures("without_comments")
def test_views_show_the_rows_with_their_account_and_day(data):
    publish(data, "007", FIRST, enrollment("u1", due_at=NOON))
    publish(data, "7", SECOND, enrollment("u2"))
    build_warehouse(data)
    query = "SELECT account_id, snapshot_date, user_id, due_at FROM unified_enrollments ORDER BY ALL"
    assert rows_of(data, query) == [("007", FIRST, "u1", NOON), ("7", SECOND, "u2", None)]


@pytest.mark.usefixtures("without_comments")
def test_files_published_later_are_seen_without_building_again(data):
    publish(data, "acme", FIRST, enrollment("u1"))
    build_warehouse(data)
    with open_warehouse(data) as connection:
        publish(data, "other", SECOND, enrollment("u2"))
        publish(data, "acme", FIRST, enrollment("u3"))
        found = connection.sql("SELECT user_id FROM unified_enrollments ORDER BY 1").fetchall()
    assert found == [("u2",), ("u3",)]


@pytest.mark.usefixtures("without_comments")
def test_files_that_are_not_published_are_not_seen(data):
    publish(data, "acme", FIRST, enrollment("u1"))
    hidden = data.unpublished_file(UNIFIED_ENROLLMENTS, Partition("acme", FIRST), "run-2")
    hidden.write_bytes(b"half a file")
    build_warehouse(data)
    assert rows_of(data, "SELECT user_id FROM unified_enrollments") == [("u1",)]


@pytest.mark.usefixtures("without_comments")
def test_metric_tables_are_stored_and_counted(data):
    path = publish(data, "acme", FIRST, {"course_id": "c1", "n_all": 3}, table=COURSE_COMPLETION).path
    publish(data, "acme", SECOND, {"course_id": "c1", "n_all": 4}, table=COURSE_COMPLETION)
    publish(data, "acme", SECOND, {"n_all": 4}, table=ACCOUNT_COMPLETION)
    stored = {"course_completion": 2, "account_completion": 1}
    assert build_warehouse(data).rows == {table.name: stored.get(table.name, 0) for table in STORED_TABLES}
    path.unlink()
    query = "SELECT account_id, snapshot_date, course_id, n_all FROM course_completion ORDER BY snapshot_date"
    assert rows_of(data, query) == [("acme", FIRST, "c1", 3), ("acme", SECOND, "c1", 4)]


@pytest.mark.usefixtures("without_comments")
@pytest.mark.parametrize("table", LATEST_DAY_TABLES, ids=lambda table: table.name)
def test_large_tables_are_stored_only_for_the_latest_day_of_each_account(data, table):
    for account, day in (("acme", FIRST), ("acme", THIRD), ("acme", SECOND), ("other", FIRST)):
        publish(data, account, day, {}, table=table)
    assert build_warehouse(data).rows[table.name] == 2
    query = f"SELECT account_id, snapshot_date FROM {table.name} ORDER BY ALL"  # noqa: S608
    assert rows_of(data, query) == [("acme", THIRD), ("other", FIRST)]


@pytest.mark.usefixtures("without_comments")
def test_the_portfolio_is_stored_for_all_days(data):
    for day, accounts in ((THIRD, 3), (FIRST, 1)):
        publish_all_accounts(data, day, {"accounts": accounts})
    assert build_warehouse(data).rows["portfolio_completion"] == 2
    query = "SELECT snapshot_date, accounts FROM portfolio_completion ORDER BY ALL"
    assert rows_of(data, query) == [(FIRST, 1), (THIRD, 3)]


@pytest.mark.usefixtures("without_comments")
def test_a_column_that_an_older_file_lacks_is_null_and_an_unknown_column_is_left_out(data):
    publish(data, "acme", SECOND, {"course_id": "new", "status": "open"}, table=COURSES)
    old = data.file(COURSES, Partition("acme", FIRST))
    old.parent.mkdir(parents=True)
    pq.write_table(pa.table({"later": [1], "course_id": ["old"]}), old)
    build_warehouse(data)
    query = "SELECT * EXCLUDE (fetched_at) FROM courses ORDER BY snapshot_date"
    assert rows_of(data, query) == [
        ("acme", FIRST, "old", None, None, None, None, None),
        ("acme", SECOND, "new", None, "open", None, None, None),
    ]


def test_columns_and_tables_have_their_meaning_as_a_comment(data):
    build_warehouse(data)
    query = "SELECT comment FROM duckdb_columns() WHERE table_name = 'learners' AND column_name = 'user_id'"
    assert rows_of(data, query) == [("Identifier of the learner",)]
    [(comment,)] = rows_of(data, "SELECT comment FROM duckdb_views() WHERE view_name = 'learners'")
    assert comment == LEARNERS.doc


def test_older_programs_can_open_the_file(data):
    build_warehouse(data)
    assert rows_of(data, "SELECT tags['storage_version'] FROM duckdb_databases() WHERE NOT internal") == [("v1.0.0+",)]


FOLDERS = ["it's $a", "env=prod/é ü", 'say "x"; -- {b}']


@needs_old_duckdb
@pytest.mark.parametrize("folder", ["data", *choose(["/".join(FOLDERS)], FOLDERS)])
def test_an_old_duckdb_reads_it_in_a_folder_of_any_name(tmp_path, folder):
    data = DataDir(tmp_path / folder)
    publish(data, "007", FIRST, enrollment("u1", due_at=NOON, user_emails=[{"email": "ann@example.org"}]))
    publish(data, "42", SECOND, enrollment("u2"))
    publish(data, "007", FIRST, {"n_all": 1, "completion_rate": 0.5}, table=ACCOUNT_COMPLETION)
    build_warehouse(data)
    found = read_warehouse(data)
    assert found.pop("unified_enrollments") == (2, 2, "2026-03-01", "2026-03-02")
    assert found.pop("account_completion") == (1, 1, "2026-03-01", "2026-03-01")
    assert found.pop("completion_trend") == (1, 1, "2026-03-01", "2026-03-01")
    assert found == dict.fromkeys(TABLES.keys() - {"unified_enrollments", "account_completion"}, (0, 0, None, None))


@pytest.mark.usefixtures("without_comments")
def test_a_build_leaves_only_its_file(data):
    publish(data, "acme", FIRST, {"n_all": 3}, table=ACCOUNT_COMPLETION)
    build_warehouse(data)
    assert [path.suffix for path in (data.state / "warehouse").glob("lms-*")] == [".duckdb"]


@pytest.mark.usefixtures("without_comments")
def test_the_data_directory_may_have_any_name(tmp_path):
    data = DataDir(tmp_path / "it's $a" / 'say "x"; --' / "env=prod" / "é {b}")
    publish(data, "acme", FIRST, enrollment("u1"))
    publish(data, "acme", FIRST, {"user_id": "u1"}, table=LEARNER_COMPLETION)
    assert build_warehouse(data).rows["learner_completion"] == 1
    [row] = rows_of(data, "SELECT * FROM unified_enrollments")
    assert row[:2] == ("acme", FIRST)
    assert len(row) == 2 + len(UNIFIED_ENROLLMENTS.columns)


@pytest.mark.usefixtures("without_comments")
def test_times_are_in_utc(data, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    publish(data, "acme", FIRST, enrollment("u1"))
    build_warehouse(data)
    query = "SELECT fetched_at::VARCHAR, fetched_at::DATE FROM unified_enrollments"
    assert rows_of(data, query) == [("2026-03-02 12:00:00+00", date(2026, 3, 2))]


class TestErrors:
    def test_a_warehouse_that_was_not_built_is_one_sentence(self, data):
        with pytest.raises(LakeError, match=r"^There is no warehouse at .*lms\.duckdb yet: run `lms-pipeline mat"):
            rows_of(data, "SELECT 1")

    def test_a_file_that_is_no_database_is_one_sentence(self, data):
        data.warehouse.write_text("hello")
        with pytest.raises(LakeError, match=r"lms\.duckdb can't be opened: .*which builds a new one\.$"):
            rows_of(data, "SELECT 1")

    @pytest.mark.usefixtures("without_comments")
    def test_the_connection_is_read_only(self, data):
        build_warehouse(data)
        with open_warehouse(data) as connection, pytest.raises(duckdb.InvalidInputException, match="read-only"):
            connection.execute("CREATE TABLE mine (a INT)")

    def test_a_full_disk_leaves_the_old_warehouse(self, data):
        build_warehouse(data)
        with limit_file_size(50_000), pytest.raises(LakeError, match=r"^The warehouse can't be built, and the old"):
            build_warehouse(data)
        assert rows_of(data, "SELECT count(*) FROM courses") == [(0,)]

    def test_a_file_in_the_place_of_a_folder_is_one_sentence(self, data):
        data.state.write_text("")
        with pytest.raises(LakeError, match="state/warehouse can't be written: Not a directory; "):
            build_warehouse(data)
