"""Dagster's catalogue told anew from the lake, which is the truth: where Dagster's log was lost, it shows again what there is.

What belongs here: finding what is published and not known as materialized, and telling it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from threading import Event

import click
import dagster as dg
from dagster._core.events import StepMaterializationData
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.defs.metadata import account_figures, file_metadata, provenance, published_metadata
from lms_pipeline.defs.partitions import add_accounts, partition_key
from lms_pipeline.lake.disk import LakeError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline.tables.schema import Table

AT_ONCE = 500
"""Events that are stored together."""
WHY = "Told from the lake: Dagster's log did not know of it."

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MissingEvent:
    """A published file of which Dagster's log doesn't know."""

    table: Table
    partition: Partition

    @property
    def key(self) -> str:
        """Its partition in Dagster."""
        return partition_key(self.partition.account_id, self.partition.day)


def find_missing_events(instance: dg.DagsterInstance, data: DataDir) -> list[MissingEvent]:
    """What is published and not known, the oldest day first: Dagster takes what it is told last for the latest."""
    found: list[MissingEvent] = []
    for table in TABLES.values():
        known = instance.get_materialized_partitions(dg.AssetKey(table.name))
        published = (MissingEvent(table, partition) for partition in data.partitions(table))
        found += (one for one in published if one.key not in known)
    return sorted(found, key=lambda one: one.partition.day)


def tell(instance: dg.DagsterInstance, data: DataDir, published: Iterable[MissingEvent]) -> int:
    """Tell Dagster of all accounts, and of what is published and may be read; returns how many materializations.

    They belong to no run, and each is of the time at which its file was published. Pictures are not drawn again.
    """
    names = {account.id: account.name for account in Registry(data.registry).read_accounts()}
    add_accounts(instance, dict.fromkeys([*names, *data.account_ids()]))
    events, told = _events(instance, data, names, published), 0
    while some := list(islice(events, AT_ONCE)):
        _store(instance, some)
        told += len(some)
    return told


def _events(
    instance: dg.DagsterInstance, data: DataDir, names: Mapping[str, str], published: Iterable[MissingEvent]
) -> Iterator[dg.EventLogEntry]:
    for one in published:
        try:
            found = _materialization(data, names, one)
        except LakeError as error:  # a damaged file keeps no other from being told
            log.warning("%s", error)
            continue
        if found is not None:
            yield _entry(found, data.file(one.table, one.partition))
    warehouse = dg.AssetKey("warehouse")
    if data.warehouse.exists() and instance.get_latest_materialization_event(warehouse) is None:
        metadata = file_metadata(data.warehouse)
        yield _entry(dg.AssetMaterialization(warehouse, description=WHY, metadata=metadata), data.warehouse)


def _materialization(
    data: DataDir, names: Mapping[str, str], one: MissingEvent
) -> dg.AssetMaterialization | None:
    """What the file tells of itself; None where its pull did not come to its end."""
    from lms_pipeline.lake.files import read_footer
    from lms_pipeline.lake.publishing import Published
    from lms_pipeline.lake.reading import is_committed

    path = data.file(one.table, one.partition)
    footer = read_footer(path)
    if not is_committed(data, one.table, one.partition, footer.metadata):
        return None
    published = Published(one.table, one.partition, path, footer.rows)
    figures = account_figures(published) if one.table == ACCOUNT_COMPLETION else provenance(path)
    if one.table in PULLED_TABLES and "requests" in footer.metadata:
        figures["requests"] = int(footer.metadata["requests"])
    account_id = one.partition.account_id
    return dg.AssetMaterialization(
        one.table.name,
        description=WHY,
        partition=one.key,
        metadata=published_metadata(published, names.get(account_id, account_id), figures),
    )


def _entry(materialization: dg.AssetMaterialization, file: Path) -> dg.EventLogEntry:
    """As `report_runless_asset_event` makes it, but for its time, which that takes from the clock."""
    event = dg.DagsterEvent(
        event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name=RUNLESS_JOB_NAME,
        event_specific_data=StepMaterializationData(materialization),
    )
    return dg.EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        level=logging.INFO,
        user_message="",
        run_id=RUNLESS_RUN_ID,
        timestamp=file.stat().st_mtime,
        job_name=RUNLESS_JOB_NAME,
        dagster_event=event,
    )


def _store(instance: dg.DagsterInstance, entries: list[dg.EventLogEntry]) -> None:
    """Together, where Dagster's SQLite stores one by one, each in two files: 1 ms an event instead of 10."""
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        storage.store_event_batch(entries)
        return
    with storage.index_connection() as connection:
        statement = storage.prepare_insert_event_batch(entries)
        ids = sorted(number for (number,) in connection.execute(statement.returning(statement.table.c.id)))
    storage.store_asset_event_tags(entries, ids)
    numbered = zip(entries, ids, strict=True)
    latest = {entry.get_dagster_event().asset_key: (entry, number) for entry, number in numbered}
    for entry, number in latest.values():
        storage.store_asset_event(entry, number)


@contextmanager
def sync_in_background(instance: dg.DagsterInstance, data: DataDir) -> Iterator[None]:
    """Tell Dagster meanwhile of what is in the lake and not in its log: 2 ms a file, so that nobody waits for it.

    What is left when the user has enough is told the next time, or by the job `housekeeping`.
    """
    stopped = Event()
    with ThreadPoolExecutor(1) as beside:
        working = beside.submit(sync_missing_events, instance, data, stopped)
        try:
            yield
        finally:
            stopped.set()
    working.result()


def sync_missing_events(instance: dg.DagsterInstance, data: DataDir, stopped: Event) -> None:
    """Tell Dagster of it until it is `stopped`, and the user that it is done."""
    lacking = find_missing_events(instance, data)
    if len(lacking) > AT_ONCE:
        click.echo(
            f"Dagster's log lacks {len(lacking):,} published files: the UI shows them as it is told of them."
        )
    told = tell(instance, data, takewhile(lambda _: not stopped.is_set(), lacking))
    if told:
        click.echo(f"Dagster was told of {told:,} published files that its log lacked.")
        if not instance.get_runs(limit=1):
            click.echo("Its log is new: turn on again whichever schedules and sensors you had turned on.")
