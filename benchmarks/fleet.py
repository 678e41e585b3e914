"""Nights of a fleet, run as users run them: `python -m benchmarks.fleet --accounts 200`.

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
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import dagster as dg

from benchmarks.figures import Figure, tell
from benchmarks.fleet_world import Fleet, load_fleet
from benchmarks.nights import Night, pass_night
from benchmarks.services import COMMAND, services
from benchmarks.usage import Usage
from lms_pipeline.defs.instance import open_instance
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox import (
    TRUTO_ACCOUNT_TIER,
    TRUTO_TOKEN_TIER,
    RunningSandbox,
    SandboxScript,
    Switches,
    running,
)
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import TABLES

ROLES = {
    "multiprocessing.spawn": "run",
    "dagster_webserver": "webserver",
    "dagster._daemon": "daemon",
    "grpc": "code server",
    "code-server": "code server",
}
"""What a process is, by a word of its command line."""
LIMITS = Switches(account_tier=TRUTO_ACCOUNT_TIER, token_tier=TRUTO_TOKEN_TIER)
SCHEDULE = "*/5 * * * *"
"""A tick is over before the next one, also where it asks for hundreds of runs."""
CpuSeconds = tuple[Mapping[str, float], Mapping[str, float]]


class WrongResultError(Exception):
    """The nights did not end as they have to: their figures are worth nothing."""


@click.command()
@click.option("--accounts", type=click.IntRange(min=4), default=200, show_default=True)
@click.option("--dagster-yaml", type=click.Path(exists=True, path_type=Path), help="Else the package's own.")
@click.option(
    "--keep", type=click.Path(path_type=Path), help="A new folder to keep it all in; else it is removed."
)
def main(accounts: int, dagster_yaml: Path | None, keep: Path | None) -> None:
    """Measure two nights of a fleet of so many accounts, three of them in trouble."""
    folder = keep or Path(tempfile.mkdtemp(prefix="fleet-"))
    folder.mkdir(parents=True, exist_ok=True)
    click.echo(f"Everything is in {folder}, where it stays if something goes wrong.", err=True)
    fleet = load_fleet(accounts)
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
    data, home, count = DataDir(settings.data_dir), settings.dagster_home, len(fleet.account_ids)
    if dagster_yaml is not None:
        home.mkdir(parents=True)
        shutil.copy(dagster_yaml, home / "dagster.yaml")
    sync = [str(COMMAND), "accounts", "sync"]
    subprocess.run(sync, env=environment, cwd=folder, check=True, stdout=sys.stderr)  # noqa: S603 (our own words)
    with open_instance(settings) as instance, services(environment, folder) as dagster:
        usage = Usage(dagster.pid, _role)
        size_before = _size(home)
        with usage.watching():
            before = usage.cpu_seconds()
            first = pass_night(instance, dagster, sandbox)
            after = usage.cpu_seconds()
            second = pass_night(instance, dagster, sandbox)
    day = settings.calendar.latest_ended(datetime.fromtimestamp(first.tick.scheduled_at, UTC))
    _check(fleet, data, [Partition(one, day) for one in fleet.account_ids], first, second)
    yield from _times(first, count)
    yield from _costs(before, after, usage, first, count)
    runs = len(first.runs) + len(second.runs)
    yield Figure("Dagster's home, per run", (_size(home) - size_before) / runs / 1024, "KB")
    kept = sum(_size(folder) for folder in (data.lake, data.state, data.root / "answers"))
    yield Figure("lake, state and answers, per account", kept / count / 1024, "KB")
    yield Figure("second tick: accounts asked for", len(second.accounts))
    yield Figure("second tick: runs, tries included", len(second.runs))
    yield Figure("second tick to its last run", second.ended_at - second.tick.scheduled_at, "s")


def _environment(sandbox: RunningSandbox, folder: Path) -> dict[str, str]:
    """A time zone in which it is about noon, so that no day ends meanwhile."""
    ahead = (datetime.now(UTC).hour - 12) % 24
    zone = f"Etc/GMT+{ahead}" if ahead <= 12 else f"Etc/GMT-{24 - ahead}"
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return inherited | {
        "LMS_DATA_DIR": str(folder / "data"),
        "LMS_SCHEDULE": SCHEDULE,
        "LMS_TIMEZONE": zone,
        "TRUTO_API_TOKEN": sandbox.token,
        "TRUTO_BASE_URL": sandbox.url,
    }


def _role(command: Sequence[str]) -> str:
    return next((role for word, role in ROLES.items() if any(word in part for part in command)), "other")


def _check(fleet: Fleet, data: DataDir, partitions: Sequence[Partition], first: Night, second: Night) -> None:
    tables = list(TABLES.values())
    whole = {one.account_id for one in partitions if all(data.file(table, one).exists() for table in tables)}
    _same("accounts with every table", whole, set(fleet.sound))
    _same("accounts of the first tick", first.accounts, set(fleet.account_ids))
    _same("accounts of the second tick", second.accounts, set(fleet.faults))
    _same("accounts called after the second tick", set(second.calls), set(fleet.faults))
    _same("limits that were met", {*first.refused, *second.refused}, set())
    for account_id, causes in {**first.causes, **second.causes}.items():
        if account_id in fleet.faults:
            _same(
                f"causes told of {account_id}",
                {cause.split(" (")[0] for cause in causes},
                {fleet.causes[account_id]},
            )


def _same(what: str, found: set[str | None] | set[str], expected: set[str]) -> None:
    if found != expected:
        raise WrongResultError(
            f"{what}: {len(found)}, and not {len(expected)}: {sorted(map(str, found ^ expected))}"
        )


def _times(night: Night, accounts: int) -> Iterator[Figure]:
    began = night.tick.scheduled_at
    good = {run.run_id for run in night.runs if run.status == dg.DagsterRunStatus.SUCCESS}
    stats = [one for one in night.stats if one.run_id in good]
    failed = [one for one in night.stats if one.run_id not in good]
    starting = [(one.start_time or 0) - (one.launch_time or 0) for one in stats]
    running_for = [(one.end_time or 0) - (one.start_time or 0) for one in stats]
    held = sum((one.end_time or 0) - (one.launch_time or 0) for one in failed)
    last = max(one.end_time or 0.0 for one in stats)
    yield Figure("tick to its last run request", (night.tick.ended_at or 0) - began, "s")
    yield Figure("tick to the last account with every table", last - began, "s")
    yield Figure("the same, per account", (last - began) / accounts, "s")
    yield Figure("tick to the last try of those in trouble", night.ended_at - began, "s")
    yield Figure(
        "accounts with every table",
        len({run.tags["dagster/partition"] for run in night.runs if run.run_id in good}),
    )
    yield Figure("runs that failed, tries included", len(failed))
    yield Figure("places held by them", held, "s")
    yield Figure("a run's process, launched to started, median", statistics.median(starting), "s")
    yield Figure("a run, started to ended, median", statistics.median(running_for), "s")
    yield Figure("a run, started to ended, longest", max(running_for), "s")


def _costs(
    before: CpuSeconds, after: CpuSeconds, usage: Usage, night: Night, accounts: int
) -> Iterator[Figure]:
    """Runs are children of the code server, which waits for them."""
    (own_before, ended_before), (own, ended) = before, after
    of_runs = ended.get("code server", 0) - ended_before.get("code server", 0)
    yield Figure("CPU of a run", of_runs / len(night.runs), "s")
    for role in ("daemon", "code server", "webserver"):
        yield Figure(f"CPU of the {role}, per account", (own[role] - own_before[role]) / accounts, "s")
    for role in ("run", "daemon", "code server", "webserver"):
        yield Figure(f"memory of the {role}, peak", usage.peak_bytes[role] / 2**20, "MB")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
