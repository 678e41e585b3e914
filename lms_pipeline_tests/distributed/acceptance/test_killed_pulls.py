"""A long pull whose machine is killed again and again: another machine continues it, and no stored call is made again."""

import sqlite3
from contextlib import closing
from random import Random

import dagster as dg
import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox import running
from lms_pipeline_tests.defs.conftest import DAY, NOW
from lms_pipeline_tests.distributed.acceptance.fleet import pull_embedded, read_digests
from lms_pipeline_tests.distributed.acceptance.nodes import start_run
from lms_pipeline_tests.distributed.machines import MAX_WAIT_SECONDS
from lms_pipeline_tests.distributed.monitoring import read_status
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.launched_runs import HeldRequest, create_run, pop_requests
from lms_pipeline_tests.support.portal import PORTAL, Portal

pytestmark = pytest.mark.distributed
PARTITION = Partition(PORTAL, DAY)
KILLS = choose(3, 10)
LEARNERS = choose(30, 107)
COURSES, EACH = choose(5, 9), choose(4, 9)
ENROLLMENTS = LEARNERS * EACH
CALLS = ENROLLMENTS + COURSES + 4
CALLS_PER_10_SECONDS, CHECKPOINT_SECONDS = 400, 1
CALLS_PER_SECOND = CALLS_PER_10_SECONDS * 0.9 / 10
"""What a pull calls: its share of the limit."""
WORKERS = AccountOptions().workers
"""Calls of a pull under way at once."""


@pytest.fixture
def account_ids():
    return [PORTAL]


@pytest.fixture
def sandbox():
    with running(Portal(learners=LEARNERS, courses=COURSES, each=EACH)) as server:
        server.set_clock(NOW)
        yield server


@pytest.fixture
def settings(settings):
    return settings.model_copy(
        update={"checkpoint_seconds": CHECKPOINT_SECONDS, "token_calls_per_10s": CALLS_PER_10_SECONDS}
    )


@pytest.fixture
def start(instance, settings, machines):
    """Starts a pull on the first machine, and its retries on the second, the first, and so on."""
    places = machines("first", "second")
    runs: list[dg.DagsterRun] = []

    def started():
        parent = runs[-1].run_id if runs else None
        runs.append(create_run(instance, settings, PARTITION, parent=parent))
        return runs[-1], start_run(places[len(runs) % 2 - 1], instance, runs[-1])

    return started


def read_stored_requests(settings):
    """Return the requests whose responses the copy of the checkpoint in the store has."""
    data = DataDir.open(settings)
    key = data.checkpoint_key(PARTITION)
    data.store.fetch([key])
    path = data.root / key
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = file.execute("SELECT key FROM answers").fetchall()
    return {f"/{key.partition('/')[2]}" for (key,) in rows}


def test_a_pull_killed_at_random_calls_is_continued_by_the_other_machine(start, settings, sandbox, instance, tmp_path):
    draw = Random(7)  # noqa: S311 - moments of the kills
    stored: set[str] = set()
    for _ in range(KILLS):
        request = HeldRequest(sandbox, PORTAL, after=draw.randrange((CALLS - len(stored)) // 2))
        _, process = start()
        assert request.arrived.wait(MAX_WAIT_SECONDS)
        process.kill()
        request.release()
        sent = set(pop_requests(sandbox))
        assert sent & stored == set()
        stored_now = read_stored_requests(settings)
        assert stored < stored_now | sent
        assert len(sent - stored_now) <= CALLS_PER_SECOND * CHECKPOINT_SECONDS + WORKERS
        stored = stored_now
    run, process = start()
    assert process.wait() == 0, process.read_log()
    assert read_status(instance, run.run_id) is dg.DagsterRunStatus.SUCCESS
    assert set(pop_requests(sandbox)) & stored == set()
    assert read_digests(settings, [PORTAL]) == pull_embedded(settings, tmp_path / "embedded", [PORTAL])
