"""Retention of the part of Dagster's event log that all runs share: a file in SQLite, the whole log in PostgreSQL.

Belongs here: finding and removing the rows that nothing reads any more. Not here: the files of single runs (`run_logs.py`).
"""

# Dagster stores the events of checks twice: as events, and in the table of check executions, which its pages read. In SQLite
# it also copies each change of a run's status into the shared file, for sensors, which read new ones only; in PostgreSQL all
# events of a run are there. Materializations and observations stay, since asset pages read them. So do planned
# materializations, by which Dagster finds the partitions whose latest run failed: it looks at the latest one of a partition
# only, so in PostgreSQL those go that another one, or a materialization, follows.

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import dagster as dg

# no public names: the tables of the event log, and the events that it stores twice, or of assets
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Checks
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from sqlalchemy import Column, ColumnElement, Row, and_, delete, exists, func, or_, select, true

from lms_pipeline.defs.event_log_sync import NO_RUN
from lms_pipeline.defs.run_logs import DEFAULT_LOCATION, is_run_of_package

BATCH_SIZE = 5_000
"""Rows that are read and removed together."""
MIN_CHECK_AGE = timedelta(days=90)
"""Age up to which results of checks stay, however short the retention of logs is."""
COPIED_EVENTS = tuple(sorted(kind.value for kind in {*ASSET_CHECK_EVENTS, *EVENT_TYPE_TO_PIPELINE_RUN_STATUS}))
RUN_EVENTS = tuple(sorted(kind.value for kind in set(dg.DagsterEventType) - ASSET_EVENTS))
PLANNED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value
MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION.value


class _Rows(NamedTuple):
    """Rows of one kind."""

    timestamp: Column[Any]
    selected: ColumnElement[bool]
    """Selects them by an index that has them in the order of their ids."""
    removable: ColumnElement[bool] = true()
    """Selects among them those that nothing reads."""

    @property
    def columns(self) -> Any:  # noqa: ANN401 - a collection of SQLAlchemy without a public type
        """The columns of their table."""
        return self.timestamp.table.c


def remove_index_events(
    instance: dg.DagsterInstance,
    before: datetime,
    *,
    jobs: AbstractSet[str],
    assets: AbstractSet[str],
    location: str = DEFAULT_LOCATION,
    is_dry_run: bool = False,
) -> int:
    """Remove what nothing reads from before an instant, of finished runs of this package and of deleted runs.

    Return the number of rows. With `is_dry_run`, count them only.

    Events of no run stay, since any project may have stored them. The newest event of the log stays too: SQLite would use
    its id again, and sensors, which remember the last id that they read, would miss the events up to it.

    The database keeps its size: later events use the space. Only logs in SQLite and PostgreSQL are changed.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    runs = _Runs(instance, jobs, assets, location)
    newest = storage.get_maximum_record_id()
    count = 0
    for rows in _list_kinds(storage):
        oldest_kept = min(before, datetime.now(UTC) - MIN_CHECK_AGE) if rows.columns is Checks.c else before
        for batch in _read_batches(storage, rows, oldest_kept.astimezone(UTC).replace(tzinfo=None)):
            expired = runs.find_expired({row.run_id for row in batch})
            ids = [row.id for row in batch if row.run_id in expired and row.id != newest]
            if not ids:
                continue
            chosen = and_(rows.columns.id.in_(ids), rows.removable)
            with storage.index_connection() as connection:
                if is_dry_run:
                    count += connection.execute(select(func.count()).where(chosen)).scalar_one()
                else:
                    count += connection.execute(delete(rows.timestamp.table).where(chosen)).rowcount
    return count


class _Runs:
    """Finds the runs whose rows can be removed."""

    def __init__(
        self, instance: dg.DagsterInstance, jobs: AbstractSet[str], assets: AbstractSet[str], location: str
    ) -> None:
        self._instance = instance
        self._ours = (jobs, assets, location)
        self._is_expired = {NO_RUN: False}

    def find_expired(self, run_ids: Collection[str]) -> set[str]:
        """Return those of these runs that have ended and are of this package, or were deleted."""
        unknown = [run_id for run_id in run_ids if run_id not in self._is_expired]
        if unknown:
            found = {run.run_id: run for run in self._instance.get_runs(dg.RunsFilter(run_ids=unknown))}
            for run_id in unknown:
                run = found.get(run_id)
                self._is_expired[run_id] = run is None or (run.is_finished and is_run_of_package(run, *self._ours))
        return {run_id for run_id in run_ids if self._is_expired[run_id]}


def _list_kinds(storage: SqlEventLogStorage) -> Iterator[_Rows]:
    """Yield the kinds of rows that are removed from a log."""
    if isinstance(storage, SqliteEventLogStorage):
        yield from (_Rows(Events.c.timestamp, Events.c.dagster_event_type == kind) for kind in COPIED_EVENTS)
        return
    with storage.index_connection() as connection:
        if connection.dialect.name != "postgresql":
            return
    for kind in (None, *RUN_EVENTS):  # None are messages
        of_kind = Events.c.dagster_event_type == kind  # for None, SQLAlchemy writes IS NULL
        yield _Rows(Events.c.timestamp, and_(of_kind, Events.c.asset_key.is_(None)))
    yield _Rows(Events.c.timestamp, Events.c.dagster_event_type == PLANNED, _is_followed())
    later = Checks.alias("later")
    of_same = and_(later.c.asset_key == Checks.c.asset_key, later.c.check_name == Checks.c.check_name)
    yield _Rows(Checks.c.evaluation_event_timestamp, true(), exists().where(of_same, later.c.id > Checks.c.id))


def _is_followed() -> ColumnElement[bool]:
    """Select the planned materializations that Dagster does not look at: another one, or a materialization, follows.

    It looks at the latest one of an asset, and at that of each of its partitions.
    """
    later = Events.alias("later")
    of_asset = and_(later.c.asset_key == Events.c.asset_key, later.c.id > Events.c.id)
    following = and_(of_asset, later.c.dagster_event_type.in_([PLANNED, MATERIALIZED]))
    of_partition = exists().where(following, later.c.partition == Events.c.partition)
    of_none = and_(Events.c.partition.is_(None), exists().where(following, later.c.partition.is_(None)))
    return and_(exists().where(of_asset, later.c.dagster_event_type == PLANNED), or_(of_partition, of_none))


def _read_batches(storage: SqlEventLogStorage, rows: _Rows, end: datetime) -> Iterator[Sequence[Row[Any]]]:
    """Yield rows before an instant with id and run, up to the batch in which the first is new: ids follow the time."""
    columns, last = rows.columns, 0
    query = select(columns.id, columns.run_id, rows.timestamp.label("timestamp")).order_by(columns.id).limit(BATCH_SIZE)
    while True:
        with storage.index_connection() as connection:
            batch = connection.execute(query.where(rows.selected, columns.id > last)).all()
        yield [row for row in batch if row.timestamp is not None and row.timestamp < end]
        if len(batch) < BATCH_SIZE or (batch[0].timestamp or end) > end:
            return
        last = batch[-1].id
