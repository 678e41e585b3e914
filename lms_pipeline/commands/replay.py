"""`lms-pipeline replay`: the stored responses of a day, transformed again.

Belongs here: arguments and output. Not here: the replay (`snapshot/run.py`).
"""

from __future__ import annotations

import sys
import uuid
from datetime import date

import click

from lms_pipeline.accounts.listed_days import check_first_day
from lms_pipeline.accounts.names import find_account, load_display_names
from lms_pipeline.commands.common import load_settings, parse_day, print_outcomes, print_warehouse
from lms_pipeline.commands.terminal import echo
from lms_pipeline.errors import format_count
from lms_pipeline.lake.paths import DataDir, Partition


@click.command()
@click.option("--account", "account_id", required=True, metavar="ID", help="The account.")
@click.option("--date", "day", type=parse_day, required=True, metavar="YYYY-MM-DD", help="The day.")
def replay(account_id: str, day: date) -> None:
    """Transform the stored responses of a day again, without a call, and recompute its metrics.

    For a day that a bug of the pipeline published wrong. Responses are stored for 30 days, or for the account's
    `answer_days`.
    """
    from lms_pipeline.definitions import build_defs
    from lms_pipeline.defs.instance import open_instance, rebuild_warehouse, run_partitions
    from lms_pipeline.snapshot.job import SnapshotJob
    from lms_pipeline.snapshot.run import replay_snapshot
    from lms_pipeline.tables.catalog import METRIC_TABLES

    settings = load_settings()
    data = DataDir.open(settings)
    check_first_day(settings, day)
    account = find_account(settings, account_id)
    job = SnapshotJob.load(settings, Partition(account.id, day), f"replay-{uuid.uuid4()}")
    result = replay_snapshot(job, data=data)
    rows = next((file.rows for file in result.published if file.table.name == "unified_enrollments"), 0)
    names = load_display_names(settings)
    echo(f"{names[account.id]} on {day}: {format_count(rows, 'enrollment')} replayed in {result.seconds:.1f} s")
    with open_instance(settings) as instance:
        defs = build_defs(settings, day)
        metrics = [table.name for table in METRIC_TABLES]
        failed = print_outcomes(run_partitions(defs, instance, [Partition(account.id, day)], metrics, names), 1)
        failed += print_warehouse(rebuild_warehouse(defs, instance), data)
    if failed:
        sys.exit(1)
