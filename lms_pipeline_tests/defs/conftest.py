"""Fixtures of this folder: two small accounts in a sandbox, settings for it, and Dagster's home in `tmp_path`."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import open_instance, rebuild_warehouse, run_partitions
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox import RunningSandbox, records_world, running
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline_tests.support.cheaper_dagster import cheaper_dagster
from lms_pipeline_tests.support.remembered_metrics import remembered_metrics
from lms_pipeline_tests.support.warehouse_builds import warehouse_without_comments

__all__ = ["cheaper_dagster", "remembered_metrics", "warehouse_without_comments"]

DAY = date(2026, 3, 10)
NOW = datetime(2026, 3, 11, 2, tzinfo=UTC)


def enrollment(account, number, role="learner", **fields):
    """Build one line of sandbox records."""
    record = {
        "id": f"e{number}",
        "user": {
            "id": f"u{number}",
            "name": f"Learner {number}",
            "emails": [{"email": f"learner{number}@example.org", "is_primary": True}],
        },
        "course": {"id": "c1", "title": "First aid"},
        "status": "enrolled",
        "enrolled_at": "2026-03-01T08:00:00Z",
        **fields,
    }
    version = {"account": account, "valid_from": "2026-03-01T08:00:00Z", "enrollment": record, "raw": {"role": role}}
    return json.dumps(version)


@contextmanager
def serve_accounts(folder: Path) -> Iterator[RunningSandbox]:
    """Serve account `north` with 3 enrollments, one completed, and account `south` with 1."""
    records = folder / "records.ndjson"
    done = {"status": "completed", "completed_at": "2026-03-05T08:00:00Z"}
    lines = [enrollment("north", 1, **done), enrollment("north", 2), enrollment("north", 3), enrollment("south", 1)]
    records.write_text("\n".join(lines), encoding="utf-8")
    with running(records_world([records])) as server:
        server.set_clock(NOW)
        yield server


def build_settings(sandbox: RunningSandbox, folder: Path, **more: Any) -> Settings:
    """Build settings for the sandbox, with the data directory in the folder."""
    return Settings(
        token=SecretStr(sandbox.token),
        base_url=sandbox.url,
        data_dir=folder / "data",
        start_date=date(2026, 3, 1),
        frozen_now=NOW,
        **more,
    )


@pytest.fixture
def sandbox(tmp_path):
    with serve_accounts(tmp_path) as server:
        yield server


@pytest.fixture
def settings(sandbox, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return build_settings(sandbox, tmp_path)


@pytest.fixture
def data(settings):
    return DataDir(settings.data_dir)


@pytest.fixture
def registry(data):
    """The registry with both accounts, added by hand."""
    registry = Registry(data)
    for account_id in ("north", "south"):
        registry.add(account_id, name=None, first_day=DAY)
    return registry


@pytest.fixture
def new_instance(tmp_path, monkeypatch, make_home):
    """A new instance with an empty log, apart from the instance that a command uses."""
    make_home(tmp_path / "new")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "new"))
    with open_instance(Settings()) as opened:
        yield opened


@pytest.fixture
def instance(settings, make_home):
    if not settings.dagster_home.exists():
        make_home(settings.dagster_home)
    with open_instance(settings) as opened:
        yield opened


@dataclass(frozen=True)
class Installation:
    """What the daily runs of `DAY` left. Read-only, since tests share it."""

    settings: Settings
    instance: dg.DagsterInstance
    requests: int
    """Requests of the run of `north`, which was before the run of `south`."""

    @property
    def data(self) -> DataDir:
        return DataDir(self.settings.data_dir)

    def read_metadata(self, asset: str) -> dict[str, Any]:
        """Return the metadata of an asset's latest materialization in `north`, or of all accounts, as values."""
        key = f"north|{DAY}" if TABLES[asset].per_account else str(DAY)
        records_filter = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[key])
        (record,) = self.instance.fetch_materializations(records_filter, limit=1).records
        assert record.asset_materialization is not None
        return {name: value.value for name, value in record.asset_materialization.metadata.items()}


@pytest.fixture(scope="session")
def published(tmp_path_factory, make_home):
    """Both accounts run by the daily job, and the warehouse built: shared by tests that only read."""
    folder = tmp_path_factory.mktemp("published")
    with serve_accounts(folder) as sandbox, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DAGSTER_HOME", str(folder / "dagster"))
        settings = build_settings(sandbox, folder)
        make_home(settings.dagster_home)
        registry = Registry.open(settings)
        defs = build_defs(settings)
        with open_instance(settings) as instance:
            environment.undo()
            for account_id in ("north", "south"):
                registry.add(account_id, name=None, first_day=DAY)
            runs = run_partitions(defs, instance, [Partition("north", DAY), Partition("south", DAY)])
            assert next(runs).error is None
            requests = sandbox.stats()["total"]
            assert next(runs).error is None
            assert rebuild_warehouse(defs, instance).error is None
            yield Installation(settings, instance, requests)


@pytest.fixture
def after_a_run(published, settings):
    """A copy of `published` in `tmp_path`, which a test may change. `usefixtures` creates it before the instance."""
    published.instance.event_log_storage.dispose()  # closes its files, so that each is one file to copy
    shutil.copytree(published.settings.data_dir, settings.data_dir)
    shutil.copytree(published.settings.dagster_home, settings.dagster_home)


@contextmanager
def open_installation(folder, make_home, accounts=("north", "south"), serve=serve_accounts, **more):
    """Open a new installation in a folder, for runs whose results tests copy: its sandbox, settings and instance."""
    with serve(folder) as sandbox, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DAGSTER_HOME", str(folder / "dagster"))
        settings = build_settings(sandbox, folder, **more)
        for account_id in accounts:
            Registry.open(settings).add(account_id, name=None, first_day=DAY)
        make_home(settings.dagster_home)
        with open_instance(settings) as instance:
            yield sandbox, settings, instance


@dataclass(frozen=True)
class Left:
    """What a run left: its data directory and Dagster's home, which tests copy, and the run as it ended."""

    folder: Path
    run: dg.DagsterRun

    def copy(self, settings):
        """Copy both to where the settings have them, before an instance is opened there."""
        shutil.copytree(self.folder / "data", settings.data_dir)
        shutil.copytree(self.folder / "dagster", settings.dagster_home)
