"""One night: a tick of the schedule and the runs that it requests.

Belongs here: running a night and recording what happened. Not here: what is expected of it (`fleet.py`).
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
    """A tick of the schedule, the runs it requested, and their calls to Truto. Times are in seconds since 1970."""

    tick: Tick
    runs: list[dg.DagsterRun]
    """The requested runs, and the retries of failed ones."""
    stats: list[DagsterRunStatsSnapshot]
    calls: dict[str, int]
    """Calls by account."""
    refused: dict[str, int]
    """Calls that Truto's rate limits refused, by limit."""
    causes: dict[str, set[str]]
    """The first errors in the logs of failed runs, by account."""

    @property
    def accounts(self) -> set[str]:
        """The accounts with a requested run."""
        return {run.tags[ACCOUNT_TAG] for run in self.runs}

    @property
    def ended_at(self) -> float:
        """The end of the last run."""
        return max(run.end_time or 0.0 for run in self.stats)


def run_night(instance: dg.DagsterInstance, dagster: Services, sandbox: RunningSandbox) -> Night:
    """Let the schedule tick once, and wait until its runs and their retries have ended."""
    schedule_runs = dg.RunsFilter(job_name=DAILY_SNAPSHOT)  # other schedules request runs meanwhile
    known = {run.run_id for run in instance.get_runs(schedule_runs)}
    sandbox.clear_counts()
    tick = _run_tick(dagster)
    while _is_busy(instance):
        time.sleep(1)
    runs = [run for run in instance.get_runs(schedule_runs) if run.run_id not in known]
    causes: dict[str, set[str]] = {}
    for run in runs:
        if run.status != dg.DagsterRunStatus.SUCCESS:
            causes.setdefault(run.tags[ACCOUNT_TAG], set()).add(_read_first_error(instance, run))
    stats = sandbox.stats()
    return Night(
        tick=tick,
        runs=runs,
        stats=[instance.get_run_stats(run.run_id) for run in runs],
        calls={account_id: sum(routes.values()) for account_id, routes in stats["requests"].items()},
        refused=stats["limited"],
        causes=causes,
    )


def _run_tick(dagster: Services) -> Tick:
    """Run the next tick and return it. Stop the schedule after the tick: Dagster ignores a stop during one."""
    count = len(dagster.read_ticks(DAILY_SNAPSHOT))
    dagster.start(DAILY_SNAPSHOT)
    while len(ticks := dagster.read_ticks(DAILY_SNAPSHOT)) == count or ticks[count].ended_at is None:
        time.sleep(0.5)
    dagster.stop(DAILY_SNAPSHOT)
    return ticks[count]


def _is_busy(instance: dg.DagsterInstance) -> bool:
    """Whether runs are under way, or failed runs will be retried."""
    maybe = dg.RunsFilter(statuses=[*ACTIVE_STATUSES, dg.DagsterRunStatus.FAILURE])
    return any(is_active(record) for record in instance.get_run_records(maybe))


def _read_first_error(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    errors = (entry for entry in instance.all_logs(run.run_id) if int(entry.level) >= logging.ERROR)
    return next((entry.user_message or "" for entry in errors), "")
