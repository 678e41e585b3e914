"""How long the schedule and its sensor look at a fleet before they ask: `python -m benchmarks.ticks`.

What belongs here: evaluating them in this process, over accounts and days that have no data; nothing is run or called.
Dagster gives them 60 seconds.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click
import dagster as dg
import msgspec
from pydantic import SecretStr

from benchmarks.figures import Figure, tell
from lms_pipeline.accounts.registry import RegisteredAccount
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import open_instance
from lms_pipeline.defs.partitions import ACCOUNT_TAG, add_accounts
from lms_pipeline.defs.run_requests import DAILY_SNAPSHOT
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.sandbox import generated_world, running
from lms_pipeline.settings import Settings

SIZES = ((200, 330), (300, 330), (1_000, 365))
"""Accounts, and the days since the first; the second is just below the 100,000 partitions that Dagster advises."""
NOW = datetime(2026, 1, 2, 2, tzinfo=UTC)
DAY = date(2026, 1, 1)
OVER = {"dagster/will_retry": "false"}


@dataclass(frozen=True)
class Watched:
    """A schedule or a sensor, evaluated as the daemon has it done."""

    repository: dg.RepositoryDefinition
    instance: dg.DagsterInstance

    def schedule(self) -> int:
        """Tick, and count the runs that are asked for."""
        schedule = self.repository.get_schedule_def(DAILY_SNAPSHOT)
        with dg.build_schedule_context(
            self.instance,
            repository_def=self.repository,
            resources=self.repository.get_top_level_resources(),
            scheduled_execution_time=NOW,
        ) as context:
            return len(schedule.evaluate_tick(context).run_requests or [])

    def failed_days(self) -> int:
        """Sense, and count the runs that are asked for."""
        sensor = self.repository.get_sensor_def("failed_days")
        with (
            dg.build_sensor_context(
                self.instance,
                repository_def=self.repository,
                resources=self.repository.get_top_level_resources(),
            ) as context,
            dg.partition_loading_context(dynamic_partitions_store=self.instance),
        ):
            return len(sensor.evaluate_tick(context).run_requests or [])


@click.command()
def main() -> None:
    """Measure ticks over fleets of several sizes."""
    with running(generated_world()) as sandbox:
        for accounts, days in SIZES:
            with tempfile.TemporaryDirectory(prefix="ticks-") as folder:
                settings = Settings(
                    token=SecretStr(sandbox.token),
                    base_url=sandbox.url,
                    data_dir=Path(folder) / "data",
                    start_date=DAY - timedelta(days=days - 1),
                    frozen_now=NOW,
                )
                figures = list(_measured(settings, accounts))
            tell("ticks", figures, accounts=accounts, days=days, cores=os.cpu_count())


def _measured(settings: Settings, accounts: int) -> Iterator[Figure]:
    ids = [f"account-{number:05}" for number in range(accounts)]
    registered = [RegisteredAccount(id=one, name=one, first_day=settings.start_date) for one in ids]
    registry = DataDir(settings.data_dir).registry
    registry.parent.mkdir(parents=True)
    registry.write_bytes(msgspec.json.encode(registered))
    with open_instance(settings) as instance:
        add_accounts(instance, ids)
        watched = Watched(build_defs(settings).get_repository_def(), instance)
        yield _timed(f"schedule, {accounts} accounts asked for", watched.schedule, accounts)
        for account_id in ids:
            tags = {ACCOUNT_TAG: account_id, "dagster/partition/date": DAY.isoformat(), **OVER}
            instance.add_run(dg.DagsterRun(DAILY_SNAPSHOT, status=dg.DagsterRunStatus.FAILURE, tags=tags))
        yield _timed(f"failed_days, {accounts} accounts asked for again", watched.failed_days, accounts)


def _timed(name: str, evaluate: Callable[[], int], expected: int) -> Figure:
    started = time.perf_counter()
    asked = evaluate()
    seconds = time.perf_counter() - started
    if asked != expected:
        raise RuntimeError(f"{asked} runs were asked for, not {expected}.")
    return Figure(name, seconds, "s")


if __name__ == "__main__":
    main()
