"""Limits on requests that all processes with the same data directory share, in real time."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_pipeline.damaged_files import set_aside
from lms_pipeline.sandbox import Switches, Tier, running
from lms_pipeline.truto import rate_limit
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.query import ListQuery, ObjectQuery
from lms_pipeline.truto.rate_limit import (
    ApiRateLimits,
    Clocks,
    RateLimit,
    RateLimitExceededError,
    RateLimitStateError,
    SharedRateLimiter,
)
from lms_pipeline.truto.request import build_accounts_request, build_list_request, build_record_request
from lms_pipeline_tests.support.damages import DATABASE_DAMAGES
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld

ROOT = Path(__file__).parents[2]
PROCESS = """
import sys
from pathlib import Path
from lms_pipeline.truto.rate_limit import Clocks, RateLimit, SharedRateLimiter
read, stamps, waits = Clocks().boot, [], []
clocks = Clocks(boot=lambda: stamps.append(read()) or stamps[-1])
limiter = SharedRateLimiter(Path(sys.argv[1]), RateLimit(40, 60, "the test"), waits.append, clocks)
for _ in range(30):
    waits.clear()
    limiter.acquire()
    print(stamps[-1] + sum(waits))
"""
"""Prints the times that are reserved for its calls, without waiting for them."""
DAMAGED = """
import sys
from pathlib import Path
from threading import Barrier, Thread
from lms_pipeline.truto.rate_limit import RateLimit, SharedRateLimiter
path = Path(sys.argv[1])
limiter = SharedRateLimiter(path, RateLimit(1_000, 60, "the test"))
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
WINDOW = 60.0


class SetClock:
    """A machine whose clocks a test sets."""

    def __init__(self) -> None:
        self.boot = 1_000.0
        self.wall = 1_800_000_000.0
        self.boot_id = "first"

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.boot, lambda: self.wall, lambda: self.boot_id)

    def advance(self, seconds: float) -> None:
        self.boot += seconds
        self.wall += seconds

    def restart(self, after: float, wall_step: float = 0) -> None:
        self.boot, self.wall, self.boot_id = 5.0, self.wall + after + wall_step, f"after {self.boot_id}"


def limiter(
    path: Path, calls: int, clock: SetClock | None = None, waits: list[float] | None = None
) -> SharedRateLimiter:
    sleep = (lambda _seconds: None) if waits is None else waits.append
    return SharedRateLimiter(path, RateLimit(calls, WINDOW, "the test"), sleep, clock.clocks if clock else None)


def test_four_processes_at_once_never_exceed_the_limit(tmp_path):
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "calls.sqlite")]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    reserved = sorted(float(at) for process in processes for at in process.communicate(timeout=60)[0].split())
    assert len(reserved) == 120
    assert all(later - earlier >= WINDOW - 1e-3 for earlier, later in zip(reserved, reserved[40:], strict=False))
    assert reserved[-1] - reserved[0] < 3 * WINDOW  # the limit is also used


def test_processes_wait_in_the_order_of_their_arrival(tmp_path):
    clock, waits = SetClock(), list[float]()
    first, second = (limiter(tmp_path / "calls.sqlite", 1, clock, waits) for _ in range(2))
    for one in (first, second, first, second):
        one.acquire()
    assert waits == [60, 120, 180]


@pytest.mark.parametrize("step", [-86_400.0, -90.0, -30.0, 30.0, 90.0, 86_400.0])
def test_a_step_of_the_clock_changes_no_wait(tmp_path, step):
    clock, waits = SetClock(), list[float]()
    one = limiter(tmp_path / "calls.sqlite", 1, clock, waits)
    one.acquire()
    clock.advance(20)
    clock.wall += step
    one.acquire()
    assert waits == [40]


@pytest.mark.parametrize(
    ("after", "wall_step", "wait"), [(10, 0, 50), (59, 0, 1), (60, 0, 0), (600, 0, 0), (10, 3_600, 0), (10, -3_600, 60)]
)
def test_calls_before_a_restart_of_the_machine_count_by_the_wall_clock(tmp_path, after, wall_step, wait):
    clock, waits = SetClock(), list[float]()
    before = limiter(tmp_path / "calls.sqlite", 1, clock)
    before.acquire()
    before.close()
    clock.restart(after, wall_step)
    limiter(tmp_path / "calls.sqlite", 1, clock, waits).acquire()
    assert sum(waits) == pytest.approx(wait)


@given(
    calls=st.integers(1, 4),
    events=st.lists(
        st.one_of(
            st.tuples(st.just("advance"), st.floats(0, 100)),
            st.tuples(st.just("step"), st.floats(-1e6, 1e6)),
            st.tuples(st.just("restart"), st.floats(0, 100)),
        ),
        max_size=15,
    ),
)
@settings(max_examples=60)
def test_after_any_clock_event_one_call_waits_one_window_at_most(calls, events):
    clock, waits = SetClock(), list[float]()
    with TemporaryDirectory() as folder:
        one = limiter(Path(folder) / "calls.sqlite", calls, clock, waits)
        for kind, value in events:
            if kind == "advance":
                clock.advance(value)
            elif kind == "step":
                clock.wall += value
            else:
                clock.restart(value)
            waits.clear()
            one.acquire()
            assert sum(waits) <= WINDOW + 1e-6
            clock.advance(sum(waits))
        one.close()


def test_a_damaged_file_is_set_aside_with_a_warning(tmp_path, caplog):
    path = tmp_path / "calls.sqlite"
    path.write_bytes(b"no database" * 100)
    limiter(path, 1).acquire()
    assert (tmp_path / "calls.sqlite.damaged").read_bytes() == b"no database" * 100
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"{path} is damaged (file is not a database): it is now {path}.damaged, and calls are")


def test_a_file_with_a_damaged_page_is_set_aside(tmp_path):
    path, clock = tmp_path / "calls.sqlite", SetClock()
    first = limiter(path, 10_000, clock)
    for _ in range(500):
        first.acquire()
    first.close()
    content = bytearray(path.read_bytes())
    content[4_096 : 4_096 + 3_000] = b"\xff" * 3_000
    path.write_bytes(content)
    limiter(path, 10_000, clock).acquire()
    assert path.with_suffix(".sqlite.damaged").exists()


@pytest.mark.parametrize("damage", DATABASE_DAMAGES.values(), ids=DATABASE_DAMAGES)
def test_any_damaged_file_is_set_aside_with_one_warning(tmp_path, caplog, damage):
    path = tmp_path / "calls.sqlite"
    limiter(path, 1).close()
    damage(path)
    clock, waits = SetClock(), list[float]()
    one = limiter(path, 1, clock, waits)
    one.acquire()
    one.acquire()
    assert waits == [60]
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"{path} is damaged (")


@pytest.mark.parametrize("damage", ["random bytes", "tables of another program"])
def test_a_file_that_is_damaged_while_it_is_used_is_set_aside(tmp_path, caplog, damage):
    path = tmp_path / "calls.sqlite"
    one = limiter(path, 1)
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
    first = limiter(path, 1, clock, waits)
    first.acquire()
    remove(path)
    caplog.clear()
    second = limiter(path, 1, clock, waits)
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

    first = SharedRateLimiter(path, RateLimit(1, WINDOW, "the test"), replace_file, clock.clocks)
    other = limiter(path, 1, clock, waits)
    first.acquire()
    with pytest.raises(KeyboardInterrupt):
        first.acquire()
    other.acquire()
    assert waits == [60, 120]


def test_the_use_of_a_closed_file_is_an_error_and_no_damage(tmp_path, caplog):
    path = tmp_path / "calls.sqlite"
    one = limiter(path, 1)
    one.close()
    with pytest.raises(RateLimitStateError, match="closed database"):
        one.acquire()
    assert (caplog.records, [file.name for file in tmp_path.iterdir()]) == ([], ["calls.sqlite"])


def test_rows_of_other_types_are_damage(tmp_path):
    path = tmp_path / "calls.sqlite"
    limiter(path, 1).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("INSERT INTO latest VALUES ('id', 'then', 'now')")
    limiter(path, 1).acquire()
    assert path.with_suffix(".sqlite.damaged").exists()


def test_after_a_failed_commit_the_next_call_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(rate_limit, "BUSY_TIMEOUT_SECONDS", 0.0)
    one = limiter(tmp_path / "calls.sqlite", 2)
    with closing(sqlite3.connect(tmp_path / "calls.sqlite", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM slots").fetchall()  # a commit has to wait for it
        with pytest.raises(RateLimitStateError, match="database is locked"):
            one.acquire()
    one.acquire()


def test_a_cancelled_wait_gives_its_time_to_the_next(tmp_path):
    def cancel(_seconds: float) -> None:
        raise KeyboardInterrupt

    clock, waits = SetClock(), list[float]()
    limit = RateLimit(1, WINDOW, "the test")
    one = SharedRateLimiter(tmp_path / "calls.sqlite", limit, cancel, clock.clocks)
    one.acquire()
    with pytest.raises(KeyboardInterrupt):
        one.acquire()
    limiter(tmp_path / "calls.sqlite", 1, clock, waits).acquire()
    assert waits == [60]


def test_a_long_wait_is_logged_with_its_limit(tmp_path, caplog):
    clock = SetClock()
    one = limiter(tmp_path / "calls.sqlite", 1, clock)
    with caplog.at_level("INFO"):
        one.acquire()
        one.acquire()
    assert [record.getMessage() for record in caplog.records] == ["Waiting 60 s: the test."]


def test_a_call_after_the_deadline_is_refused_and_not_counted(tmp_path):
    clock, waits = SetClock(), list[float]()
    one = limiter(tmp_path / "calls.sqlite", 1, clock, waits)
    one.acquire()
    with pytest.raises(RateLimitExceededError):
        one.acquire(time.monotonic() + 5)
    one.acquire()
    assert waits == [60]


def test_the_next_process_counts_earlier_calls(tmp_path):
    clock = SetClock()
    first = limiter(tmp_path / "calls.sqlite", 1, clock)
    first.acquire()
    first.close()
    with pytest.raises(RateLimitExceededError):
        limiter(tmp_path / "calls.sqlite", 1, clock).acquire(time.monotonic())


class Sleeps:
    """Records the waits, and really waits."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        time.sleep(seconds)


def waits_of(tmp_path: Path, *accounts: str, token_calls: int, account_calls: int) -> list[float]:
    """Return how long requests to these accounts would wait, until the first wait."""

    class EnoughError(Exception):
        pass

    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        raise EnoughError

    rate_limits = ApiRateLimits(tmp_path, "token", token_calls=token_calls, account_calls=account_calls, sleep=sleep)
    for account in accounts:
        try:
            rate_limits(build_list_request("users", ListQuery(account)))
        except EnoughError:
            break
    rate_limits.close()
    return waits


def test_nine_tenths_of_the_tier_of_an_account_are_used(tmp_path):
    assert waits_of(tmp_path, *["acme"] * 9, token_calls=0, account_calls=10) == []
    [wait] = waits_of(tmp_path, "acme", token_calls=0, account_calls=10)
    assert 0 < wait <= 10


def test_the_tier_of_the_token_is_shared_by_all_accounts(tmp_path):
    accounts = [f"a{number}" for number in range(10)]
    [wait] = waits_of(tmp_path, *accounts, token_calls=10, account_calls=50)
    assert 0 < wait <= 10


def test_without_tiers_nothing_waits_and_nothing_is_written(tmp_path):
    assert waits_of(tmp_path, *["acme"] * 100, token_calls=0, account_calls=0) == []
    assert list(tmp_path.iterdir()) == []


def test_no_id_and_no_token_becomes_the_name_of_a_file(tmp_path):
    rate_limits = ApiRateLimits(tmp_path, "s3cret-token", token_calls=500, account_calls=50)
    rate_limits(build_list_request("users", ListQuery("../../x")))
    rate_limits(build_accounts_request())
    rate_limits(build_record_request("users", "u1", ObjectQuery("../../x")))
    rate_limits.close()
    names = Counter(path.suffix for path in tmp_path.iterdir())
    assert names[".sqlite"] == 2
    assert not any("s3cret" in path.name for path in tmp_path.rglob("*"))
    assert not any(b"s3cret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_server_with_a_limit_never_refuses(tmp_path):
    """The sandbox counts in a window of 1 s; twice as many calls are sent as fit into it."""
    waits = Sleeps()
    one_second = SharedRateLimiter(tmp_path / "calls.sqlite", RateLimit(18, 1, "the test"), waits)
    with running(SmallWorld()) as sandbox:
        sandbox.switch(Switches(token_tier=Tier(20, 1)))
        for _ in range(18):  # so that the first request waits, however slow the machine is
            one_second.acquire()
        with TrutoClient(sandbox.url, sandbox.token, gate=lambda _request: one_second.acquire()) as client:
            for number in range(40):
                list(client.fetch_pages("users", ListQuery(SWEEPING if number % 2 else PAIRED, limit=100)))
        assert sandbox.stats()["limited"] == {}
    assert waits.waits
    one_second.close()
