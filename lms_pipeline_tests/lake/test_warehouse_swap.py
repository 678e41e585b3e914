"""Building the warehouse while others have it open, or build it too. The others are real processes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pytest

from lms_pipeline.lake.disk import LakeError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.warehouse import build, reading
from lms_pipeline.tables.metrics import COURSE_COMPLETION
from lms_pipeline_tests.support.lake_files import FIRST, publish

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
from lms_pipeline.lake.warehouse import build
print("ready", flush=True)
sys.stdin.readline()
print(build(DataDir(pathlib.Path(sys.argv[1])))["course_completion"])
"""


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


@contextmanager
def process(code: str, argument: object) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that has said its first line; killed at the end, so that it cleans nothing up."""
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
    publish(
        data,
        "acme",
        FIRST,
        *({"course_id": f"c{number}"} for number in range(count)),
        table=COURSE_COMPLETION,
    )


def counted(connection: duckdb.DuckDBPyConnection) -> int:
    return len(connection.table("course_completion"))


def builds(data: DataDir) -> set[str]:
    return {path.name for path in (data.state / "warehouse").iterdir()} - {"lock"}


def test_what_somebody_wrote_into_an_older_one_keeps_nobody_out_of_the_new_one(data):
    """The foreign write-ahead log: the writer is killed after the swap, and its log stays."""
    grow(data, 1)
    build(data)
    older = data.warehouse.resolve()
    with process(WRITER, data.warehouse):
        grow(data, 2)
        build(data)
    assert older.with_name(f"{older.name}.wal").exists()
    with reading(data) as connection:
        assert counted(connection) == 2
    with duckdb.connect(str(data.warehouse)) as connection:
        assert counted(connection) == 2
        assert connection.sql("SHOW TABLES").filter("name = 'mine'").fetchall() == []


def test_a_reader_in_the_way_of_a_writer_is_told_and_a_build_helps(data):
    build(data)
    with process(WRITER, data.warehouse):
        with pytest.raises(LakeError, match="can't be opened: close the program that"), reading(data):
            pass
        build(data)
        with reading(data) as connection:
            assert counted(connection) == 0


def test_a_regular_file_of_old_with_a_foreign_log_beside_it_is_replaced(data):
    with duckdb.connect(str(data.warehouse)) as connection:
        connection.execute("CREATE TABLE old (a INT)")
    with process(WRITER, data.warehouse):
        pass
    log = data.warehouse.with_name("lms.duckdb.wal")
    assert log.exists()
    grow(data, 1)
    build(data)
    assert data.warehouse.is_symlink()
    assert not log.exists()
    with duckdb.connect(str(data.warehouse)) as connection:
        assert counted(connection) == 1


def test_a_reader_goes_on_while_it_is_swapped_and_after(data):
    grow(data, 1)
    build(data)
    with reading(data) as connection:
        for count in (2, 3, 4):
            grow(data, count)
            build(data)
            assert counted(connection) == 1
    with reading(data) as connection:
        assert counted(connection) == 4


def test_who_opens_it_again_sees_the_new_one_though_an_older_is_open_in_the_same_process(data):
    grow(data, 1)
    build(data)
    with reading(data) as older:
        grow(data, 2)
        build(data)
        with reading(data) as newer:
            assert (counted(older), counted(newer)) == (1, 2)


def test_builds_in_two_processes_at_once_both_succeed(data):
    grow(data, 3)
    with process(BUILDER, data.root) as one, process(BUILDER, data.root) as other:
        for builder in (one, other):
            assert builder.stdin is not None
            builder.stdin.write("go\n")
            builder.stdin.flush()
        found = [builder.communicate(timeout=60)[0] for builder in (one, other)]
    assert found == ["3\n", "3\n"]
    with reading(data) as connection:
        assert counted(connection) == 3


def test_older_builds_are_removed_with_their_logs(data):
    build(data)
    oldest = data.warehouse.resolve()
    oldest.with_name(f"{oldest.name}.wal").touch()
    build(data)
    one_before = data.warehouse.resolve().name
    build(data)
    assert builds(data) == {one_before, data.warehouse.resolve().name}


def test_the_build_of_now_stays_also_where_older_ones_seem_newer(data):
    """As where the clock was set back, or somebody still writes into them."""
    for _ in range(3):
        build(data)
        later = time.time() + 3600
        os.utime(data.warehouse.resolve(), (later, later))
    build(data)
    with reading(data) as connection:
        assert counted(connection) == 0


def test_a_link_does_not_tell_where_the_data_directory_stood(data, tmp_path):
    build(data)
    assert not data.warehouse.readlink().is_absolute()
    moved = DataDir(tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved")))
    with reading(moved) as connection:
        assert counted(connection) == 0


def test_the_folder_into_which_a_reader_spills_is_not_in_the_way(data):
    build(data)
    (data.state / "warehouse" / f"{data.warehouse.resolve().name}.tmp").mkdir()
    for _ in range(3):
        build(data)
    assert len(builds(data)) == 2
