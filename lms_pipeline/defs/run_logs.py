"""The logs of old runs: a file of events for each, and what its steps printed.

What belongs here: what has to know how Dagster keeps them on a disk. A run leaves some 560 KB: 350 KB are its file, 20 KB
the folder of what it printed; these go. Its record, and what it published, are in files that all runs share; they stay,
and every partition is shown as before. (`DagsterInstance.delete_run` leaves the file, as large as it was, and takes the
record and the materializations: the partitions that the run published are missing from then on. A process that had
opened the log of a run before it went can't open it again; others find it empty.)
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import islice
from pathlib import Path

import dagster as dg
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from lms_pipeline.housekeeping.cleanup import measure_size, read_changed_at
from lms_pipeline.housekeeping.policy import ExpiredItem

LOCATION = "lms_pipeline"
"""The code location of `workspace.yaml`."""
OF_ASSETS = "__ASSET_JOB"
"""The job of runs that somebody asked for by assets."""
AT_ONCE = 500
"""Runs that are looked up together."""


def old_run_logs(
    instance: dg.DagsterInstance,
    before: datetime,
    *,
    jobs: AbstractSet[str],
    assets: AbstractSet[str],
    location: str = LOCATION,
) -> list[ExpiredItem]:
    """Logs that were written before an instant: of finished runs of this package, and of those that were deleted.

    Others may keep their runs in the same instance; `location` is the code location that ours are launched from. What
    isn't on this machine's disk has a retention of its own.
    """

    def is_ours(run: dg.DagsterRun) -> bool:
        origin = run.remote_job_origin
        if origin is not None and origin.location_name != location:
            return False
        selected = {key.to_user_string() for key in run.asset_selection or ()}
        return run.job_name in jobs or (run.job_name == OF_ASSETS and bool(selected) and selected <= assets)

    return list(_due(instance, _by_run(instance, before), is_ours))


def _due(
    instance: dg.DagsterInstance, logs: dict[str, list[Path]], is_ours: Callable[[dg.DagsterRun], bool]
) -> Iterator[ExpiredItem]:
    run_ids = iter(logs)
    while some := list(islice(run_ids, AT_ONCE)):
        runs = {run.run_id: run for run in instance.get_runs(dg.RunsFilter(run_ids=some))}
        for run_id in some:
            run = runs.get(run_id)
            if run is None or (run.is_finished and is_ours(run)):
                yield from (ExpiredItem("run logs", path, measure_size(path)) for path in logs[run_id])


def _by_run(instance: dg.DagsterInstance, before: datetime) -> dict[str, list[Path]]:
    logs: defaultdict[str, list[Path]] = defaultdict(list)
    for path in _logs(instance):
        run_id = path.name.partition(".")[0]
        if _is_run_id(run_id):
            logs[run_id].append(path)
    return {
        run_id: paths
        for run_id, paths in logs.items()
        if all(read_changed_at(path) < before for path in paths)
    }


def _logs(instance: dg.DagsterInstance) -> Iterator[Path]:
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage, printed = instance.event_log_storage, instance.compute_log_manager
    if isinstance(storage, SqliteEventLogStorage):
        yield from sorted(Path(storage.path_for_shard("index")).parent.glob("*.db*"))
    if isinstance(printed, LocalComputeLogManager):
        yield from sorted(Path(printed.get_captured_local_path(["any"], "out")).parent.glob("*"))


def _is_run_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
