"""DuckDB sessions: in UTC, isolated, within their memory, spilling into the given folder."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace

import duckdb
import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.lake import engine
from lms_pipeline.lake.engine import MAX_THREADS, convert_memory_errors, duckdb_session, execute_file, load_sql


def test_times_are_in_utc_on_any_machine(monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    with duckdb_session() as connection:
        [row] = connection.sql("SELECT TIMESTAMPTZ '2026-03-01 23:30:00', current_setting('TimeZone')").fetchall()
    assert row == (datetime(2026, 3, 1, 23, 30, tzinfo=UTC), "UTC")


def test_sessions_are_isolated_from_each_other():
    with duckdb_session() as one, duckdb_session() as other:
        one.execute("CREATE TABLE mine (a INT)")
        assert other.sql("SHOW TABLES").fetchall() == []


def test_a_session_leaves_nothing_to_the_next():
    with duckdb_session(threads=1) as connection:
        first = connection.sql("SELECT current_setting('threads')").fetchall()
        connection.execute("CREATE TABLE mine (a INT); CREATE TEMP TABLE passing (a INT); SET VARIABLE b = 1")
    with duckdb_session() as connection:
        assert connection.sql("SHOW ALL TABLES").fetchall() == []
        assert connection.sql("SELECT getvariable('b')").fetchall() == [(None,)]
        assert first == [(1,)]
        assert connection.sql("SELECT current_setting('threads')").fetchall() == [
            (min(os.cpu_count() or 1, MAX_THREADS),)
        ]


def test_sessions_of_many_threads_have_a_database_each():
    def count_rows(number):
        with duckdb_session() as connection:
            connection.execute("CREATE TABLE mine AS FROM range($1)", [number])
            return connection.sql("SELECT count(*) FROM mine").fetchall()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(count_rows, range(40))) == [[(number,)] for number in range(40)]


def test_a_session_whose_result_is_still_read_is_not_reused():
    with duckdb_session() as connection:
        connection.execute("CREATE TABLE mine AS FROM range(1_000_000)")
        rows = connection.sql("FROM mine").to_arrow_reader(10)
        next(rows)
    with duckdb_session() as other:
        assert other.sql("SHOW ALL TABLES").fetchall() == []
        other.execute("CREATE TABLE mine (a INT)")


def test_a_session_may_have_a_memory_limit_of_its_own():
    with duckdb_session(memory_limit="64MiB") as connection:
        assert connection.sql("SELECT current_setting('memory_limit')").fetchall() == [("64.0 MiB",)]
    with duckdb_session() as connection:
        assert connection.sql("SELECT current_setting('memory_limit')").fetchall() == [("488.2 MiB",)]


def test_a_query_larger_than_the_memory_spills_into_the_folder_and_leaves_nothing_there(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "MEMORY_LIMIT", "50MB")
    with duckdb_session(spill_to=tmp_path, threads=1) as connection:
        query = "SELECT md5(i::VARCHAR) AS a, i FROM range(1_500_000) AS t(i) ORDER BY a"
        batches = connection.sql(query).to_arrow_reader(100_000)
        assert next(batches).num_rows > 0
        assert list(tmp_path.iterdir()) != []
        batches.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cores", [1, 2, 16, 32])
def test_a_session_has_two_threads_at_most_on_any_machine(monkeypatch, cores):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    with duckdb_session() as connection:
        assert connection.sql("SELECT current_setting('threads')").fetchall() == [(min(cores, 2),)]


READERS = {
    "rows": lambda rows: rows.fetchall(),
    "a table": lambda rows: rows.to_arrow_table(),
    "batches": lambda rows: list(rows.to_arrow_reader(1_000)),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_query_that_can_not_spill_is_one_sentence(monkeypatch, read):
    monkeypatch.setattr(engine, "MEMORY_LIMIT", "20MB")
    with pytest.raises(LakeError) as caught, duckdb_session() as connection:
        read(connection.sql("SELECT md5(i::VARCHAR) AS a, i FROM range(1_500_000) AS t(i) ORDER BY a"))
    assert str(caught.value) == (
        "A query needs more than 20MB of memory, and can't spill the rest to a disk: free some space there; if there is "
        'enough, a record is too large, and the option remote_data = "drop" of its account leaves the LMS\'s own records out.'
    )


def test_a_full_disk_under_a_query_is_one_sentence_with_the_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "MEMORY_LIMIT", "20MB")

    def sort(connection):
        connection.execute("SET max_temp_directory_size = '1MB'")
        connection.sql("SELECT md5(i::VARCHAR) AS a, i FROM range(1_500_000) AS t(i) ORDER BY a").fetchall()

    with (
        pytest.raises(LakeError, match=f"can't spill the rest to {tmp_path}: free some space"),
        duckdb_session(spill_to=tmp_path) as connection,
    ):
        sort(connection)


class TestSpilling:
    @pytest.fixture(autouse=True)
    def little_memory(self, monkeypatch):
        monkeypatch.setattr(engine, "MEMORY_LIMIT", "20MB")

    def sort(self, folder):
        with duckdb_session(spill_to=folder) as connection:
            connection.sql("SELECT md5(i::VARCHAR) AS a, i FROM range(1_500_000) AS t(i) ORDER BY a").fetchall()

    @pytest.mark.parametrize("free", [0, 2_000_000])
    def test_takes_half_of_the_free_space_at_most(self, monkeypatch, tmp_path, free):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
        with pytest.raises(LakeError, match=f"can't spill the rest to {tmp_path}: free some space"):
            self.sort(tmp_path)

    def test_to_a_disk_that_runs_full_is_one_sentence(self, monkeypatch, small_disk):
        monkeypatch.setattr(engine, "MAX_SPILL_SHARE", 100)
        with pytest.raises(LakeError) as caught:
            self.sort(small_disk / "spilled")
        assert str(caught.value) == (
            f"A query can't spill to {small_disk / 'spilled'}: the disk is full; free some space and run it again."
        )


def test_other_errors_of_a_query_stay_as_they_are():
    with pytest.raises(duckdb.CatalogException), duckdb_session() as connection:
        connection.execute("FROM nothing")


def test_a_connection_is_closed_if_its_block_raises():
    with pytest.raises(ZeroDivisionError), duckdb_session() as connection:
        _ = 1 / 0
    with pytest.raises(duckdb.ConnectionException):
        connection.execute("SELECT 1")


def test_sql_is_read_from_a_file_of_the_package():
    assert "GROUP BY _key" in load_sql("lms_pipeline.transform", "dropped.sql")
    with pytest.raises(FileNotFoundError):
        load_sql("lms_pipeline.lake", "nothing.sql")


def test_the_statements_of_a_file_run_in_each_session():
    for _ in range(2):
        with duckdb_session() as connection:
            execute_file(connection, "lms_pipeline.tables", "normalize_role.sql")
            assert connection.execute("SELECT normalize_role(' Learner ')").fetchall() == [("learner",)]


def test_an_error_that_only_quotes_duckdbs_is_not_about_memory():
    with pytest.raises(ValueError, match="the server says"), convert_memory_errors(None):
        raise ValueError("the server says: Out of Memory Error")
