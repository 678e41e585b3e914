"""One night: a tick of the schedule and the runs that it requests.

Belongs here: running a night and recording what happened. Not here: what is expected of it (`fleet.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.dagster_run import DagsterRunStatsSnapshot

from benchmarks.services import Services, Tick
from lms_pipeline.defs.account_failures import read_account_failures
from lms_pipeline.defs.failures import WILL_RETRY_TAG
from lms_pipeline.defs.ranges import AccountOrder
from lms_pipeline.defs.run_requests import ACTIVE_STATUSES, DAILY_SNAPSHOT, RETRY_GRACE_SECONDS, is_active
from lms_pipeline.sandbox import RunningSandbox


@dataclass(frozen=True)
class Night:
    """A tick of the schedule, the runs it requested, and their calls to Truto. Times are in seconds since 1970."""

    tick: Tick
    runs: list[dg.DagsterRun]
    """The requested runs, and the retries of failed ones."""
    stats: list[DagsterRunStatsSnapshot]
    accounts_by_run: dict[str, list[str]]
    """The accounts of each run, by its id."""
    events_by_run: dict[str, int]
    """Events in Dagster's log of each run, by its id."""
    calls: dict[str, int]
    """Calls by account."""
    refused: dict[str, int]
    """Calls that Truto's rate limits refused, by limit."""
    causes: dict[str, set[str]]
    """The errors of failed runs, by account."""

    @property
    def accounts(self) -> set[str]:
        """The accounts with a requested run."""
        return {account_id for account_ids in self.accounts_by_run.values() for account_id in account_ids}

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
    order = AccountOrder.load(instance)
    accounts_by_run = {run.run_id: [one.account_id for one in order.list_partitions(run.tags)] for run in runs}
    causes: dict[str, set[str]] = {}
    for run in runs:
        if run.status != dg.DagsterRunStatus.SUCCESS:
            for account_id, cause in read_causes(instance, run, accounts_by_run[run.run_id]):
                causes.setdefault(account_id, set()).add(cause)
    stats = sandbox.stats()
    return Night(
        tick=tick,
        runs=runs,
        stats=[instance.get_run_stats(run.run_id) for run in runs],
        accounts_by_run=accounts_by_run,
        events_by_run={run.run_id: len(instance.all_logs(run.run_id)) for run in runs},
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
    maybe = dg.RunsFilter(statuses=[dg.DagsterRunStatus.NOT_STARTED, *ACTIVE_STATUSES, dg.DagsterRunStatus.FAILURE])
    return any(is_active(record) or may_become_active(record) for record in instance.get_run_records(maybe))


def may_become_active(record: dg.RunRecord) -> bool:
    """Whether a run is a retry that Dagster has created and not queued yet, or failed and is not yet marked for a retry."""
    run = record.dagster_run
    if run.status is dg.DagsterRunStatus.FAILURE:
        return WILL_RETRY_TAG not in run.tags and time.time() - (record.end_time or 0.0) < RETRY_GRACE_SECONDS
    return run.status is dg.DagsterRunStatus.NOT_STARTED


def read_causes(
    instance: dg.DagsterInstance, run: dg.DagsterRun, account_ids: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield the accounts of a failed run that failed, each with its error: that of the run, if no account has one."""
    failures = read_account_failures(instance, run.run_id)
    for failure in failures:
        yield failure.partition.account_id, failure.sentence
    if not failures:
        errors = (entry for entry in instance.all_logs(run.run_id) if int(entry.level) >= logging.ERROR)
        first = next((entry.user_message or "" for entry in errors), "")
        yield from ((account_id, first) for account_id in account_ids)
