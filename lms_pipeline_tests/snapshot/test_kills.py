"""Pulls that are killed at random moments: nothing that was answered is asked for again, and what comes out is the same."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
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
from lms_pipeline_tests.support.portal import PORTAL, Portal
from lms_pipeline_tests.support.sandbox import build_line, write_lines
from lms_pipeline_tests.support.snapshot_runs import DAY, Taker

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("LMS_TEST_KILLS", "6"))
"""Of each strategy."""
WORKERS = AccountOptions().workers
LONGEST = 1.2
"""Seconds in which a pull is killed: an undisturbed one takes about as long."""


class Victim:
    """An account that is pulled over and over, by processes that don't live long."""

    def __init__(self, sandbox: RunningSandbox, root: Path, account: str, strategy: str) -> None:
        self.sandbox = sandbox
        self.taker = Taker(root, sandbox.url, sandbox.token)
        self.account = account
        self._strategy = strategy

    def pull(self, seconds: float) -> bool:
        """Whether it came to its end."""
        arguments = (
            self.taker.root,
            self.sandbox.url,
            self.sandbox.token,
            self.account,
            self._strategy,
            seconds,
        )
        command = [sys.executable, "-m", "lms_pipeline_tests.support.killable_pull", *map(str, arguments)]
        return subprocess.run(command, check=False, timeout=60, cwd=ROOT).returncode == 0

    def kept(self) -> set[str]:
        """The requests whose answers are kept for the attempt under way."""
        path = self.taker.data.answers(Partition(self.account, DAY))
        if not path.exists():
            return set()
        with closing(sqlite3.connect(path)) as file:
            rows = file.execute(
                "SELECT key FROM answers JOIN attempts ON attempts.id = attempt WHERE NOT is_finished"
            ).fetchall()
        return {key.partition("/")[2] for (key,) in rows}

    def asked(self) -> list[str]:
        """The requests since this was last looked at."""
        asked = [f"{one.path}?{urlencode(one.query)}".removeprefix("/") for one in self.sandbox.requests()]
        self.sandbox.clear_counts()
        return asked

    def digests(self) -> list[str]:
        return [self._digest(name) for name in TABLES]

    def _digest(self, name: str) -> str:
        from lms_pipeline.lake.files import read_metadata

        return read_metadata(self.taker.file(name, account_id=self.account))["digest"]


@pytest.fixture(params=["roster", "sweep"])
def victim(request, tmp_path) -> Iterator[Victim]:
    world: World = Portal(learners=90, courses=9, each=4)
    account = PORTAL
    if request.param == "sweep":
        lines = [build_line(f"e{number}", with_={"user": {"id": f"u{number}"}}) for number in range(240)]
        world, account = records_world([write_lines(tmp_path / "lines.ndjson", lines)]), "acme"
    with running(world) as sandbox:
        sandbox.set_clock(datetime.combine(DAY, time.max, UTC))
        yield Victim(sandbox, tmp_path / "data", account, request.param)


def test_a_killed_pull_goes_on_where_it_was_and_ends_as_if_nothing_had_been(victim):
    assert victim.pull(60)
    undisturbed, requests = victim.digests(), victim.asked()
    assert len(set(requests)) == len(requests)
    draw = Random(7)  # noqa: S311 - moments to be killed at
    kills = ended = repeated = 0
    kept: set[str] = set()
    while kills < KILLS or not ended:
        ended_now = victim.pull(draw.uniform(0, LONGEST) if kills < KILLS else 60)
        asked = victim.asked()
        assert not kept & set(asked)
        kept_now = victim.kept()
        if ended_now:
            ended += 1
            assert victim.digests() == undisturbed
            assert kept_now == set()
        else:
            kills += 1
            repeated += len(set(asked) - kept_now)
            assert len(set(asked) - kept_now) <= WORKERS
        kept = kept_now
    assert ended >= 1
    assert repeated <= kills * WORKERS
