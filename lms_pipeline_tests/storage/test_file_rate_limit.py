"""The file of a rate limit, damaged, replaced or locked: the calls are counted again, or an error says why not."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lms_pipeline.storage import file_rate_limit
from lms_pipeline.storage.damaged_files import set_aside
from lms_pipeline.storage.file_rate_limit import FileRateLimiter
from lms_pipeline.storage.rate_limit import RateLimit
from lms_pipeline.storage.state import StateError
from lms_pipeline_tests.support.damages import DATABASE_DAMAGES
from lms_pipeline_tests.support.rate_limits import WINDOW, SetClock, build_limiter

ROOT = Path(__file__).parents[2]
DAMAGED = """
import sys
from pathlib import Path
from threading import Barrier, Thread
from lms_pipeline.storage.file_rate_limit import FileRateLimiter
from lms_pipeline.storage.rate_limit import RateLimit
path = Path(sys.argv[1])
limiter = FileRateLimiter(path, RateLimit(1_000, 60, "the test"))
barrier, finished = Barrier(8), []

def acquire():
    for _ in range(20):
        if barrier.wait() == 0:
            path.write_bytes(b"no database" * 2_000)
        barrier.wait()
        limiter.acquire()
        limiter.acquire()
    finished.append(1)

threads = [Thread(target=acquire) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(finished))
"""
"""Eight threads of one process find a damaged file at once, again and again."""


def test_a_damaged_file_is_set_aside_with_a_warning(tmp_path, caplog):
    path = tmp_path / "calls.sqlite"
    path.write_bytes(b"no database" * 100)
    build_limiter(path, 1).acquire()
    assert (tmp_path / "calls.sqlite.damaged").read_bytes() == b"no database" * 100
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"{path} is damaged (file is not a database): it is now {path}.damaged, and calls are")


def test_a_file_with_a_damaged_page_is_set_aside(tmp_path):
    path, clock = tmp_path / "calls.sqlite", SetClock()
    first = build_limiter(path, 10_000, clock)
    for _ in range(500):
        first.acquire()
    first.close()
    content = bytearray(path.read_bytes())
    content[4_096 : 4_096 + 3_000] = b"\xff" * 3_000
    path.write_bytes(content)
    build_limiter(path, 10_000, clock).acquire()
    assert path.with_suffix(".sqlite.damaged").exists()


@pytest.mark.parametrize("damage", DATABASE_DAMAGES.values(), ids=DATABASE_DAMAGES)
def test_any_damaged_file_is_set_aside_with_one_warning(tmp_path, caplog, damage):
    path = tmp_path / "calls.sqlite"
    build_limiter(path, 1).close()
    damage(path)
    clock, waits = SetClock(), list[float]()
    one = build_limiter(path, 1, clock, waits)
    one.acquire()
    one.acquire()
    assert waits == [60]
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"{path} is damaged (")


@pytest.mark.parametrize("damage", ["random bytes", "tables of another program"])
def test_a_file_that_is_damaged_while_it_is_used_is_set_aside(tmp_path, caplog, damage):
    path = tmp_path / "calls.sqlite"
    one = build_limiter(path, 1)
    DATABASE_DAMAGES[damage](path)
    one.acquire()
    assert path.with_suffix(".sqlite.damaged").exists()


def test_threads_that_find_a_damaged_file_at_once_open_it_once(tmp_path):
    path = tmp_path / "calls.sqlite"
    process = subprocess.run(
        [sys.executable, "-c", DAMAGED, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (process.returncode, process.stdout) == (0, "8\n")
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM slots").fetchone() == (16,)


@pytest.mark.parametrize("remove", [lambda path: set_aside(path, "it is odd", "it is counted again"), Path.unlink])
def test_a_file_that_another_process_set_aside_or_removed_is_opened_again(tmp_path, caplog, remove):
    path, clock, waits = tmp_path / "calls.sqlite", SetClock(), list[float]()
    first = build_limiter(path, 1, clock, waits)
    first.acquire()
    remove(path)
    caplog.clear()
    second = build_limiter(path, 1, clock, waits)
    second.acquire()
    first.acquire()
    second.acquire()
    assert (waits, caplog.records) == ([60, 120], [])


def test_a_cancelled_wait_takes_no_call_out_of_a_file_that_replaced_the_old_one(tmp_path):
    path, clock, waits = tmp_path / "calls.sqlite", SetClock(), list[float]()

    def replace_file(_seconds: float) -> None:
        set_aside(path, "it is odd", "it is counted again")
        clock.advance(1)
        for _ in range(2):
            other.acquire()
        raise KeyboardInterrupt

    first = FileRateLimiter(path, RateLimit(1, WINDOW, "the test"), replace_file, clock.clocks)
    other = build_limiter(path, 1, clock, waits)
    first.acquire()
    with pytest.raises(KeyboardInterrupt):
        first.acquire()
    other.acquire()
    assert waits == [60, 120]


def test_the_use_of_a_closed_file_is_an_error_and_no_damage(tmp_path, caplog):
    path = tmp_path / "calls.sqlite"
    one = build_limiter(path, 1)
    one.close()
    with pytest.raises(StateError, match="closed database") as error:
        one.acquire()
    assert not error.value.may_pass  # the disk needs a person
    assert (caplog.records, [file.name for file in tmp_path.iterdir()]) == ([], ["calls.sqlite"])


def test_rows_of_other_types_are_damage(tmp_path):
    path = tmp_path / "calls.sqlite"
    build_limiter(path, 1).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("INSERT INTO latest VALUES ('id', 'then', 'now')")
    build_limiter(path, 1).acquire()
    assert path.with_suffix(".sqlite.damaged").exists()


def test_after_a_failed_commit_the_next_call_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(file_rate_limit, "BUSY_TIMEOUT_SECONDS", 0.0)
    one = build_limiter(tmp_path / "calls.sqlite", 2)
    with closing(sqlite3.connect(tmp_path / "calls.sqlite", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM slots").fetchall()  # a commit has to wait for it
        with pytest.raises(StateError, match="database is locked"):
            one.acquire()
    one.acquire()
