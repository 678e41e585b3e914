"""How long the web UI takes for the partitions of an asset: `python -m benchmarks.partition_page`, with `--postgres URL`.

Belongs here: the query of the page *Partitions* over a fleet whose days are materialized in Dagster's log. Nothing is run.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
import dagster as dg

# no public name: the table of events, which takes many rows at once
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import select, text

from benchmarks.figures import Figure, print_figures
from benchmarks.ratios import Limit
from benchmarks.services import Services, start_services
from benchmarks.ticks import DAY, NOW, build_settings, register_accounts
from lms_pipeline.defs.instance import open_instance
from lms_pipeline.defs.partitions import add_accounts, build_partition_key
from lms_pipeline.lake.paths import Partition
from lms_pipeline.settings import Settings

ASSET = "unified_enrollments"
LIMIT = Limit(5.0)
"""Seconds."""
PAGES = 5
"""Requests for the page. The first one reads all events, and Dagster caches what they say."""
EVENTS_AT_ONCE = 10_000
QUERY = """
query PartitionHealthQuery($assetKey: AssetKeyInput!) { assetNodeOrError(assetKey: $assetKey) { ... on AssetNode {
  id partitionKeysByDimension { name type partitionKeys }
  assetPartitionStatuses { ... on MultiPartitionStatuses { primaryDimensionName ranges {
    primaryDimStartKey primaryDimEndKey primaryDimStartTime primaryDimEndTime
    secondaryDim {
      ... on TimePartitionStatuses { ranges { status startTime endTime startKey endKey } }
      ... on DefaultPartitionStatuses { materializedPartitions materializingPartitions failedPartitions } } } } }
} } }
"""
"""As the web UI of Dagster 1.13 sends it."""


@click.command()
@click.option("--accounts", default=10_000, show_default=True)
@click.option("--days", default=14, show_default=True)
@click.option("--postgres", metavar="URL", help="An empty database for Dagster's log and the state.")
def main(accounts: int, days: int, postgres: str | None) -> None:
    """Measure the page of a fleet. Exits with 1 if it takes longer than its limit."""
    figures = list(measure_pages(accounts, days, postgres))
    print_figures("partition_page", figures, accounts=accounts, days=days, cores=os.cpu_count())
    slow = [figure.name for figure in figures if figure.limit and not figure.limit.is_met_by(figure.value)]
    if slow:
        raise SystemExit(f"These pages take too long: {', '.join(slow)}.")


def measure_pages(accounts: int, days: int, postgres: str | None = None) -> Iterator[Figure]:
    """Yield the seconds of each request for the page. Only the later ones have a limit."""
    with tempfile.TemporaryDirectory(prefix="partitions-") as folder:
        settings = build_settings(Path(folder), days, postgres)
        with open_instance(settings) as instance:
            add_accounts(instance, register_accounts(settings, accounts))
            add_materializations(instance, accounts, days)
        with start_services(_build_environment(settings, postgres), Path(folder)) as services:
            for number in range(PAGES):
                started = time.perf_counter()
                _check_page(services, accounts, days)
                seconds = time.perf_counter() - started
                yield Figure(f"page, request {number + 1}", seconds, "s", LIMIT if number else None)


def add_materializations(instance: dg.DagsterInstance, accounts: int, days: int) -> None:
    """Add a materialization of every day of all accounts but one, as copies of one event. Dagster's own way commits each.

    Another account lacks each day: days with the same accounts are one range of the page.
    """
    first = DAY - timedelta(days=days - 1)
    keys = [
        build_partition_key(Partition(f"account-{account:05}", first + timedelta(days=day)))
        for day in range(days)
        for account in range(accounts)
        if account != day
    ]
    instance.report_runless_asset_event(dg.AssetMaterialization(ASSET, partition=keys[0]))
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise TypeError(f"{type(storage).__name__} is not in SQL.")
    with storage.index_connection() as connection:
        (stored,) = connection.execute(select(SqlEventLogStorageTable)).mappings()
        template = {name: value for name, value in stored.items() if name != "id"}
        for start in range(1, len(keys), EVENTS_AT_ONCE):
            rows = [
                {**template, "partition": key, "event": template["event"].replace(keys[0], key)}
                for key in keys[start : start + EVENTS_AT_ONCE]
            ]
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        connection.execute(text("ANALYZE"))  # as the database does by itself some minutes later


def _check_page(services: Services, accounts: int, days: int) -> None:
    """Request the page, and check that it shows every day of all accounts but one as materialized."""
    node = services.query(QUERY, assetKey={"path": [ASSET]})["assetNodeOrError"]
    keys = {dimension["name"]: len(dimension["partitionKeys"]) for dimension in node["partitionKeysByDimension"]}
    if keys != {"account": accounts, "date": days}:
        raise RuntimeError(f"The page has other partitions: {keys}.")
    ranges = node["assetPartitionStatuses"]["ranges"]
    shown = sum(_count_days(one) * len(one["secondaryDim"]["materializedPartitions"]) for one in ranges)
    if shown != (accounts - 1) * days:
        raise RuntimeError(f"The page shows {shown} materialized partitions instead of {(accounts - 1) * days}.")


def _count_days(days: Mapping[str, Any]) -> int:
    first, last = (date.fromisoformat(days[name]) for name in ("primaryDimStartKey", "primaryDimEndKey"))
    return (last - first).days + 1


def _build_environment(settings: Settings, postgres: str | None) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    first_day = {} if settings.start_date is None else {"LMS_START_DATE": settings.start_date.isoformat()}
    state = {} if postgres is None else {"LMS_STATE_URL": postgres}
    return inherited | first_day | state | {"LMS_DATA_DIR": str(settings.data_dir), "LMS_NOW": NOW.isoformat()}


if __name__ == "__main__":
    main()
