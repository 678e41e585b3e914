"""A night of a fleet, run as users run it: `python -m benchmarks.fleet --accounts 200`.

What belongs here: the story and its figures. One tick of the schedule asks for every account; three of them are in
trouble; the next tick asks for these three alone, and the LMSs of the others aren't called again.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import dagster as dg
from dagster._core.storage.dagster_run import DagsterRunStatsSnapshot

from benchmarks.figures import Figure, tell
from benchmarks.fleet_world import Fleet, fleet_of
from benchmarks.services import COMMAND, Services, Tick, services
from benchmarks.usage import Usage
from lms_pipeline.defs.asking import BUSY, is_under_way
from lms_pipeline.defs.jobs import DAILY_SNAPSHOT
from lms_pipeline.defs.running import open_instance
from lms_pipeline.lake.catalog import TABLES
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox.scripting import SandboxScript
from lms_pipeline.sandbox.server import RunningSandbox, running
from lms_pipeline.sandbox.wire.switches import TRUTO_ACCOUNT_TIER, TRUTO_TOKEN_TIER, Switches
from lms_pipeline.settings import Settings

ROLES = {
    "multiprocessing.spawn": "run",
    "dagster_webserver": "webserver",
    "dagster._daemon": "daemon",
    "grpc": "code server",
    "code-server": "code server",
}
"""What a process is, by a word of its command line."""
LIMITS = Switches(account_tier=TRUTO_ACCOUNT_TIER, token_tier=TRUTO_TOKEN_TIER)


class WrongResultError(Exception):
    """The night did not end as it has to: its figures are worth nothing."""


@dataclass(frozen=True)
class Night:
    """What happened between a tick and the end of the last run it asked for, times in seconds since 1970."""

    tick: Tick
    runs: list[dg.DagsterRun]
    """Those asked for, and their retries."""
    stats: list[DagsterRunStatsSnapshot]
    calls: dict[str, int]
    """By account."""

    @property
    def ended_at(self) -> float:
        """When the last run was over."""
        return max(one.end_time or 0.0 for one in self.stats)


@click.command()
@click.option("--accounts", type=click.IntRange(min=4), default=200, show_default=True)
@click.option("--dagster-yaml", type=click.Path(exists=True, path_type=Path), help="Else the package's own.")
@click.option(
    "--keep", type=click.Path(path_type=Path), help="A new folder to keep it all in; else it is removed."
)
def main(accounts: int, dagster_yaml: Path | None, keep: Path | None) -> None:
    """Measure one night of a fleet of so many accounts, three of them in trouble."""
    folder = keep or Path(tempfile.mkdtemp(prefix="fleet-"))
    folder.mkdir(parents=True, exist_ok=True)
    fleet = fleet_of(accounts)
    click.echo(f"Everything is in {folder}, also where it goes wrong.", err=True)
    with running(fleet.world, script=SandboxScript(switches=LIMITS, faults=fleet.script)) as sandbox:
        figures = list(_measured(fleet, sandbox, folder.resolve(), dagster_yaml))
    if keep is None:
        shutil.rmtree(folder)
    tell("fleet", figures, accounts=accounts, cores=os.cpu_count())


def _measured(
    fleet: Fleet, sandbox: RunningSandbox, folder: Path, dagster_yaml: Path | None
) -> Iterator[Figure]:
    environment = _environment(sandbox, folder)
    os.environ.update(environment)
    settings = Settings.load(folder)
    data = DataDir(settings.data_dir)
    if dagster_yaml is not None:
        settings.dagster_home.mkdir(parents=True)
        shutil.copy(dagster_yaml, settings.dagster_home / "dagster.yaml")
    subprocess.run([COMMAND, "accounts", "sync"], env=environment, cwd=folder, check=True, stdout=sys.stderr)  # noqa: S603
    with open_instance(settings) as instance, services(environment, folder) as dagster:
        usage = Usage(dagster.pid, _role)
        home_before = _size(settings.dagster_home)
        with usage.watching():
            before = usage.cpu_seconds()
            first = _night(instance, dagster, sandbox)
            after = usage.cpu_seconds()
            second = _night(instance, dagster, sandbox)
        day = settings.calendar.latest_ended(datetime.fromtimestamp(first.tick.scheduled_at, UTC))
        _check(fleet, data, [Partition(one, day) for one in fleet.account_ids], first, second)
        yield from _times(first, len(fleet.account_ids))
        yield from _costs(before, after, usage, len(fleet.account_ids))
        grown = _size(settings.dagster_home) - home_before
        yield Figure("Dagster's home, per run", grown / (len(first.runs) + len(second.runs)) / 1024, "KB")
        yield Figure(
            "lake, answers and state, per account", _size_of_data(data) / len(fleet.account_ids) / 1024, "KB"
        )
        yield Figure("runs of the first tick", len(first.tick.run_ids))
        yield Figure("runs of the second tick", len(second.tick.run_ids))
        sound = sum(calls for account_id, calls in second.calls.items() if account_id in fleet.sound)
        yield Figure("calls of the second tick to sound accounts", sound)
        yield Figure("second tick to its last run", second.ended_at - second.tick.scheduled_at, "s")


def _environment(sandbox: RunningSandbox, folder: Path) -> dict[str, str]:
    """A time zone in which it is about noon, so that no day ends meanwhile."""
    ahead = (datetime.now(UTC).hour - 12) % 24
    zone = f"Etc/GMT+{ahead}" if ahead <= 12 else f"Etc/GMT-{24 - ahead}"
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return inherited | {
        "LMS_DATA_DIR": str(folder / "data"),
        "LMS_SCHEDULE": "* * * * *",
        "LMS_TIMEZONE": zone,
        "TRUTO_API_TOKEN": sandbox.token,
        "TRUTO_BASE_URL": sandbox.url,
    }


def _role(command: Sequence[str]) -> str:
    return next((role for word, role in ROLES.items() if any(word in part for part in command)), "other")


def _night(instance: dg.DagsterInstance, dagster: Services, sandbox: RunningSandbox) -> Night:
    """Let the schedule tick once, and wait until all that it asked for is over."""
    known = {run.run_id for run in instance.get_runs()}
    past = len(dagster.ticks(DAILY_SNAPSHOT))
    sandbox.clear_counts()
    dagster.start(DAILY_SNAPSHOT)
    while len(ticks := dagster.ticks(DAILY_SNAPSHOT)) == past:
        time.sleep(0.5)
    dagster.stop(DAILY_SNAPSHOT)
    while _is_busy(instance):
        time.sleep(1)
    runs = [run for run in instance.get_runs() if run.run_id not in known]
    stats = [instance.get_run_stats(run.run_id) for run in runs]
    told = sandbox.stats()
    if told["limited"]:
        raise WrongResultError(f"Truto's limits were met: {told['limited']}")
    calls = {account_id: sum(routes.values()) for account_id, routes in told["requests"].items()}
    return Night(ticks[past], runs, stats, calls)


def _is_busy(instance: dg.DagsterInstance) -> bool:
    """Whether runs are on their way, or will be tried again."""
    maybe = dg.RunsFilter(statuses=[*BUSY, dg.DagsterRunStatus.FAILURE])
    return any(is_under_way(record) for record in instance.get_run_records(maybe))


def _check(fleet: Fleet, data: DataDir, partitions: Sequence[Partition], first: Night, second: Night) -> None:
    """See that the night ended as it has to."""
    whole = {
        partition.account_id
        for partition in partitions
        if all(data.file(table, partition).exists() for table in TABLES.values() if table.per_account)
    }
    if whole != set(fleet.sound):
        raise WrongResultError(f"Accounts with every table: {len(whole)}, {len(fleet.sound)} expected.")
    if (asked := _accounts(first.runs)) != set(fleet.account_ids):
        raise WrongResultError(f"The first tick asked for {len(asked)} accounts of {len(fleet.account_ids)}.")
    if (asked := _accounts(second.runs)) != set(fleet.faults):
        raise WrongResultError(f"The second tick asked for {sorted(asked)}, not for {sorted(fleet.faults)}.")


def _accounts(runs: Sequence[dg.DagsterRun]) -> set[str]:
    return {run.tags["dagster/partition/account"] for run in runs}


def _times(night: Night, accounts: int) -> Iterator[Figure]:
    wall = night.ended_at - night.tick.scheduled_at
    yield Figure("tick to the end of the last run", wall, "s")
    yield Figure("the same, per account", wall / accounts, "s")
    yield Figure("tick to its last run request", night.tick.ended_at - night.tick.scheduled_at, "s")
    good = {run.run_id for run in night.runs if run.status == dg.DagsterRunStatus.SUCCESS}
    stats = [one for one in night.stats if one.run_id in good]
    last = max(one.end_time or 0.0 for one in stats)
    yield Figure("tick to the last account with every table", last - night.tick.scheduled_at, "s")
    starting = [(one.start_time or 0) - (one.launch_time or 0) for one in stats]
    running_for = [(one.end_time or 0) - (one.start_time or 0) for one in stats]
    yield Figure("a run's process, launched to started, median", statistics.median(starting), "s")
    yield Figure("a run, started to ended, median", statistics.median(running_for), "s")
    yield Figure("a run, started to ended, longest", max(running_for), "s")
    failed = [one for one in night.stats if one.run_id not in good]
    held = sum((one.end_time or 0) - (one.launch_time or 0) for one in failed)
    yield Figure("slots held by runs that failed", held, "s")
    yield Figure("runs that failed", len(failed))


CpuSeconds = tuple[Mapping[str, float], Mapping[str, float]]


def _costs(before: CpuSeconds, after: CpuSeconds, usage: Usage, accounts: int) -> Iterator[Figure]:
    """Runs are children of the code server, which waits for them."""
    spent = {role: after[0].get(role, 0) - before[0].get(role, 0) for role in after[0]}
    spent["run"] = after[1].get("code server", 0) - before[1].get("code server", 0)
    for role, seconds in sorted(spent.items()):
        yield Figure(f"CPU of {role}, per account", seconds / accounts, "s")
    for role, peak in sorted(usage.peak_bytes.items()):
        yield Figure(f"memory of {role}, peak", peak / 2**20, "MB")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _size_of_data(data: DataDir) -> int:
    return sum(_size(folder) for folder in (data.lake, data.state, data.root / "answers"))


if __name__ == "__main__":
    main()
