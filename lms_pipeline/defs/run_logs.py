"""Retention of run logs: the event file of each run, and the folder with the output of its steps.

Belongs here: where Dagster keeps them on a disk. Not here: their removal (`housekeeping/cleanup.py`).
"""

# A run leaves some 560 KB: 350 KB are its event file, 20 KB the output of its steps; these are removed. Its record and
# its materializations are in files that all runs share and stay, so every partition is shown as before; `index_events.py`
# removes the copies in these files.
# `DagsterInstance.delete_run` does the opposite: it keeps the file at its size and deletes record and materializations.
# A process that opened the log of a run before its removal can't open it again; other processes find it empty.

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import islice
from pathlib import Path

import dagster as dg

# no public name: the default compute log manager, the only one that knows where the output of steps is stored
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from lms_pipeline.housekeeping.policy import ExpiredItem
from lms_pipeline.storage.disk import measure_size, read_changed_at

DEFAULT_LOCATION = "lms_pipeline"
"""The code location in `workspace.yaml`."""
ASSET_JOB = "__ASSET_JOB"
"""Dagster's job of runs that materialize selected assets."""
BATCH_SIZE = 500
"""Runs per query."""


def find_expired_run_logs(
    instance: dg.DagsterInstance,
    before: datetime,
    *,
    jobs: AbstractSet[str],
    assets: AbstractSet[str],
    location: str = DEFAULT_LOCATION,
) -> list[ExpiredItem]:
    """Find logs last written before an instant: of finished runs of this package, and of deleted runs.

    Other projects may use the same instance; `location` is the code location from which runs of this package are
    launched. Logs that are not on this machine's disk have a retention of their own.
    """
    logs = _group_by_run(instance, before)
    run_ids = iter(logs)
    expired: list[ExpiredItem] = []
    while batch := list(islice(run_ids, BATCH_SIZE)):
        runs = {run.run_id: run for run in instance.get_runs(dg.RunsFilter(run_ids=batch))}
        for run_id in batch:
            run = runs.get(run_id)
            if run is None or (run.is_finished and is_run_of_package(run, jobs, assets, location)):
                expired += [ExpiredItem("run logs", path, measure_size(path)) for path in logs[run_id]]
    return expired


def is_run_of_package(run: dg.DagsterRun, jobs: AbstractSet[str], assets: AbstractSet[str], location: str) -> bool:
    """Return whether a run is of one of these jobs, or of these assets only, and was launched from this location or a shell."""
    origin = run.remote_job_origin
    if origin is not None and origin.location_name != location:
        return False
    selected = {key.to_user_string() for key in run.asset_selection or ()}
    return run.job_name in jobs or (run.job_name == ASSET_JOB and bool(selected) and selected <= assets)


def _group_by_run(instance: dg.DagsterInstance, before: datetime) -> dict[str, list[Path]]:
    logs: defaultdict[str, list[Path]] = defaultdict(list)
    for path in _find_logs(instance):
        run_id = path.name.partition(".")[0]
        if _is_run_id(run_id):
            logs[run_id].append(path)
    return {run_id: paths for run_id, paths in logs.items() if all(read_changed_at(path) < before for path in paths)}


def _find_logs(instance: dg.DagsterInstance) -> Iterator[Path]:
    # no public name: the default event log storage, the only one that knows where the event files are
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage, output = instance.event_log_storage, instance.compute_log_manager
    if isinstance(storage, SqliteEventLogStorage):
        yield from sorted(Path(storage.path_for_shard("index")).parent.glob("*.db*"))
    if isinstance(output, LocalComputeLogManager):
        yield from sorted(Path(output.get_captured_local_path(["any"], "out")).parent.glob("*"))


def _is_run_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
