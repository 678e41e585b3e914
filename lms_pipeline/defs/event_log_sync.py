"""Reports published files to Dagster's event log where it lacks them, so that the UI shows them: the lake is the truth.

Belongs here: finding these files and storing an event for each. Not here: how they are described (`metadata.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import chain, islice, takewhile
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import dagster as dg
import msgspec

# no public name: the data of a materialization event; `report_runless_asset_event` builds it, but with the clock's time
from dagster._core.events import StepMaterializationData

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.defs.metadata import build_file_metadata, build_provenance, build_published_metadata
from lms_pipeline.defs.partitions import add_accounts, build_partition_key
from lms_pipeline.defs.shown_metadata import build_shown_metadata
from lms_pipeline.errors import LakeError, LmsPipelineError, format_count
from lms_pipeline.lake.index import IndexState, PublicationIndex, PublishedDay, parse_mark
from lms_pipeline.lake.paths import AnyPartition, DataDir, DayPartition, Partition, parse_any_folder
from lms_pipeline.lake.scan import map_parallel
from lms_pipeline.storage.store import StoredFile
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.pulled import PULLED_TABLES, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Table

if TYPE_CHECKING:
    from lms_pipeline.lake.publishing import Published

BATCH_SIZE = 100
"""Events that are stored together, and at most stored after the sync was stopped."""
DESCRIPTION = "Reported from the lake: Dagster's event log did not have it."
EVENTS = "events"
"""Begins the name of the mark in the index, before the id of Dagster's storage."""
MAX_LEFT = 10_000
"""Missing events up to which the comparison is remembered. More are those of a lost event log."""
NO_RUN = ""
"""Run id and job name of an event that belongs to no run, as in Dagster's own."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MissingEvent:
    """A published file without a materialization in Dagster's event log."""

    table: Table
    partition: AnyPartition

    @property
    def partition_key(self) -> str:
        """Its partition key in Dagster."""
        if isinstance(self.partition, Partition):
            return build_partition_key(self.partition)
        return self.partition.day.isoformat()


class _Mark(msgspec.Struct, frozen=True):
    """What the event log was compared with: later changes of the index alone can lack an event."""

    epoch: str
    revision: int
    cursor: int
    """The latest event of the log."""
    first: date
    """The first day that was compared."""
    left: list[tuple[str, str]]
    """The table and folder of each file whose event was missing: it may be reported, or it can't be."""


def find_missing_events(instance: dg.DagsterInstance, data: DataDir, first: date = date.min) -> list[MissingEvent]:
    """Find the published files that the event log lacks, oldest day first: Dagster shows what is stored last as latest.

    Files are compared with events that came after the last comparison. If the event log or the index is a new one, or
    Dagster lists earlier days than then, all are. Days before `first`, the first that Dagster lists, are left out.

    Raises:
        LakeError: the index can't be read.
    """
    from lms_pipeline.lake.index_sync import read_index

    name, cursor = f"{EVENTS} {_identify_log(instance)}", _read_cursor(instance)

    def find(index: PublicationIndex) -> tuple[IndexState, list[MissingEvent]]:
        state, mark = index.read_state(), parse_mark(index.read_marks(name).get(name), _Mark)
        if mark is None or mark.epoch != state.epoch or mark.first > first or not 0 < mark.cursor <= cursor:
            found = (_leave_out_known(instance, _list_all(index, table, first)) for table in TABLES)
            return state, list(chain.from_iterable(found))
        left = [
            MissingEvent(TABLES[table], partition)
            for table, folder in mark.left
            if table in TABLES and (partition := parse_any_folder(Path(folder))) is not None
        ]
        files = _list_files(index.find(since=mark.revision))
        changed = dict.fromkeys(event for event in (*left, *files) if event.partition.day >= first)
        return state, _leave_out_known(instance, _leave_out_known(instance, changed, mark.cursor))

    state, missing = read_index(data, find)
    if len(missing) <= MAX_LEFT:
        left = [(event.table.name, event.partition.folder.as_posix()) for event in missing]
        new = msgspec.json.encode(_Mark(state.epoch, state.revision, cursor, first, left)).decode()
        read_index(data, lambda index: index.write_marks({name: new}), is_compared=False)
    return sorted(missing, key=lambda event: event.partition.day)


def _list_files(days: Iterable[PublishedDay]) -> list[MissingEvent]:
    return [MissingEvent(table, day.partition) for day in days for name, table in TABLES.items() if day.has_file(name)]


def _list_all(index: PublicationIndex, table: str, first: date) -> Iterator[MissingEvent]:
    """Yield all files of a table from a day on."""
    for account_id, days in index.find_account_days(table).items():
        for day in (one for one in days if one >= first):
            yield MissingEvent(TABLES[table], Partition(account_id, day) if account_id else DayPartition(day))


def _leave_out_known(
    instance: dg.DagsterInstance, published: Iterable[MissingEvent], after: int | None = None
) -> list[MissingEvent]:
    """Return the files without an event after another one, or without any."""
    known: dict[str, set[str]] = {}
    missing: list[MissingEvent] = []
    for event in published:
        table = event.table.name
        if table not in known:
            known[table] = instance.get_materialized_partitions(dg.AssetKey(table), after_cursor=after)
        if event.partition_key not in known[table]:
            missing.append(event)
    return missing


def _identify_log(instance: dg.DagsterInstance) -> str:
    """Return the id that Dagster gives its storage when it is made; empty if the storage has none."""
    identify = getattr(instance.run_storage, "get_run_storage_id", None)  # of storages in SQL databases
    return str(identify()) if identify is not None else ""


def _read_cursor(instance: dg.DagsterInstance) -> int:
    """Return the id of the latest event; 0 if there is none, or the storage does not tell: then all files are compared."""
    try:
        return instance.event_log_storage.get_maximum_record_id() or 0
    except NotImplementedError:
        return 0


def report_events(
    instance: dg.DagsterInstance, data: DataDir, missing: Iterable[MissingEvent], *, min_cohort: int
) -> int:
    """Add all accounts as partitions, store a materialization for each readable file, and return how many.

    Groups under `min_cohort` learners are withheld.

    The events belong to no run and have the time at which their file was published. Dagster's SQLite stores them one by
    one, each in two files: 9.4 s of CPU for 1,000 events, 46 s on a machine whose two cores were busy. One insert for a
    batch, by its private API, took 1.1 s of CPU and 2.3 s; restoring a lost log is too rare to depend on that.
    """
    names = {account.id: account.name for account in Registry(data).read_accounts()}
    add_accounts(instance, dict.fromkeys([*names, *data.list_account_ids()]))
    left, reported = iter(missing), 0

    def build(event: MissingEvent) -> dg.EventLogEntry | None:
        try:
            return _build_event(data, names, event, min_cohort)
        except LakeError as error:  # a damaged file does not keep the others from being reported
            log.warning("%s", error)
            return None

    while batch := list(islice(left, BATCH_SIZE)):
        reported += _store(instance, [event for event in map_parallel(data, build, batch) if event is not None])
    return reported + _store(instance, list(_build_warehouse_event(instance, data)))


def _store(instance: dg.DagsterInstance, events: Sequence[dg.EventLogEntry]) -> int:
    if events:
        instance.event_log_storage.store_event_batch(events)
    return len(events)


def _build_warehouse_event(instance: dg.DagsterInstance, data: DataDir) -> Iterator[dg.EventLogEntry]:
    """Yield the event of the warehouse if the log has none."""
    warehouse, file = dg.AssetKey("warehouse"), data.store.find(data.get_key(data.warehouse))
    if file is not None and instance.get_latest_materialization_event(warehouse) is None:
        metadata = build_file_metadata(data, data.warehouse, file.size)
        yield _build_entry(dg.AssetMaterialization(warehouse, description=DESCRIPTION, metadata=metadata), file)


def _build_event(
    data: DataDir, names: Mapping[str, str], event: MissingEvent, min_cohort: int
) -> dg.EventLogEntry | None:
    """Build an event from the footer of a file, which is fetched only if its figures are among its rows.

    None if the file is gone, or the pull that wrote it did not finish.
    """
    from lms_pipeline.lake.files import select_metadata
    from lms_pipeline.lake.publishing import Published
    from lms_pipeline.lake.reading import is_committed
    from lms_pipeline.lake.stored_footers import read_footer_of

    path = data.file(event.table, event.partition)
    file = data.store.find(data.get_key(path))
    if file is None:
        return None
    footer = read_footer_of(data.store, file)
    file_metadata = select_metadata(footer)
    if not is_committed(
        data, event.table, event.partition, file_metadata, lambda: _read_stored_mark(data, event.partition)
    ):
        return None
    published = Published(event.table, event.partition, path, footer.num_rows)
    metadata = _build_figures(data, published, file_metadata, min_cohort)
    if event.table in PULLED_TABLES and "requests" in file_metadata:
        metadata["requests"] = int(file_metadata["requests"])
    account_id = event.partition.account_id if isinstance(event.partition, Partition) else None
    name = names.get(account_id or "", account_id)
    materialization = dg.AssetMaterialization(
        event.table.name,
        description=DESCRIPTION,
        partition=event.partition_key,
        metadata=build_published_metadata(data, published, name, metadata, min_cohort, file.size),
    )
    return _build_entry(materialization, file)


def _read_stored_mark(data: DataDir, partition: AnyPartition) -> str | None:
    """Return the commit mark of a partition without fetching its file."""
    from lms_pipeline.lake.stored_footers import read_stored_metadata

    metadata = read_stored_metadata(data.store, data.get_key(data.file(UNIFIED_ENROLLMENTS, partition)))
    return (metadata or {}).get("run_id")


def _build_figures(data: DataDir, published: Published, metadata: Mapping[str, str], min_cohort: int) -> dict[str, Any]:
    if published.table not in {ACCOUNT_COMPLETION, PORTFOLIO_COMPLETION}:
        return build_provenance(metadata)
    data.fetch([published.table], [published.partition])
    return build_shown_metadata(data, published, min_cohort)


def _build_entry(materialization: dg.AssetMaterialization, file: StoredFile) -> dg.EventLogEntry:
    """Build the same entry as `report_runless_asset_event`, with the file's time of publication."""
    event = dg.DagsterEvent(
        event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name=NO_RUN,
        event_specific_data=StepMaterializationData(materialization),
    )
    return dg.EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        level=logging.INFO,
        user_message="",
        run_id=NO_RUN,
        timestamp=file.changed_ns / 1e9,
        job_name=NO_RUN,
        dagster_event=event,
    )


@contextmanager
def sync_in_background(
    instance: dg.DagsterInstance, data: DataDir, show: Callable[[str], None], *, min_cohort: int, first: date = date.min
) -> Iterator[None]:
    """Report missing events in a thread while the block runs, so that the user does not wait for it.

    `show` receives each line about it for the user, in that thread: also the sentence of an error, which ends it.
    What is left at the end of the block is reported the next time, or by the job `housekeeping`.
    """
    stopped = Event()
    with ThreadPoolExecutor(1) as executor:
        sync = executor.submit(sync_missing_events, instance, data, stopped, show, min_cohort=min_cohort, first=first)
        sync.add_done_callback(partial(_show_error, show))
        try:
            yield
        finally:
            stopped.set()
    if not isinstance(sync.exception(), LmsPipelineError):
        sync.result()


def _show_error(show: Callable[[str], None], sync: Future[None]) -> None:
    """Show at once why published files are not reported: the user sees the UI without them."""
    if isinstance(error := sync.exception(), LmsPipelineError):
        show(f"Published files that Dagster's event log lacks are not reported: {error}")


def sync_missing_events(
    instance: dg.DagsterInstance,
    data: DataDir,
    stopped: Event,
    show: Callable[[str], None],
    *,
    min_cohort: int,
    first: date = date.min,
) -> None:
    """Report missing events from a day on until `stopped` is set, and show how many were reported."""
    missing = find_missing_events(instance, data, first)
    if len(missing) > BATCH_SIZE:
        show(f"Dagster's event log lacks {len(missing):,} published files: they appear in the UI as they are reported.")
    reported = report_events(instance, data, takewhile(lambda _: not stopped.is_set(), missing), min_cohort=min_cohort)
    if reported:
        show(f"Reported {format_count(reported, 'published file')} that Dagster's event log lacked.")
        if not instance.get_runs(limit=1):
            show("The event log is new: turn your schedules and sensors on again.")
