"""Limits on calls that all processes of a machine keep together, in real time."""

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
from lms_pipeline.truto.pacing import NoSlotError, Pacing, PacingError, Slots, Tiers
from lms_pipeline.truto.query import AccountsQuery, ListQuery, ObjectQuery
from lms_pipeline.truto.wanted import accounts_of, list_of, record_of
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld

ROOT = Path(__file__).parents[2]
TAKER = """
import sys, time
from pathlib import Path
from pyrate_limiter import Rate
from lms_pipeline.truto.pacing import Slots
slots = Slots(Path(sys.argv[1]), [Rate(40, 1_000)])
stamps, clock = [], time.time_ns
time.time_ns = lambda: stamps.append(clock()) or stamps[-1]
for _ in range(30):
    slots.take()
    print(stamps[-1] // 1_000_000)
"""
"""Prints the instants that its slots are counted at; how late the process goes on after them is the machine's."""


def test_four_processes_at_once_never_exceed_the_limit(tmp_path):
    command = [sys.executable, "-c", TAKER, str(tmp_path / "slots.sqlite")]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    taken = sorted(int(at) for process in processes for at in process.communicate(timeout=60)[0].split())
    assert len(taken) == 120
    assert max(sum(first <= at < first + 1_000 for at in taken) for first in taken) == 40


def test_a_file_that_is_none_is_one_sentence(tmp_path):
    path = tmp_path / "slots.sqlite"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(
        PacingError, match=r"^Calls can't be counted in .*slots\.sqlite: file is not a database"
    ):
        slots(path, 1, 1_000)


class Sleeps:
    """Remembers the waits, and really waits."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        time.sleep(seconds)


def slots(path: Path, calls: int, milliseconds: int) -> Slots:
    return Slots(path, [Rate(calls, milliseconds)])


def test_a_slot_that_comes_too_late_is_none(tmp_path):
    full = slots(tmp_path / "slots.sqlite", 2, 60_000)
    full.take()
    full.take()
    with pytest.raises(NoSlotError):
        full.take(time.monotonic() + 5)
    full.close()


def test_what_was_taken_is_remembered_by_the_next_process(tmp_path):
    first = slots(tmp_path / "slots.sqlite", 1, 60_000)
    first.take()
    first.close()
    second = slots(tmp_path / "slots.sqlite", 1, 60_000)
    with pytest.raises(NoSlotError):
        second.take(time.monotonic())
    second.close()


def waits_of(tmp_path: Path, tiers: Tiers, *accounts: str) -> list[float]:
    """How long requests about these accounts would wait; nobody waits."""

    class EnoughError(Exception):
        pass

    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        raise EnoughError

    pacing = Pacing(tmp_path, "token", tiers, sleep)
    for account in accounts:
        try:
            pacing(list_of("users", ListQuery(account)))
        except EnoughError:
            break
    pacing.close()
    return waits


def test_nine_tenths_of_an_accounts_tier_are_used(tmp_path):
    assert waits_of(tmp_path, Tiers(token=0, account=10), *["acme"] * 9) == []
    [wait] = waits_of(tmp_path, Tiers(token=0, account=10), "acme")
    assert 0 < wait <= 10


def test_the_token_s_tier_is_shared_by_all_accounts(tmp_path):
    accounts = [f"a{number}" for number in range(10)]
    [wait] = waits_of(tmp_path, Tiers(token=10, account=50), *accounts)
    assert 0 < wait <= 10


def test_without_tiers_nothing_waits_and_nothing_is_written(tmp_path):
    assert waits_of(tmp_path, Tiers(0, 0), *["acme"] * 100) == []
    assert list(tmp_path.iterdir()) == []


def test_no_id_or_token_becomes_the_name_of_a_file(tmp_path):
    pacing = Pacing(tmp_path, "s3cret-token", Tiers())
    pacing(list_of("users", ListQuery("../../x")))
    pacing(accounts_of(AccountsQuery()))
    pacing(record_of("users", "u1", ObjectQuery("../../x")))
    pacing.close()
    names = Counter(path.suffix for path in tmp_path.iterdir())
    assert names[".sqlite"] == 2
    assert not any("s3cret" in path.name for path in tmp_path.rglob("*"))
    assert not any(b"s3cret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_server_with_a_limit_is_never_made_to_refuse(tmp_path):
    """The sandbox counts: with a window of a second, and twice as many calls as fit into it."""
    waits = Sleeps()
    one_second = Slots(tmp_path / "slots.sqlite", [Rate(18, 1_000)], waits)
    with running(SmallWorld()) as sandbox:
        sandbox.switch(Switches(token_tier=Tier(20, 1)))
        with TrutoClient(sandbox.url, sandbox.token, gate=lambda _wanted: one_second.take()) as client:
            for number in range(40):
                list(client.pages("users", ListQuery(SWEEPING if number % 2 else PAIRED, limit=100)))
        assert sandbox.stats()["limited"] == {}
    assert waits.waits
    one_second.close()
