"""Pulls that are killed at random moments: no stored response is requested again, and the snapshot is the same."""

from __future__ import annotations

import sqlite3
import time as clock
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, time
from pathlib import Path
from random import Random
from urllib.parse import urlencode

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.lake.paths import Partition
from lms_pipeline.sandbox import RunningSandbox, World, records_world, running
from lms_pipeline.snapshot.job import TABLES
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.killable_pull import MAX_SECONDS, PROCESSES, pull, start_processes
from lms_pipeline_tests.support.portal import PORTAL, Portal
from lms_pipeline_tests.support.sandbox import build_line, write_lines
from lms_pipeline_tests.support.snapshot_runs import DAY, SnapshotRunner

KILLS = choose(3, 30)
"""Kills for each strategy."""
WORKERS = AccountOptions().workers


@pytest.fixture(scope="module", autouse=True)
def _with_imports():
    start_processes()


class KillableAccount:
    """An account that short-lived processes pull again and again."""

    def __init__(self, sandbox: RunningSandbox, root: Path, account_id: str, strategy: str, remote_data: str) -> None:
        self.sandbox = sandbox
        self.runner = SnapshotRunner(root, sandbox.url, sandbox.token)
        self.account_id = account_id
        self._strategy = strategy
        self._remote_data = remote_data

    def pull(self, seconds: float) -> bool:
        """Pull, and kill the process after `seconds`; return whether the pull ended before."""
        options = {"strategy": self._strategy, "remote_data": self._remote_data}
        process = PROCESSES.Process(target=pull, args=(self.runner, self.account_id, options, seconds))
        process.start()
        process.join(MAX_SECONDS)
        return process.exitcode == 0

    def list_stored_requests(self) -> tuple[set[str], bool]:
        """List the requests whose responses are stored for the last attempt; True if its snapshot is published."""
        path = self.runner.data.checkpoint_path(Partition(self.account_id, DAY))
        if not path.exists():
            return set(), False
        with closing(sqlite3.connect(path)) as file:
            attempt, is_finished = file.execute("SELECT max(id), is_finished FROM attempts").fetchone()
            rows = file.execute("SELECT key FROM answers WHERE attempt = ?", (attempt,)).fetchall()
        return {key.partition("/")[2] for (key,) in rows}, bool(is_finished)

    def pop_requests(self) -> list[str]:
        """Return the requests since the previous call."""
        requests = [f"{one.path}?{urlencode(one.query)}".removeprefix("/") for one in self.sandbox.requests()]
        self.sandbox.clear_counts()
        return requests

    def read_digests(self) -> list[str]:
        return [self._read_digest(name) for name in TABLES]

    def _read_digest(self, name: str) -> str:
        from lms_pipeline.lake.files import read_metadata

        return read_metadata(self.runner.file(name, account_id=self.account_id))["digest"]


@pytest.fixture(params=[("roster", "keep"), ("sweep", "keep"), ("roster", "raw_format"), ("sweep", "raw_format")])
def account(request, tmp_path) -> Iterator[KillableAccount]:
    strategy, remote_data = request.param
    world: World = Portal(learners=choose(30, 90), courses=9, each=4)
    account_id = PORTAL
    if strategy == "sweep":
        lines = [build_line(f"e{number}", with_={"user": {"id": f"u{number}"}}) for number in range(choose(120, 240))]
        world, account_id = records_world([write_lines(tmp_path / "lines.ndjson", lines)]), "acme"
    with running(world) as sandbox:
        sandbox.set_clock(datetime.combine(DAY, time.max, UTC))
        yield KillableAccount(sandbox, tmp_path / "data", account_id, strategy, remote_data)


def test_a_killed_pull_resumes_and_publishes_the_same_snapshot(account):
    started = clock.monotonic()
    assert account.pull(MAX_SECONDS)
    max_pull_seconds = clock.monotonic() - started
    undisturbed, requests = account.read_digests(), account.pop_requests()
    assert len(set(requests)) == len(requests)
    draw = Random(7)  # noqa: S311 - moments of the kills
    kills = ended = 0
    stored: set[str] = set()
    while kills < KILLS or not ended:
        ended_now = account.pull(draw.uniform(0, max_pull_seconds) if kills < KILLS else MAX_SECONDS)
        sent = set(account.pop_requests())
        assert not stored & sent
        stored_now, is_finished = account.list_stored_requests()
        assert len(sent - stored_now) <= WORKERS
        if ended_now:
            ended += 1
            assert is_finished
            assert account.read_digests() == undisturbed
        else:
            kills += 1
        stored = set() if is_finished else stored_now  # a process can also be killed after it has published
