"""Two nights of a fleet, run as users run them: `python -m benchmarks.fleet --accounts 200`.

Belongs here: the scenario, its checks and figures. The first tick of the schedule requests a run for every account,
and three accounts fail. The second tick requests only these three, and makes no call to the others.
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

from benchmarks.figures import Figure, print_figures
from benchmarks.fleet_world import Fleet, build_fleet
from benchmarks.nights import Night, run_night
from benchmarks.services import COMMAND, start_services
from benchmarks.usage import Usage
from lms_pipeline.defs.instance import open_instance
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox import TRUTO_ACCOUNT_TIER, TRUTO_TOKEN_TIER, RunningSandbox, SandboxScript, Switches, running
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import TABLES

ROLES = {
    "multiprocessing.spawn": "run",
    "dagster_webserver": "webserver",
    "dagster._daemon": "daemon",
    "grpc": "code server",
    "code-server": "code server",
}
"""The role of a process by a word of its command line."""
LIMITS = Switches(account_tier=TRUTO_ACCOUNT_TIER, token_tier=TRUTO_TOKEN_TIER)
SCHEDULE = "*/5 * * * *"
"""A tick ends before the next one, even if it requests hundreds of runs."""
CpuSeconds = tuple[Mapping[str, float], Mapping[str, float]]


class WrongResultError(Exception):
    """The nights did not end as expected, so their figures mean nothing."""


@click.command()
@click.option("--accounts", type=click.IntRange(min=4), default=200, show_default=True)
@click.option("--dagster-yaml", type=click.Path(exists=True, path_type=Path), help="Default: the package's own.")
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Keep everything in this new folder. Default: a temporary one."
)
def main(accounts: int, dagster_yaml: Path | None, keep: Path | None) -> None:
    """Measure two nights of a fleet in which three accounts fail."""
    folder = keep or Path(tempfile.mkdtemp(prefix="fleet-"))
    folder.mkdir(parents=True, exist_ok=True)
    click.echo(f"All files are in {folder}, and stay there if something fails.", err=True)
    fleet = build_fleet(accounts)
    with running(fleet.world, script=SandboxScript(switches=LIMITS, faults=fleet.script)) as sandbox:
        figures = list(_measure(fleet, sandbox, folder.resolve(), dagster_yaml))
    if keep is None:
        shutil.rmtree(folder)
    print_figures("fleet", figures, accounts=accounts, cores=os.cpu_count())


def _measure(fleet: Fleet, sandbox: RunningSandbox, folder: Path, dagster_yaml: Path | None) -> Iterator[Figure]:
    environment = _build_environment(sandbox, folder)
    os.environ.update(environment)
    settings = Settings.load(folder)
    data, home, count = DataDir(settings.data_dir), settings.dagster_home, len(fleet.account_ids)
    if dagster_yaml is not None:
        home.mkdir(parents=True)
        shutil.copy(dagster_yaml, home / "dagster.yaml")
    sync = [str(COMMAND), "accounts", "sync"]
    subprocess.run(sync, env=environment, cwd=folder, check=True, stdout=sys.stderr)  # noqa: S603 (our own arguments)
    with open_instance(settings) as instance, start_services(environment, folder) as dagster:
        usage = Usage(dagster.pid, _find_role)
        size_before = _measure_size(home)
        with usage.watch_memory():
            before = usage.read_cpu_seconds()
            first = run_night(instance, dagster, sandbox)
            after = usage.read_cpu_seconds()
            second = run_night(instance, dagster, sandbox)
    day = settings.calendar.find_latest_ended(datetime.fromtimestamp(first.tick.scheduled_at, UTC))
    _check_nights(fleet, data, [Partition(account_id, day) for account_id in fleet.account_ids], first, second)
    yield from _compute_times(first, count)
    yield from _compute_costs(before, after, usage, first, count)
    runs = len(first.runs) + len(second.runs)
    yield Figure("Dagster's home, per run", (_measure_size(home) - size_before) / runs / 1024, "KB")
    kept = sum(_measure_size(folder) for folder in (data.lake, data.state, data.root / "answers"))
    yield Figure("lake, state and responses, per account", kept / count / 1024, "KB")
    yield Figure("second tick: requested accounts", len(second.accounts))
    yield Figure("second tick: runs, retries included", len(second.runs))
    yield Figure("second tick to its last run", second.ended_at - second.tick.scheduled_at, "s")


def _build_environment(sandbox: RunningSandbox, folder: Path) -> dict[str, str]:
    """Return the environment of the services, in a time zone where it is about noon: no day ends meanwhile."""
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


def _find_role(command: Sequence[str]) -> str:
    return next((role for word, role in ROLES.items() if any(word in part for part in command)), "other")


def _check_nights(fleet: Fleet, data: DataDir, partitions: Sequence[Partition], first: Night, second: Night) -> None:
    tables = [table for table in TABLES.values() if table.per_account]
    complete = {
        partition.account_id
        for partition in partitions
        if all(data.file(table, partition).exists() for table in tables)
    }
    _check_equal("accounts with every table", complete, set(fleet.healthy))
    _check_equal("accounts of the first tick", first.accounts, set(fleet.account_ids))
    _check_equal("accounts of the second tick", second.accounts, set(fleet.faults))
    _check_equal("accounts called after the second tick", set(second.calls), set(fleet.faults))
    _check_equal("rate limits that were hit", {*first.refused, *second.refused}, set())
    for account_id, causes in {**first.causes, **second.causes}.items():
        if account_id in fleet.faults:
            _check_equal(
                f"causes of {account_id}", {cause.split(" (")[0] for cause in causes}, {fleet.causes[account_id]}
            )


def _check_equal(what: str, found: set[str | None] | set[str], expected: set[str]) -> None:
    if found != expected:
        raise WrongResultError(
            f"{what}: {len(found)} instead of {len(expected)}, differing in {sorted(map(str, found ^ expected))}"
        )


def _compute_times(night: Night, accounts: int) -> Iterator[Figure]:
    began = night.tick.scheduled_at
    succeeded = {run.run_id for run in night.runs if run.status == dg.DagsterRunStatus.SUCCESS}
    stats = [run for run in night.stats if run.run_id in succeeded]
    failed = [run for run in night.stats if run.run_id not in succeeded]
    starting = [(run.start_time or 0) - (run.launch_time or 0) for run in stats]
    running_for = [(run.end_time or 0) - (run.start_time or 0) for run in stats]
    held = sum((run.end_time or 0) - (run.launch_time or 0) for run in failed)
    last = max(run.end_time or 0.0 for run in stats)
    yield Figure("tick to its last run request", (night.tick.ended_at or 0) - began, "s")
    yield Figure("tick to the last account with every table", last - began, "s")
    yield Figure("the same, per account", (last - began) / accounts, "s")
    yield Figure("tick to the last retry of the failing accounts", night.ended_at - began, "s")
    yield Figure(
        "accounts with every table",
        len({run.tags["dagster/partition"] for run in night.runs if run.run_id in succeeded}),
    )
    yield Figure("failed runs, retries included", len(failed))
    yield Figure("run slots held by them", held, "s")
    yield Figure("a run, launched to started, median", statistics.median(starting), "s")
    yield Figure("a run, started to ended, median", statistics.median(running_for), "s")
    yield Figure("a run, started to ended, longest", max(running_for), "s")


def _compute_costs(
    before: CpuSeconds, after: CpuSeconds, usage: Usage, night: Night, accounts: int
) -> Iterator[Figure]:
    """Yield CPU and memory by role. Runs are children of the code server, which waits for them."""
    (own_before, ended_before), (own, ended) = before, after
    run_seconds = ended.get("code server", 0) - ended_before.get("code server", 0)
    yield Figure("CPU of a run", run_seconds / len(night.runs), "s")
    for role in ("daemon", "code server", "webserver"):
        yield Figure(f"CPU of the {role}, per account", (own[role] - own_before[role]) / accounts, "s")
    for role in ("run", "daemon", "code server", "webserver"):
        yield Figure(f"memory of the {role}, peak", usage.peak_bytes[role] / 2**20, "MB")


def _measure_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
