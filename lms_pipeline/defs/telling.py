"""Telling Dagster of what is in the lake while its UI is open.

What belongs here: doing it beside, and what the user is told of it. What is told is `catalogue.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import takewhile
from threading import Event

import click
import dagster as dg

from lms_pipeline.defs.event_log_sync import AT_ONCE, tell, untold
from lms_pipeline.lake.paths import DataDir


@contextmanager
def telling(instance: dg.DagsterInstance, data: DataDir) -> Iterator[None]:
    """Tell Dagster meanwhile of what is in the lake and not in its log: 2 ms a file, so that nobody waits for it.

    What is left when the user has enough is told the next time, or by the job `housekeeping`.
    """
    stopped = Event()
    with ThreadPoolExecutor(1) as beside:
        working = beside.submit(tell_what_lacks, instance, data, stopped)
        try:
            yield
        finally:
            stopped.set()
    working.result()


def tell_what_lacks(instance: dg.DagsterInstance, data: DataDir, stopped: Event) -> None:
    """Tell Dagster of it until it is `stopped`, and the user that it is done."""
    lacking = untold(instance, data)
    if len(lacking) > AT_ONCE:
        click.echo(
            f"Dagster's log lacks {len(lacking):,} published files: the UI shows them as it is told of them."
        )
    told = tell(instance, data, takewhile(lambda _: not stopped.is_set(), lacking))
    if told:
        click.echo(f"Dagster was told of {told:,} published files that its log lacked.")
        if not instance.get_runs(limit=1):
            click.echo("Its log is new: turn on again whichever schedules and sensors you had turned on.")
