"""How long the schedule and the sensor evaluate a fleet: `python -m benchmarks.ticks`, with `--postgres URL` in a database.

Belongs here: evaluations in this process over accounts and days without data. Nothing is run or called. Dagster's
limit is 60 seconds.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import dagster as dg
import msgspec

# no public names: the tables of runs, which take many rows at once
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.utils import make_new_run_id
from pydantic import SecretStr

from benchmarks.figures import Figure, print_figures
from lms_pipeline.accounts.registry import RegisteredAccount
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import open_instance
from lms_pipeline.defs.partitions import add_accounts, build_partition_tags
from lms_pipeline.defs.ranges import build_range_tags
from lms_pipeline.defs.run_requests import DAILY_SNAPSHOT
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox import generated_world, running
from lms_pipeline.settings import Settings

SIZES = ((200, 330), (300, 330), (1_000, 365), (10_000, 14))
"""Accounts, and days since the first day. The second is just below the 100,000 partitions that Dagster advises."""
MAX_SCHEDULE_SECONDS, MAX_SENSOR_SECONDS = 10.0, 20.0
"""The benchmark fails above them: they leave time for the daemon to create the runs that it is asked for."""
ACCOUNTS_PER_RUN = 25
"""Accounts of a run, with a database."""
NOW = datetime(2026, 1, 2, 2, tzinfo=UTC)
DAY = date(2026, 1, 1)
NO_RETRY = {"dagster/will_retry": "false"}


@dataclass(frozen=True)
class Evaluator:
    """Evaluates the schedule and the sensor as the daemon does."""

    repository: dg.RepositoryDefinition
    instance: dg.DagsterInstance

    def count_scheduled(self) -> int:
        """Evaluate a tick of the schedule and count the requested runs."""
        schedule = self.repository.get_schedule_def(DAILY_SNAPSHOT)
        with dg.build_schedule_context(
            self.instance,
            repository_def=self.repository,
            resources=self.repository.get_top_level_resources(),
            scheduled_execution_time=NOW,
        ) as context:
            return len(schedule.evaluate_tick(context).run_requests or [])

    def count_failed_days(self) -> int:
        """Evaluate the sensor and count the requested runs."""
        sensor = self.repository.get_sensor_def("failed_days")
        with (
            dg.build_sensor_context(
                self.instance, repository_def=self.repository, resources=self.repository.get_top_level_resources()
            ) as context,
            dg.partition_loading_context(dynamic_partitions_store=self.instance),
        ):
            return len(sensor.evaluate_tick(context).run_requests or [])


@click.command()
@click.option(
    "--postgres", metavar="URL", help="An empty database for Dagster's log and the state of the largest fleet."
)
def main(postgres: str | None) -> None:
    """Measure ticks on fleets of several sizes. Exits with 1 if one takes longer than its limit."""
    slow: list[str] = []
    for accounts, days in SIZES if postgres is None else SIZES[-1:]:
        figures = measure_ticks(accounts, days, postgres)
        print_figures("ticks", list(figures), accounts=accounts, days=days, cores=os.cpu_count())
        slow += [f"{figure.name}: {figure.value:.1f} s" for figure, limit in figures.items() if figure.value > limit]
    if slow:
        raise SystemExit(f"These ticks take too long: {'; '.join(slow)}.")


def measure_ticks(accounts: int, days: int, postgres: str | None = None) -> dict[Figure, float]:
    """Return the seconds of each tick, with their limit.

    With a database, Dagster's log and the state are there, and a run has 25 accounts, as on several machines.
    """
    with running(generated_world()) as sandbox, tempfile.TemporaryDirectory(prefix="ticks-") as folder:
        settings = build_settings(Path(folder), days, postgres, token=SecretStr(sandbox.token), base_url=sandbox.url)
        return dict(_measure(settings, accounts))


def build_settings(folder: Path, days: int, postgres: str | None, **others: Any) -> Settings:  # noqa: ANN401 - settings
    """Return the settings of a fleet whose first day is `days` before the next; with a database, Dagster's home is in it."""
    settings = Settings(
        data_dir=folder / "data",
        start_date=DAY - timedelta(days=days - 1),
        frozen_now=NOW,
        state_url=None if postgres is None else SecretStr(postgres),
        accounts_per_run=1 if postgres is None else ACCOUNTS_PER_RUN,
        **others,
    )
    if postgres is not None:
        url = postgres.replace("postgresql://", "postgresql+psycopg2://")
        settings.dagster_home.mkdir(parents=True)
        config = {"storage": {"postgres": {"postgres_url": url}}}
        (settings.dagster_home / "dagster.yaml").write_bytes(msgspec.yaml.encode(config))
    return settings


def register_accounts(settings: Settings, accounts: int) -> list[str]:
    """Register so many accounts at once, and return their ids."""
    ids = [f"account-{number:05}" for number in range(accounts)]
    registered = [RegisteredAccount(id=account_id, name=account_id, first_day=DAY) for account_id in ids]
    with DataDir.open(settings).storage.state.edit_registry() as edit:
        edit.documents, edit.changed = {account.id: msgspec.json.encode(account) for account in registered}, ids
    return ids


def _measure(settings: Settings, accounts: int) -> Iterator[tuple[Figure, float]]:
    ids = register_accounts(settings, accounts)
    runs = -(-accounts // settings.accounts_per_run)
    with open_instance(settings) as instance:
        add_accounts(instance, ids)
        evaluator = Evaluator(build_defs(settings).get_repository_def(), instance)
        yield (_time(f"schedule, {accounts} accounts requested", evaluator.count_scheduled, runs), MAX_SCHEDULE_SECONDS)
        _add_failed_runs(instance, ids, settings.accounts_per_run)
        yield (
            _time(f"failed_days, {accounts} accounts requested again", evaluator.count_failed_days, runs),
            MAX_SENSOR_SECONDS,
        )


def _add_failed_runs(instance: dg.DagsterInstance, account_ids: Sequence[str], accounts_per_run: int) -> None:
    """Add failed runs of all accounts. `DagsterInstance.add_run` commits each: 30 ms, 5 minutes for 10,000."""
    runs = [
        dg.DagsterRun(
            DAILY_SNAPSHOT,
            run_id=make_new_run_id(),
            status=dg.DagsterRunStatus.FAILURE,
            tags={**_build_tags(account_ids[start : start + accounts_per_run]), **NO_RETRY},
        )
        for start in range(0, len(account_ids), accounts_per_run)
    ]
    tags = [{"run_id": run.run_id, "key": key, "value": value} for run in runs for key, value in run.tags.items()]
    storage = instance.run_storage
    if not isinstance(storage, SqlRunStorage):
        raise TypeError(f"{type(storage).__name__} is not in SQL.")
    with storage.connect() as connection:
        connection.execute(
            RunsTable.insert(),
            [
                {
                    "run_id": run.run_id,
                    "pipeline_name": run.job_name,
                    "status": run.status.value,
                    "run_body": dg.serialize_value(run),
                }
                for run in runs
            ],
        )
        connection.execute(RunTagsTable.insert(), tags)


def _build_tags(account_ids: Sequence[str]) -> Mapping[str, str]:
    first, last = Partition(account_ids[0], DAY), Partition(account_ids[-1], DAY)
    return build_partition_tags(first) if first == last else build_range_tags(first, last)


def _time(name: str, evaluate: Callable[[], int], expected: int) -> Figure:
    started = time.perf_counter()
    requested = evaluate()
    seconds = time.perf_counter() - started
    if requested != expected:
        raise RuntimeError(f"{requested} runs were requested instead of {expected}.")
    return Figure(name, seconds, "s")


if __name__ == "__main__":
    main()
