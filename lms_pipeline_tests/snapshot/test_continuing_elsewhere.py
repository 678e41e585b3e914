"""Pulls whose machine is lost at random moments: another one continues with the responses in the bucket."""

from __future__ import annotations

import signal
import sqlite3
import time as clock
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, time
from pathlib import Path
from random import Random
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import Partition
from lms_pipeline.sandbox import RunningSandbox, running
from lms_pipeline.snapshot.job import TABLES
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.killable_pull import MAX_SECONDS, PROCESSES, pull, pull_until_published, start_processes
from lms_pipeline_tests.support.portal import PORTAL, Portal
from lms_pipeline_tests.support.snapshot_runs import DAY, SnapshotRunner

KILLS = choose(3, 30)
INTERVAL_SECONDS = 0.1
PARTITION = Partition(PORTAL, DAY)


@pytest.fixture(scope="module", autouse=True)
def _with_imports():
    start_processes()


class MovingAccount:
    """An account in a bucket; each pull is a process on a machine that has never seen it."""

    def __init__(self, sandbox: RunningSandbox, root: Path) -> None:
        self.sandbox = sandbox
        self._root = root
        self._machines = 0
        self.runner = self.move()

    def move(self) -> SnapshotRunner:
        """Go on on a new machine."""
        self._machines += 1
        self.runner = SnapshotRunner(
            self._root / f"machine-{self._machines}",
            self.sandbox.url,
            self.sandbox.token,
            bucket=self._root / "bucket",
            checkpoint_seconds=INTERVAL_SECONDS,
        )
        return self.runner

    def pull(self, seconds: float, number: int = signal.SIGKILL) -> int | None:
        """Pull, and send the process a signal after `seconds`; return its exit code."""
        return self._run(pull, seconds, number)

    def pull_until_published(self, files: int) -> int | None:
        """Pull, and kill the process once it has published so many files; return its exit code."""
        return self._run(pull_until_published, files)

    def _run(self, target: Callable[..., None], *args: object) -> int | None:
        options = {"strategy": "roster", "remote_data": "keep"}
        process = PROCESSES.Process(target=target, args=(self.runner, PORTAL, options, *args))
        process.start()
        process.join(MAX_SECONDS)
        return process.exitcode

    def list_stored_requests(self) -> tuple[set[str], bool]:
        """Check the copy in the bucket, and list the requests whose responses it has; True if it is of a finished pull."""
        path = self._root / "bucket" / self.runner.data.checkpoint_key(PARTITION)
        if not path.exists():
            return set(), False
        with closing(sqlite3.connect(path)) as file:
            assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            attempt, is_finished = file.execute("SELECT max(id), is_finished FROM attempts").fetchone()
            rows = file.execute("SELECT key FROM answers WHERE attempt = ?", (attempt,)).fetchall()
        return {key.partition("/")[2] for (key,) in rows}, bool(is_finished)

    def pop_requests(self) -> list[str]:
        """Return the requests since the previous call."""
        requests = [f"{one.path}?{urlencode(one.query)}".removeprefix("/") for one in self.sandbox.requests()]
        self.sandbox.clear_counts()
        return requests

    def read_digests(self) -> list[str]:
        """Return the digests of the published tables, in the bucket."""
        data = self.runner.data
        paths = [data.get_key(data.file(table, PARTITION)) for table in TABLES.values()]
        return [read_metadata(self._root / "bucket" / path)["digest"] for path in paths]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running(Portal(learners=choose(40, 90), courses=9, each=4)) as sandbox:
        sandbox.set_clock(datetime.combine(DAY, time.max, UTC))
        yield sandbox


class Undisturbed(NamedTuple):
    """What a pull that nothing stopped sent and published, and its seconds."""

    requests: set[str]
    digests: list[str]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(sandbox, tmp_path_factory) -> Undisturbed:
    """The pull on a machine that is not lost. Read-only, since tests share it."""
    account, started = MovingAccount(sandbox, tmp_path_factory.mktemp("undisturbed")), clock.monotonic()
    assert account.pull(MAX_SECONDS) == 0
    seconds = clock.monotonic() - started
    return Undisturbed(set(account.pop_requests()), account.read_digests(), seconds)


@pytest.fixture
def account(tmp_path, sandbox, undisturbed) -> MovingAccount:
    sandbox.clear_counts()
    return MovingAccount(sandbox, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_another_machine_continues_and_publishes_the_same_snapshot(account, undisturbed, number):
    draw = Random(7)  # noqa: S311 - moments of the kills
    stops, stored = 0, set[str]()
    while stops < KILLS:
        exit_code = account.pull(draw.uniform(0, undisturbed.seconds), number)
        sent = set(account.pop_requests())
        assert not stored & sent
        stored_now, is_finished = account.list_stored_requests()
        if exit_code == 0:
            assert is_finished
            assert account.read_digests() == undisturbed.digests
        else:
            stops += 1
            assert number == signal.SIGKILL or sent <= stored_now
        assert stored_now >= stored
        stored = set() if is_finished else stored_now
        account.move()
    assert account.pull(MAX_SECONDS) == 0
    assert set(account.pop_requests()) | stored == undisturbed.requests
    assert account.read_digests() == undisturbed.digests


@pytest.mark.parametrize("files", [1, 2, 3, 4, 5])
def test_a_pull_that_dies_while_it_publishes_is_continued_without_a_call(account, undisturbed, files):
    assert account.pull_until_published(files) == -signal.SIGKILL
    assert account.pop_requests() != []
    account.move()
    assert account.pull(MAX_SECONDS) == 0
    assert account.pop_requests() == []
    assert account.read_digests() == undisturbed.digests
