"""Building the warehouse while other processes have it open, or build it too. The others are real processes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse
from lms_pipeline.tables.metrics import COURSE_COMPLETION
from lms_pipeline_tests.support.lake_files import FIRST, publish
from lms_pipeline_tests.support.warehouse_builds import leaving_out_comments

WRITER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("CREATE TABLE mine (a INT)")
connection.execute("INSERT INTO mine VALUES (1)")
print("written", flush=True)
sys.stdin.read()
"""

BUILDER = """
import sys, pathlib
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.warehouse import build_warehouse
print("ready", flush=True)
sys.stdin.readline()
print(build_warehouse(DataDir(pathlib.Path(sys.argv[1]))).rows["course_completion"])
"""


@pytest.fixture(scope="module", autouse=True)
def _without_comments():
    with leaving_out_comments():
        yield


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


@contextmanager
def process(code: str, argument: object) -> Iterator[subprocess.Popen[str]]:
    """Start a process and wait for its first line; it is killed at the end, so that it cleans nothing up."""
    command = [sys.executable, "-c", code, str(argument)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline()
            yield running
        finally:
            running.kill()


def grow(data: DataDir, count: int) -> None:
    """Publish `count` courses."""
    publish(data, "acme", FIRST, *({"course_id": f"c{number}"} for number in range(count)), table=COURSE_COMPLETION)


def count_courses(connection: duckdb.DuckDBPyConnection) -> int:
    return len(connection.table("course_completion"))


def builds(data: DataDir) -> set[str]:
    return {path.name for path in (data.state / "warehouse").glob("lms-*")}


def test_the_log_of_a_writer_of_an_older_build_does_not_block_the_new_build(data):
    """The writer is killed after the swap, and its write-ahead log stays."""
    grow(data, 1)
    build_warehouse(data)
    older = data.warehouse.resolve()
    with process(WRITER, data.warehouse):
        grow(data, 2)
        build_warehouse(data)
    assert older.with_name(f"{older.name}.wal").exists()
    with open_warehouse(data) as connection:
        assert count_courses(connection) == 2
    with duckdb.connect(str(data.warehouse)) as connection:
        assert count_courses(connection) == 2
        assert connection.sql("SHOW TABLES").filter("name = 'mine'").fetchall() == []


def test_a_reader_is_refused_while_a_writer_has_it_open_until_the_next_build(data):
    build_warehouse(data)
    with process(WRITER, data.warehouse):
        with pytest.raises(LakeError, match="can't be opened: close the program that"), open_warehouse(data):
            pass
        build_warehouse(data)
        with open_warehouse(data) as connection:
            assert count_courses(connection) == 0


def test_a_regular_file_with_the_log_of_a_writer_is_replaced(data):
    with duckdb.connect(str(data.warehouse)) as connection:
        connection.execute("CREATE TABLE old (a INT)")
    with process(WRITER, data.warehouse):
        pass
    log = data.warehouse.with_name("lms.duckdb.wal")
    assert log.exists()
    grow(data, 1)
    build_warehouse(data)
    assert data.warehouse.is_symlink()
    assert not log.exists()
    with duckdb.connect(str(data.warehouse)) as connection:
        assert count_courses(connection) == 1


def test_a_reader_keeps_its_build_during_and_after_a_swap(data):
    grow(data, 1)
    build_warehouse(data)
    with open_warehouse(data) as connection:
        for count in (2, 3, 4):
            grow(data, count)
            build_warehouse(data)
            assert count_courses(connection) == 1
    with open_warehouse(data) as connection:
        assert count_courses(connection) == 4


def test_a_second_reader_of_the_same_process_sees_the_new_build(data):
    grow(data, 1)
    build_warehouse(data)
    with open_warehouse(data) as older:
        grow(data, 2)
        build_warehouse(data)
        with open_warehouse(data) as newer:
            assert (count_courses(older), count_courses(newer)) == (1, 2)


def test_simultaneous_builds_in_two_processes_both_succeed(data):
    grow(data, 3)
    with process(BUILDER, data.root) as one, process(BUILDER, data.root) as other:
        for builder in (one, other):
            assert builder.stdin is not None
            builder.stdin.write("go\n")
            builder.stdin.flush()
        found = [builder.communicate(timeout=60)[0] for builder in (one, other)]
    assert found == ["3\n", "3\n"]
    with open_warehouse(data) as connection:
        assert count_courses(connection) == 3


def test_older_builds_are_removed_with_their_logs(data):
    build_warehouse(data)
    oldest = data.warehouse.resolve()
    oldest.with_name(f"{oldest.name}.wal").touch()
    build_warehouse(data)
    one_before = data.warehouse.resolve().name
    build_warehouse(data)
    assert builds(data) == {one_before, data.warehouse.resolve().name}


def test_the_current_build_stays_if_older_builds_seem_newer(data):
    """As after the clock was set back, or while a program still writes into them."""
    for _ in range(3):
        build_warehouse(data)
        later = time.time() + 3600
        os.utime(data.warehouse.resolve(), (later, later))
    build_warehouse(data)
    with open_warehouse(data) as connection:
        assert count_courses(connection) == 0


def test_the_link_is_relative_to_the_data_directory(data, tmp_path):
    build_warehouse(data)
    assert not data.warehouse.readlink().is_absolute()
    moved = DataDir(tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved")))
    with open_warehouse(moved) as connection:
        assert count_courses(connection) == 0


def test_the_folder_into_which_a_reader_spills_blocks_no_build(data):
    build_warehouse(data)
    (data.state / "warehouse" / f"{data.warehouse.resolve().name}.tmp").mkdir()
    for _ in range(3):
        build_warehouse(data)
    assert len(builds(data)) == 2
