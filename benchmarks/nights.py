"""One night: a tick of the schedule, and all that it asked for.

What belongs here: letting a night pass, and what happened in it. What has to come of it is the benchmark's to say.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.dagster_run import DagsterRunStatsSnapshot

from benchmarks.services import Services, Tick
from lms_pipeline.defs.partitions import ACCOUNT_TAG
from lms_pipeline.defs.run_requests import ACTIVE_STATUSES, DAILY_SNAPSHOT, is_active
from lms_pipeline.sandbox import RunningSandbox


@dataclass(frozen=True)
class Night:
    """A tick of the schedule, the runs it asked for, and what they asked of Truto; times in seconds since 1970."""

    tick: Tick
    runs: list[dg.DagsterRun]
    """Those that were asked for, and those that took the place of failed ones."""
    stats: list[DagsterRunStatsSnapshot]
    calls: dict[str, int]
    """By account."""
    refused: dict[str, int]
    """Calls that Truto's limits refused, by limit."""
    causes: dict[str, set[str]]
    """What the first error in the logs of failed runs says, by account."""

    @property
    def accounts(self) -> set[str]:
        """The accounts that were asked for."""
        return {run.tags[ACCOUNT_TAG] for run in self.runs}

    @property
    def ended_at(self) -> float:
        """When the last run was over."""
        return max(one.end_time or 0.0 for one in self.stats)


def pass_night(instance: dg.DagsterInstance, dagster: Services, sandbox: RunningSandbox) -> Night:
    """Let the schedule tick once, and wait until all that it asked for is over."""
    of_schedule = dg.RunsFilter(job_name=DAILY_SNAPSHOT)  # the clock asks for others meanwhile
    known = {run.run_id for run in instance.get_runs(of_schedule)}
    sandbox.clear_counts()
    tick = _tick(dagster)
    while _is_busy(instance):
        time.sleep(1)
    runs = [run for run in instance.get_runs(of_schedule) if run.run_id not in known]
    causes: dict[str, set[str]] = {}
    for run in runs:
        if run.status != dg.DagsterRunStatus.SUCCESS:
            causes.setdefault(run.tags[ACCOUNT_TAG], set()).add(_first_error(instance, run))
    told = sandbox.stats()
    return Night(
        tick=tick,
        runs=runs,
        stats=[instance.get_run_stats(run.run_id) for run in runs],
        calls={account_id: sum(routes.values()) for account_id, routes in told["requests"].items()},
        refused=told["limited"],
        causes=causes,
    )


def _tick(dagster: Services) -> Tick:
    """The next one. The schedule is turned off when it is over: Dagster forgets that it was turned off meanwhile."""
    past = len(dagster.ticks(DAILY_SNAPSHOT))
    dagster.start(DAILY_SNAPSHOT)
    while len(ticks := dagster.ticks(DAILY_SNAPSHOT)) == past or ticks[past].ended_at is None:
        time.sleep(0.5)
    dagster.stop(DAILY_SNAPSHOT)
    return ticks[past]


def _is_busy(instance: dg.DagsterInstance) -> bool:
    """Whether runs are on their way, or will be tried again."""
    maybe = dg.RunsFilter(statuses=[*ACTIVE_STATUSES, dg.DagsterRunStatus.FAILURE])
    return any(is_active(record) for record in instance.get_run_records(maybe))


def _first_error(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    errors = (entry for entry in instance.all_logs(run.run_id) if int(entry.level) >= logging.ERROR)
    return next((entry.user_message or "" for entry in errors), "")
