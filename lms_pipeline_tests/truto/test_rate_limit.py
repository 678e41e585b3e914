"""Limits on requests that all processes with the same data directory share, in real time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_pipeline.sandbox import Switches, Tier, running
from lms_pipeline.storage.file_rate_limit import Clocks, FileRateLimiter
from lms_pipeline.storage.file_state import FileState
from lms_pipeline.storage.rate_limit import RateLimit, RateLimitExceededError
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.query import ListQuery, ObjectQuery
from lms_pipeline.truto.rate_limit import ApiRateLimits
from lms_pipeline.truto.request import build_accounts_request, build_list_request, build_record_request
from lms_pipeline_tests.support.rate_limits import WINDOW, SetClock, build_limiter
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld

ROOT = Path(__file__).parents[2]
PROCESS = """
import sys
from pathlib import Path
from lms_pipeline.storage.file_rate_limit import Clocks, FileRateLimiter
from lms_pipeline.storage.rate_limit import RateLimit
read, stamps, waits = Clocks().boot, [], []
clocks = Clocks(boot=lambda: stamps.append(read()) or stamps[-1])
limiter = FileRateLimiter(Path(sys.argv[1]), RateLimit(40, 60, "the test"), waits.append, clocks)
for _ in range(30):
    waits.clear()
    limiter.acquire()
    print(stamps[-1] + sum(waits))
"""
"""Prints the times that are reserved for its calls, without waiting for them."""


def test_four_processes_at_once_never_exceed_the_limit(tmp_path):
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "calls.sqlite")]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    reserved = sorted(float(at) for process in processes for at in process.communicate(timeout=60)[0].split())
    assert len(reserved) == 120
    assert all(later - earlier >= WINDOW - 1e-3 for earlier, later in zip(reserved, reserved[40:], strict=False))
    assert reserved[-1] - reserved[0] < 3 * WINDOW  # the limit is also used


GREEDY = """
import sys, time
from pathlib import Path
from lms_pipeline.storage.file_rate_limit import Clocks, FileRateLimiter
from lms_pipeline.storage.rate_limit import RateLimit
read, stamps = Clocks().boot, []
waits = []
def sleep(seconds):
    waits.append(seconds)
    time.sleep(seconds)
limit = RateLimit(160, 2, "the test", parts=20)
limiter = FileRateLimiter(Path(sys.argv[1]), limit, sleep, Clocks(boot=lambda: stamps.append(read()) or stamps[-1]))
print("ready", flush=True)
end = float(sys.stdin.readline()) + 2
while read() < end:
    waits.clear()
    limiter.acquire()
    print(stamps[-1] + sum(waits))
"""
"""Makes as many calls as it can for two seconds after the time on stdin, and prints the times that they reserved."""


@pytest.fixture(scope="module")
def greedy(tmp_path_factory):
    """The times that sixteen processes reserved which start together and never pause, by process."""
    path = tmp_path_factory.mktemp("greedy") / "calls.sqlite"
    command = [sys.executable, "-c", GREEDY, str(path)]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(16)
    ]
    for process in processes:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    start = f"{Clocks().boot()}\n"
    for process in processes:
        assert process.stdin
        process.stdin.write(start)
        process.stdin.flush()
    return [[float(at) for at in process.communicate(timeout=60)[0].split()] for process in processes]


def test_each_of_sixteen_processes_gets_its_share_of_the_calls(greedy):
    counts = [len(times) for times in greedy]
    mean = sum(counts) / 16
    assert mean / 2 <= min(counts) <= max(counts) <= 2 * mean


def test_sixteen_processes_never_exceed_the_limit_and_use_it(greedy):
    reserved = sorted(at for times in greedy for at in times)
    assert all(later - earlier >= 2 - 1e-3 for earlier, later in zip(reserved, reserved[160:], strict=False))
    assert len(reserved) > 150


def test_calls_are_spread_over_the_parts_of_a_window(tmp_path):
    clock, waits = SetClock(), list[float]()
    limit = RateLimit(6, WINDOW, "the test", parts=3)
    one = FileRateLimiter(tmp_path / "calls.sqlite", limit, waits.append, clock.clocks)
    for _ in range(7):
        one.acquire()
    assert waits == [20, 20, 40, 40, 60]


@pytest.mark.parametrize(
    ("calls", "parts", "windows"),
    [
        (450, 1, ((450, 10),)),
        (450, 30, ((450, 10), (15, pytest.approx(1 / 3)))),
        (9, 30, ((9, 10), (1, pytest.approx(10 / 9)))),
        (1, 30, ((1, 10),)),
    ],
)
def test_a_part_of_a_window_has_as_many_calls_a_second_as_the_whole(calls, parts, windows):
    assert RateLimit(calls, 10, "the test", parts).windows == windows


def test_processes_wait_in_the_order_of_their_arrival(tmp_path):
    clock, waits = SetClock(), list[float]()
    first, second = (build_limiter(tmp_path / "calls.sqlite", 1, clock, waits) for _ in range(2))
    for one in (first, second, first, second):
        one.acquire()
    assert waits == [60, 120, 180]


@pytest.mark.parametrize("step", [-86_400.0, -90.0, -30.0, 30.0, 90.0, 86_400.0])
def test_a_step_of_the_clock_changes_no_wait(tmp_path, step):
    clock, waits = SetClock(), list[float]()
    one = build_limiter(tmp_path / "calls.sqlite", 1, clock, waits)
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
    before = build_limiter(tmp_path / "calls.sqlite", 1, clock)
    before.acquire()
    before.close()
    clock.restart(after, wall_step)
    build_limiter(tmp_path / "calls.sqlite", 1, clock, waits).acquire()
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
        one = build_limiter(Path(folder) / "calls.sqlite", calls, clock, waits)
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


def test_a_cancelled_wait_gives_its_time_to_the_next(tmp_path):
    def cancel(_seconds: float) -> None:
        raise KeyboardInterrupt

    clock, waits = SetClock(), list[float]()
    limit = RateLimit(1, WINDOW, "the test")
    one = FileRateLimiter(tmp_path / "calls.sqlite", limit, cancel, clock.clocks)
    one.acquire()
    with pytest.raises(KeyboardInterrupt):
        one.acquire()
    build_limiter(tmp_path / "calls.sqlite", 1, clock, waits).acquire()
    assert waits == [60]


def test_a_long_wait_is_logged_with_its_limit(tmp_path, caplog):
    clock = SetClock()
    one = build_limiter(tmp_path / "calls.sqlite", 1, clock)
    with caplog.at_level("INFO"):
        one.acquire()
        one.acquire()
    assert [record.getMessage() for record in caplog.records] == ["Waiting 60 s: the test."]


def test_a_call_after_the_deadline_is_refused_and_not_counted(tmp_path):
    clock, waits = SetClock(), list[float]()
    one = build_limiter(tmp_path / "calls.sqlite", 1, clock, waits)
    one.acquire()
    with pytest.raises(RateLimitExceededError):
        one.acquire(time.monotonic() + 5)
    one.acquire()
    assert waits == [60]


def test_the_next_process_counts_earlier_calls(tmp_path):
    clock = SetClock()
    first = build_limiter(tmp_path / "calls.sqlite", 1, clock)
    first.acquire()
    first.close()
    with pytest.raises(RateLimitExceededError):
        build_limiter(tmp_path / "calls.sqlite", 1, clock).acquire(time.monotonic())


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

    rate_limits = ApiRateLimits(
        FileState(tmp_path), "token", token_calls=token_calls, account_calls=account_calls, sleep=sleep
    )
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
    [wait] = waits_of(tmp_path, "acme", "beta", token_calls=10, account_calls=50)
    assert 0 < wait <= 10 / 9


def test_without_tiers_nothing_waits_and_nothing_is_written(tmp_path):
    assert waits_of(tmp_path, *["acme"] * 100, token_calls=0, account_calls=0) == []
    assert list(tmp_path.iterdir()) == []


def test_no_id_and_no_token_becomes_the_name_of_a_file(tmp_path):
    rate_limits = ApiRateLimits(FileState(tmp_path), "s3cret-token", token_calls=500, account_calls=50)
    rate_limits(build_list_request("users", ListQuery("../../x")))
    rate_limits(build_accounts_request())
    rate_limits(build_record_request("users", "u1", ObjectQuery("../../x")))
    rate_limits.close()
    names = Counter(path.suffix for path in (tmp_path / "budgets").iterdir())
    assert names[".sqlite"] == 2
    assert not any("s3cret" in path.name for path in tmp_path.rglob("*"))
    assert not any(b"s3cret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_server_with_a_limit_never_refuses(tmp_path):
    """The sandbox counts in a window of 1 s; twice as many calls are sent as fit into it."""
    waits = Sleeps()
    one_second = FileRateLimiter(tmp_path / "calls.sqlite", RateLimit(18, 1, "the test"), waits)
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
