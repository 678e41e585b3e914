"""Limits on requests that all processes with the same data directory share, in real time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from pyrate_limiter import Rate

from lms_pipeline.sandbox import Switches, Tier, running
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.query import ListQuery, ObjectQuery
from lms_pipeline.truto.rate_limit import ApiRateLimits, RateLimitExceededError, RateLimitStateError, SharedRateLimiter
from lms_pipeline.truto.request import build_accounts_request, build_list_request, build_record_request
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld

ROOT = Path(__file__).parents[2]
PROCESS = """
import sys, time
from pathlib import Path
from pyrate_limiter import Rate
from lms_pipeline.truto.rate_limit import SharedRateLimiter
limiter = SharedRateLimiter(Path(sys.argv[1]), [Rate(40, 1_000)])
stamps, clock = [], time.time_ns
time.time_ns = lambda: stamps.append(clock()) or stamps[-1]
for _ in range(30):
    limiter.acquire()
    print(stamps[-1] // 1_000_000)
"""
"""Prints the milliseconds at which its calls are counted; how late it continues after each depends on the machine."""


def test_four_processes_at_once_never_exceed_the_limit(tmp_path):
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "calls.sqlite")]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    counted = sorted(int(at) for process in processes for at in process.communicate(timeout=60)[0].split())
    assert len(counted) == 120
    assert max(sum(first <= at < first + 1_000 for at in counted) for first in counted) == 40


def test_a_file_that_is_no_database_is_one_sentence(tmp_path):
    path = tmp_path / "calls.sqlite"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(
        RateLimitStateError, match=r"^Calls can't be counted in .*calls\.sqlite: file is not a database"
    ):
        limiter(path, 1, 1_000)


class Sleeps:
    """Records the waits, and really waits."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        time.sleep(seconds)


def limiter(path: Path, calls: int, milliseconds: int) -> SharedRateLimiter:
    return SharedRateLimiter(path, [Rate(calls, milliseconds)])


def test_a_call_after_the_deadline_is_refused(tmp_path):
    full = limiter(tmp_path / "calls.sqlite", 2, 60_000)
    full.acquire()
    full.acquire()
    with pytest.raises(RateLimitExceededError):
        full.acquire(time.monotonic() + 5)
    full.close()


def test_the_next_process_counts_earlier_calls(tmp_path):
    first = limiter(tmp_path / "calls.sqlite", 1, 60_000)
    first.acquire()
    first.close()
    second = limiter(tmp_path / "calls.sqlite", 1, 60_000)
    with pytest.raises(RateLimitExceededError):
        second.acquire(time.monotonic())
    second.close()


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
    one_second = SharedRateLimiter(tmp_path / "calls.sqlite", [Rate(18, 1_000)], waits)
    with running(SmallWorld()) as sandbox:
        sandbox.switch(Switches(token_tier=Tier(20, 1)))
        for _ in range(18):  # so that the first request waits, however slow the machine is
            one_second.acquire()
        with TrutoClient(sandbox.url, sandbox.token, gate=lambda _request: one_second.acquire()) as client:
            for number in range(40):
                list(client.pages("users", ListQuery(SWEEPING if number % 2 else PAIRED, limit=100)))
        assert sandbox.stats()["limited"] == {}
    assert waits.waits
    one_second.close()
