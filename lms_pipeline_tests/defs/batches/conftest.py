"""Fixtures of this folder: many small accounts in a sandbox, and runs of several of them."""

import asyncio
from contextlib import contextmanager

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.execution.api import execute_run
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from pydantic import SecretStr

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.checks.metrics import METRIC_CHECKS
from lms_pipeline.checks.snapshot import PULL_CHECKS
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.partitions import add_accounts
from lms_pipeline.defs.run_locks import run_lock
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.sandbox import records_world, running
from lms_pipeline.snapshot import job as snapshot_job
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.pulled import PULLED_TABLES, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.defs.conftest import DAY, NOW, Left, build_settings, enrollment, open_installation
from lms_pipeline_tests.defs.test_alerts import webhook

__all__ = ["webhook"]

ACCOUNTS = [f"a{number:02}" for number in range(1, 15)]
NAMES = [table.name for table in (*PULLED_TABLES, *METRIC_TABLES)]
START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
FEW = ["unified_enrollments", "account_completion"]
"""A pulled table and one of metrics: what a run selects if the number of its tables is not what a test is about."""
RETRY = {"dagster/retry_number": "1", "dagster/is_resume_retry": "true"}
"""Tags with which Dagster's daemon repeats a failed run."""


class Killed(BaseException):
    """The death of the process."""


@pytest.fixture
def sandbox(tmp_path):
    with serve_accounts(tmp_path) as server:
        yield server


@contextmanager
def serve_accounts(folder):
    """Serve `ACCOUNTS` with 2 enrollments each."""
    records = folder / "records.ndjson"
    lines = [enrollment(account, number) for account in ACCOUNTS for number in (1, 2)]
    records.write_text("\n".join(lines), encoding="utf-8")
    with running(records_world([records])) as server:
        server.set_clock(NOW)
        yield server


@pytest.fixture
def settings(sandbox, tmp_path, monkeypatch, webhook):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    address = SecretStr(webhook.address)
    return build_settings(sandbox, tmp_path, accounts_per_run=25, alert_webhook=address)


@pytest.fixture
def registry(settings):
    return build_registry(settings, ACCOUNTS)


def build_registry(settings, accounts):
    """Return the registry, with these accounts added by hand."""
    registry = Registry.open(settings)
    for account in accounts:
        registry.add(account, name=None, first_day=DAY)
    return registry


@pytest.fixture
def data(settings):
    return DataDir(settings.data_dir)


@pytest.fixture
def repository(settings):
    return build_defs(settings).get_repository_def()


def build_range(first, last, day=DAY):
    return {START: f"{first}|{day}", END: f"{last}|{day}"}


@pytest.fixture
def execute(settings, instance, registry):
    """Executes a run of a range, as the queue does, and returns it as it ended."""
    return build_execute(settings, instance)


def build_execute(settings, instance):
    """Return the function that executes a run of some of `ACCOUNTS`."""
    add_accounts(instance, ACCOUNTS)

    def executed(tags, parent=None, select=None, config=None):
        job = build_defs(settings).resolve_job_def("daily_snapshot")
        selected = {dg.AssetKey(name) for name in select} if select else None
        if selected:
            job = job.get_subset(asset_selection=selected)
        parents = {} if parent is None else {"parent_run_id": parent.run_id, "root_run_id": parent.run_id}
        run = instance.create_run_for_job(job, tags=tags, run_config=config, asset_selection=selected, **parents)
        with run_lock(instance, run.run_id):
            execute_run(InMemoryJob(job), run, instance)
        return instance.get_run_by_id(run.run_id)

    return executed


@pytest.fixture(scope="module")
def leave(tmp_path_factory, make_home):
    """Executes a run in an installation of its own, with these faults of its sandbox, and returns what it left."""

    def left(tags, *faults, select=None):
        folder = tmp_path_factory.mktemp("left")
        opened = open_installation(folder, make_home, ACCOUNTS, serve_accounts, accounts_per_run=25)
        with opened as (sandbox, settings, instance):
            sandbox.fault(*faults)
            return Left(folder, build_execute(settings, instance)(tags, select=select))

    return left


@pytest.fixture
def kill(monkeypatch):
    """Ends the process once, in the pull of an account, before or after it has published."""

    def killed(account, *, after_publishing=False):
        place, name = (snapshot_job, "record_outcome") if after_publishing else (Publication, "publish")
        original = getattr(place, name)

        def die_or_go_on(*args):
            partition = args[1].partition if after_publishing else args[0].partition
            if partition.account_id == account:
                monkeypatch.setattr(place, name, original)
                raise Killed
            return original(*args)

        monkeypatch.setattr(place, name, die_or_go_on)

    return killed


def find_failed(instance, settings, name):
    """Return the accounts that Dagster's UI shows as failed in a table."""
    spec = next(one for one in build_defs(settings).resolve_all_asset_specs() if one.key == dg.AssetKey(name))
    status = get_and_update_asset_status_cache_value(instance, spec.key, spec.partitions_def)
    assert status is not None
    assert spec.partitions_def is not None
    subset = status.deserialize_failed_partition_subsets(spec.partitions_def)
    return sorted(key.partition("|")[0] for key in subset.get_partition_keys())


def find_materialized(instance, name):
    return sorted(key.partition("|")[0] for key in instance.get_materialized_partitions(dg.AssetKey(name)))


def find_messages(instance, run):
    return [entry.user_message for entry in instance.all_logs(run.run_id)]


def find_published(data):
    return sorted(partition.account_id for partition in data.find_partitions(UNIFIED_ENROLLMENTS))


def find_requested(sandbox):
    return sorted(account for account, counts in sandbox.stats()["requests"].items() if counts and account in ACCOUNTS)


def find_sentence(instance, run):
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    [failure] = [entry.dagster_event.step_failure_data for entry in entries]
    return failure.user_failure_data.description


def read_check_states(instance, account):
    """Return the different states of the latest results of an account's checks, as the UI shows them."""
    return tuple(sorted(set(read_state_of_checks(instance, account).values())))


def read_state_of_checks(instance, account):
    """Return the state of each check of an account, as the UI shows it."""
    keys = [dg.AssetCheckKey(dg.AssetKey(check.tables[0].name), check.name) for check in (*PULL_CHECKS, *METRIC_CHECKS)]
    partition = PartitionKeyFilter(key=f"{account}|{DAY}")
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys, partition_filter=partition)
    assert len(records) == len(keys)
    context = LoadingContextForTest(instance)
    return {key.name: asyncio.run(record.resolve_status(context)).value for key, record in records.items()}


def dimensions(account):
    return {"dagster/partition/account": account, "dagster/partition/date": str(DAY)}


def describe(instance, run, account):
    """Return the events of an account, without what differs between any two runs."""
    types = {dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
    found = []
    for entry in instance.all_logs(run.run_id, of_type=types):
        event = entry.dagster_event
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
            one = event.step_materialization_data.materialization
            what, partition, metadata = one.asset_key.to_user_string(), one.partition, one.metadata
        else:
            one = event.asset_check_evaluation_data
            what, partition, metadata = (
                (str(one.asset_check_key), one.passed, one.blocking),
                one.partition,
                one.metadata,
            )
        if partition == f"{account}|{DAY}":
            changing = {"seconds", "pulled_at", "path", "dagster/uri", "query", "account", "bytes_free"}
            figures = {name: value for name, value in metadata.items() if name not in changing}
            found.append((what, figures))
    return found
