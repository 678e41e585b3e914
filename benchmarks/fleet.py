"""Two nights of a fleet, run as users run them: `python -m benchmarks.fleet --accounts 200`.

Belongs here: the scenario, its checks and figures. The first tick of the schedule requests every account, in runs of one
or of several, and three accounts fail. The second tick requests only these three, and makes no call to the others.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from pathlib import Path

import click
import dagster as dg

from benchmarks.figures import Figure, print_figures
from benchmarks.fleet_world import Fleet, build_even_fleet, build_fleet
from benchmarks.nights import Night, run_night
from benchmarks.ratios import Limit
from benchmarks.services import COMMAND, start_services
from benchmarks.usage import Usage
from lms_pipeline.defs.instance import open_instance
from lms_pipeline.lake.commit_mark import read_commit_mark
from lms_pipeline.lake.files import read_footer
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox import TRUTO_ACCOUNT_TIER, TRUTO_TOKEN_TIER, RunningSandbox, SandboxScript, Switches, running
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS

ROLES = {
    "multiprocessing.spawn": "run",
    "defs.webserver": "webserver",
    "dagster._daemon": "daemon",
    "grpc": "code server",
    "code-server": "code server",
}
"""The role of a process by a word of its command line."""
LIMITS = Switches(account_tier=TRUTO_ACCOUNT_TIER, token_tier=TRUTO_TOKEN_TIER)
SCHEDULE, SHORT_SCHEDULE = "*/5 * * * *", "* * * * *"
"""A tick ends before the next one, even if it requests hundreds of runs; the second is for few."""
MAX_REQUESTS_OF_SHORT_SCHEDULE = 50
MAX_CPU_SECONDS, MAX_EVENTS = Limit(2.0), Limit(40)
"""Limits of an account in runs of several. Its 11 planned and 11 recorded tables and its 16 checks are 38 events, and in a run in
which another account fails 40, see `defs/batch.py`; the events of a run with 25 accounts are 1.3 each. So the limit is one of a
fleet in which few runs fail."""
CpuSeconds = tuple[Mapping[str, float], Mapping[str, float]]


class WrongResultError(Exception):
    """The nights did not end as expected, so their figures mean nothing."""


@click.command()
@click.option("--accounts", type=click.IntRange(min=4), default=200, show_default=True)
@click.option("--accounts-per-run", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--enrollments", type=click.IntRange(min=100), help="Of each account, about. Default: accounts of many sizes."
)
@click.option("--dagster-yaml", type=click.Path(exists=True, path_type=Path), help="Default: the package's own.")
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Keep everything in this new folder. Default: a temporary one."
)
def main(
    accounts: int, accounts_per_run: int, enrollments: int | None, dagster_yaml: Path | None, keep: Path | None
) -> None:
    """Measure two nights of a fleet in which three accounts fail."""
    folder = keep or Path(tempfile.mkdtemp(prefix="fleet-"))
    folder.mkdir(parents=True, exist_ok=True)
    click.echo(f"All files are in {folder}, and stay there if something fails.", err=True)
    fleet = build_fleet(accounts) if enrollments is None else build_even_fleet(accounts, enrollments, datetime.now(UTC))
    with running(fleet.world, script=SandboxScript(switches=LIMITS, faults=fleet.script)) as sandbox:
        environment = _build_environment(sandbox, folder.resolve(), accounts, accounts_per_run)
        figures = list(_measure(fleet, sandbox, environment, folder.resolve(), dagster_yaml))
    if keep is None:
        shutil.rmtree(folder)
    print_figures("fleet", figures, accounts=accounts, accounts_per_run=accounts_per_run, cores=os.cpu_count())


def _measure(
    fleet: Fleet, sandbox: RunningSandbox, environment: Mapping[str, str], folder: Path, dagster_yaml: Path | None
) -> Iterator[Figure]:
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
    healthy = [Partition(account_id, day) for account_id in fleet.healthy]
    publishers = {str(read_commit_mark(data, partition)) for partition in healthy}
    yield from _compute_sizes(data, healthy)
    yield from _compute_times(first, publishers, count)
    max_cpu, max_events = (MAX_CPU_SECONDS, MAX_EVENTS) if settings.accounts_per_run > 1 else (None, None)
    yield from _compute_costs(before, after, usage, count, len(first.runs), max_cpu)
    events = sum(first.events_by_run[run_id] for run_id in publishers)
    yield Figure("events in Dagster's log, per published account", events / len(healthy), limit=max_events)
    runs = len(first.runs) + len(second.runs)
    yield Figure("Dagster's home, per run", (_measure_size(home) - size_before) / runs / 1024, "KB")
    kept = sum(_measure_size(folder) for folder in (data.lake, data.state, data.root / "answers"))
    yield Figure("lake, state and responses, per account", kept / count / 1024, "KB")
    yield Figure("second tick: requested accounts", len(second.accounts))
    yield Figure("second tick: runs, retries included", len(second.runs))
    yield Figure("second tick to its last run", second.ended_at - second.tick.scheduled_at, "s")


def _build_environment(sandbox: RunningSandbox, folder: Path, accounts: int, accounts_per_run: int) -> dict[str, str]:
    """Return the environment of the services, in a time zone where it is about noon: no day ends meanwhile."""
    ahead = (datetime.now(UTC).hour - 12) % 24
    zone = f"Etc/GMT+{ahead}" if ahead <= 12 else f"Etc/GMT-{24 - ahead}"
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return inherited | {
        "LMS_ACCOUNTS_PER_RUN": str(accounts_per_run),
        "LMS_DATA_DIR": str(folder / "data"),
        "LMS_SCHEDULE": SHORT_SCHEDULE if accounts / accounts_per_run < MAX_REQUESTS_OF_SHORT_SCHEDULE else SCHEDULE,
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


def _compute_sizes(data: DataDir, partitions: Sequence[Partition]) -> Iterator[Figure]:
    rows = [read_footer(data.file(UNIFIED_ENROLLMENTS, partition)).num_rows for partition in partitions]
    yield Figure("accounts with every table", len(partitions))
    yield Figure("enrollments of such an account, mean", statistics.mean(rows))


def _compute_times(night: Night, publishers: AbstractSet[str], accounts: int) -> Iterator[Figure]:
    """Yield times; `publishers` are the runs that published healthy accounts, also if others of their accounts failed."""
    began = night.tick.scheduled_at
    stats = [run for run in night.stats if run.run_id in publishers]
    failed = [run for run in night.runs if run.status != dg.DagsterRunStatus.SUCCESS]
    starting = [(run.start_time or 0) - (run.launch_time or 0) for run in stats]
    running_for = [(run.end_time or 0) - (run.start_time or 0) for run in stats]
    idle = [run for run in night.stats if run.run_id not in publishers]
    held = sum((run.end_time or 0) - (run.launch_time or 0) for run in idle)
    last = max(run.end_time or 0.0 for run in stats)
    yield Figure("tick to its last run request", (night.tick.ended_at or 0) - began, "s")
    yield Figure("tick to the last account with every table", last - began, "s")
    yield Figure("the same, per account", (last - began) / accounts, "s")
    yield Figure("tick to the last retry of the failing accounts", night.ended_at - began, "s")
    yield Figure("runs, retries included", len(night.runs))
    yield Figure("failed runs, retries included", len(failed))
    yield Figure("run slots held by runs that published nothing", held, "s")
    yield Figure("a run, launched to started, median", statistics.median(starting), "s")
    yield Figure("a run, started to ended, median", statistics.median(running_for), "s")
    yield Figure("a run, started to ended, longest", max(running_for), "s")


def _compute_costs(
    before: CpuSeconds, after: CpuSeconds, usage: Usage, accounts: int, runs: int, limit: Limit | None
) -> Iterator[Figure]:
    """Yield CPU and memory by role; the limit is that of all CPU of an account.

    Runs are children of the code server, which waits for them.
    """
    (own_before, ended_before), (own, ended) = before, after
    run_seconds = ended.get("code server", 0) - ended_before.get("code server", 0)
    services = {role: own[role] - own_before[role] for role in ("daemon", "code server", "webserver")}
    yield Figure("CPU of a run", run_seconds / runs, "s")
    yield Figure("CPU of the runs, per account", run_seconds / accounts, "s")
    for role, seconds in services.items():
        yield Figure(f"CPU of the {role}, per account", seconds / accounts, "s")
    yield Figure("CPU of all, per account", (run_seconds + sum(services.values())) / accounts, "s", limit)
    for role in ("run", "daemon", "code server", "webserver"):
        yield Figure(f"memory of the {role}, peak", usage.peak_bytes[role] / 2**20, "MB")


def _measure_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
