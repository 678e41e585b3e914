"""A small account behind a sandbox, and settings that point there; Dagster's home is in `tmp_path`."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from lms_pipeline.defs.running import open_instance
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.registry import Registry
from lms_pipeline.sandbox.records.world import records_world
from lms_pipeline.sandbox.server import RunningSandbox, running
from lms_pipeline.settings import Settings

DAY = date(2026, 3, 10)
NOW = datetime(2026, 3, 11, 2, tzinfo=UTC)


def enrollment(account, number, role="learner", **fields):
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
    version = {
        "account": account,
        "valid_from": "2026-03-01T08:00:00Z",
        "enrollment": record,
        "raw": {"role": role},
    }
    return json.dumps(version)


@contextmanager
def serving(folder: Path) -> Iterator[RunningSandbox]:
    """Account `north` with 3 enrollments, one completed; account `south` with 1."""
    records = folder / "records.ndjson"
    done = {"status": "completed", "completed_at": "2026-03-05T08:00:00Z"}
    lines = [
        enrollment("north", 1, **done),
        enrollment("north", 2),
        enrollment("north", 3),
        enrollment("south", 1),
    ]
    records.write_text("\n".join(lines), encoding="utf-8")
    with running(records_world([records])) as server:
        server.set_clock(NOW)
        yield server


def settings_of(sandbox: RunningSandbox, folder: Path, **more: Any) -> Settings:
    """What points there."""
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
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def settings(sandbox, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return settings_of(sandbox, tmp_path)


@pytest.fixture
def data(settings):
    return DataDir(settings.data_dir)


@pytest.fixture
def registry(data):
    """Both accounts, taken in by hand."""
    registry = Registry(data.registry)
    for account_id in ("north", "south"):
        registry.add(account_id, name=None, first_day=DAY)
    return registry


@pytest.fixture
def new_instance(tmp_path, monkeypatch):
    """An instance that knows nothing, beside whichever a command uses."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "new"))
    with open_instance(Settings()) as opened:
        yield opened


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory):
    """Dagster's home as it is made on first use; to make its tables takes longer than most tests."""
    home = tmp_path_factory.mktemp("dagster") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        with open_instance(Settings(dagster_home_set=home)) as opened:
            opened.get_runs(limit=1)
            opened.get_dynamic_partitions("account")
    return home


@pytest.fixture
def instance(settings, empty_home):
    if not settings.dagster_home.exists():
        shutil.copytree(empty_home, settings.dagster_home)
    with open_instance(settings) as opened:
        yield opened
