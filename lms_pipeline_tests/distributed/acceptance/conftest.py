"""Fixtures of this folder: an installation in a bucket and PostgreSQL, its machines, and the sandbox that all of them reach."""

import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline_tests.defs.conftest import DAY, NOW, build_settings
from lms_pipeline_tests.distributed.acceptance.fleet import ACCOUNTS, serve_fleet
from lms_pipeline_tests.distributed.acceptance.nodes import build_machine_environment
from lms_pipeline_tests.distributed.services import PASSWORD


@pytest.fixture
def sandbox(tmp_path):
    with serve_fleet(tmp_path) as server:
        server.set_clock(NOW)
        yield server


@pytest.fixture
def state_url(postgres, database):
    """The database of Dagster's log, which has a schema for the state of the pipeline too."""
    return f"postgresql://dagster:{PASSWORD}@127.0.0.1:{postgres.port}/{database}"


@pytest.fixture
def settings(sandbox, tmp_path, monkeypatch, lake_url, state_url):
    """Settings of the test process, which is a machine too: its folder holds nothing that lasts."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return build_settings(
        sandbox, tmp_path, lake_url=lake_url, state_url=state_url, token_calls_per_10s=0, account_calls_per_10s=0
    )


@pytest.fixture
def registry(settings):
    registry = Registry.open(settings)
    for account_id in ACCOUNTS:
        registry.add(account_id, name=None, first_day=DAY)
    return registry


@pytest.fixture
def machines(settings, start_machine, registry):
    """Starts machines of this installation."""

    def started(*names):
        return [start_machine(name, build_machine_environment(settings)) for name in names]

    return started
