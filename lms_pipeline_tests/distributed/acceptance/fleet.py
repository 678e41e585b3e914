"""Forty small accounts, the runs that the schedule requests for them, and what they leave in the lake.

Belongs here: what a test does in place of Dagster's daemon, and reading the lake afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import QUIET_CONFIG
from lms_pipeline.defs.partitions import add_accounts
from lms_pipeline.defs.ranges import build_range_tags
from lms_pipeline.defs.run_requests import DAILY_SNAPSHOT
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox import RunningSandbox, records_world, running
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline_tests.defs.conftest import DAY, enrollment
from lms_pipeline_tests.defs.test_automation import tick
from lms_pipeline_tests.support.launched_runs import create_requested_run, pop_requests

ACCOUNTS = [f"a{number:02}" for number in range(1, 41)]
TABLES = (*PULLED_TABLES, *METRIC_TABLES)


def count_enrollments(account_id: str) -> int:
    """Return how many enrollments an account has: 1 to 4."""
    return 1 + int(account_id[1:]) % 4


@contextmanager
def serve_fleet(folder: Path, account_ids: Sequence[str] = ACCOUNTS) -> Iterator[RunningSandbox]:
    """Serve the accounts; the first enrollment of each is completed."""
    done = {"status": "completed", "completed_at": "2026-03-05T08:00:00Z"}
    lines = [
        enrollment(account_id, number, **(done if number == 0 else {}))
        for account_id in account_ids
        for number in range(count_enrollments(account_id))
    ]
    records = folder / "records.ndjson"
    records.write_text("\n".join(lines), encoding="utf-8")
    with running(records_world([records])) as server:
        yield server


def request_runs(instance: dg.DagsterInstance, settings: Settings) -> list[dg.DagsterRun]:
    """Evaluate the schedule, and create the runs that it requests, as the daemon does."""
    repository = build_defs(settings).get_repository_def()
    requests = tick(repository, instance).run_requests
    assert requests is not None
    return [create_requested_run(instance, settings, request.tags) for request in requests]


def read_digests(settings: Settings, account_ids: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return the digest of each table of each account; nothing for a table that is not published."""
    data = DataDir.open(settings)
    paths = {
        (account_id, table.name): data.file(table, Partition(account_id, DAY))
        for account_id in account_ids
        for table in TABLES
    }
    data.store.fetch([data.get_key(path) for path in paths.values()])
    return {name: read_metadata(path)["digest"] for name, path in paths.items() if path.exists()}


def pull_embedded(settings: Settings, folder: Path, account_ids: Sequence[str]) -> dict[tuple[str, str], str]:
    """Pull the same day into a folder of this machine, with one run and no service; return the digests."""
    embedded = settings.model_copy(update={"data_dir": folder, "lake_url": None, "state_url": None})
    registry = Registry.open(embedded)
    for account_id in account_ids:
        registry.add(account_id, name=None, first_day=DAY)
    job = build_defs(embedded).resolve_job_def(DAILY_SNAPSHOT)
    with dg.DagsterInstance.ephemeral() as instance:
        add_accounts(instance, account_ids)
        tags = build_range_tags(*(Partition(account_id, DAY) for account_id in (account_ids[0], account_ids[-1])))
        run = instance.create_run_for_job(job, tags=tags, run_config=QUIET_CONFIG)
        execute_run(InMemoryJob(job), run, instance)
    return read_digests(embedded, account_ids)


def find_repeated(sandbox: RunningSandbox) -> list[str]:
    """Return the requests since the previous call that were sent more than once."""
    return [request for request, times in Counter(pop_requests(sandbox)).items() if times > 1]
