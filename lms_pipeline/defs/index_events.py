"""Retention of the file of Dagster's event log that all runs share: the copies in it that nothing reads any more.

Belongs here: finding and removing them. Not here: the files of single runs (`run_logs.py`).
"""

# Dagster stores the events of checks in this file twice: as events, and in the table of check executions, which its pages
# read. It also copies each change of a run's status, for sensors, which read new ones only. Materializations stay, since
# asset pages read them; so do planned ones, by which Dagster finds the partitions whose latest run failed.

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any

import dagster as dg

# no public names: the tables of the event log, and the events that it stores twice
from dagster._core.events import ASSET_CHECK_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from sqlalchemy import Row, delete, select

from lms_pipeline.defs.event_log_sync import NO_RUN
from lms_pipeline.defs.run_logs import DEFAULT_LOCATION, is_run_of_package

BATCH_SIZE = 5_000
"""Events that are read and removed together."""
COPIED_EVENTS = tuple(sorted(kind.value for kind in {*ASSET_CHECK_EVENTS, *EVENT_TYPE_TO_PIPELINE_RUN_STATUS}))


def remove_index_events(
    instance: dg.DagsterInstance,
    before: datetime,
    *,
    jobs: AbstractSet[str],
    assets: AbstractSet[str],
    location: str = DEFAULT_LOCATION,
) -> int:
    """Remove the copies before an instant, of finished runs of this package and of deleted runs. Return their number.

    Events of no run stay, since any project may have stored them. The newest event of the log stays too: SQLite would use
    its id again, and sensors, which remember the last id that they read, would miss the events up to it.

    The file keeps its size: later events use the space. A log that is not in SQLite is left as it is.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return 0
    newest = storage.get_maximum_record_id()
    removed, is_expired = 0, {NO_RUN: False}
    end = before.astimezone(UTC).replace(tzinfo=None)
    for batch in _read_batches(storage, end):
        unknown = {row.run_id for row in batch} - is_expired.keys()
        runs = _read_runs(instance, unknown)
        for run_id in unknown:
            run = runs.get(run_id)
            ours = run is None or (run.is_finished and is_run_of_package(run, jobs, assets, location))
            is_expired[run_id] = ours
        ids = [row.id for row in batch if row.timestamp < end and row.id != newest and is_expired[row.run_id]]
        with storage.index_connection() as connection:
            connection.execute(delete(Events).where(Events.c.id.in_(ids)))
        removed += len(ids)
    return removed


def _read_batches(storage: SqliteEventLogStorage, end: datetime) -> Iterator[Sequence[Row[Any, Any, Any]]]:
    """Yield the copies with id, run and time, up to the batch in which the first one is new: ids follow the time."""
    for kind in COPIED_EVENTS:
        last = 0
        while True:
            of_kind = (Events.c.dagster_event_type == kind) & (Events.c.id > last)
            columns = select(Events.c.id, Events.c.run_id, Events.c.timestamp)
            with storage.index_connection() as connection:
                batch = connection.execute(columns.where(of_kind).order_by(Events.c.id).limit(BATCH_SIZE)).all()
            if not batch or batch[0].timestamp >= end:
                break
            yield batch
            last = batch[-1].id


def _read_runs(instance: dg.DagsterInstance, run_ids: Collection[str]) -> dict[str, dg.DagsterRun]:
    if not run_ids:
        return {}
    return {run.run_id: run for run in instance.get_runs(dg.RunsFilter(run_ids=list(run_ids)))}
