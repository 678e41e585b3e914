"""`lms-pipeline replay`: a day's kept answers, flattened again.

What belongs here: arguments, and what is printed. The flattening is `snapshot.py`.
"""

from __future__ import annotations

import sys
import uuid
from datetime import date

import click

from lms_pipeline.accounts.registry import Registry, display_names
from lms_pipeline.commands.common import Day, tell
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings


@click.command()
@click.option("--account", "account_id", required=True, metavar="ID", help="The account.")
@click.option("--date", "day", type=Day(), required=True, help="The day.")
def replay(account_id: str, day: date) -> None:
    """Flatten the answers that were kept of a day again, without a call, and work out its metrics anew.

    For a day whose rows were made wrong by a mistake of ours: its answers stay for 30 days, unless told otherwise.
    """
    from lms_pipeline.definitions import build_defs
    from lms_pipeline.defs.instance import open_instance, rebuild_warehouse, run_partitions
    from lms_pipeline.snapshot.job import SnapshotJob
    from lms_pipeline.snapshot.run import replay_snapshot
    from lms_pipeline.tables.catalog import METRIC_TABLES

    settings = Settings.load()
    data = DataDir(settings.data_dir)
    account = Registry(data.registry).get(account_id)
    job = SnapshotJob.load(settings, Partition(account.id, day), f"replay-{uuid.uuid4()}")
    result = replay_snapshot(job, data=data)
    rows = next((one.rows for one in result.published if one.table.name == "unified_enrollments"), 0)
    names = display_names(settings)
    click.echo(f"{names[account.id]} on {day}: {rows:,} enrollments again in {result.seconds:.1f} s")
    with open_instance(settings) as instance:
        defs = build_defs(settings)
        metrics = [table.name for table in METRIC_TABLES]
        failed = tell(run_partitions(defs, instance, [Partition(account.id, day)], metrics, names), 1)
        failed += tell([rebuild_warehouse(defs, instance)], 1)
    if failed:
        sys.exit(1)
