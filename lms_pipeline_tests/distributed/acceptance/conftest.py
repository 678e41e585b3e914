"""Fixtures of this folder: an installation in a bucket and PostgreSQL, its machines, and the sandbox that all of them reach."""

import shutil

import pytest

from lms_pipeline import lake
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.lake.paths import Partition
from lms_pipeline_tests.defs.conftest import DAY, NOW, build_settings
from lms_pipeline_tests.distributed.acceptance.fleet import ACCOUNTS, serve_fleet
from lms_pipeline_tests.distributed.acceptance.nodes import build_machine_environment
from lms_pipeline_tests.distributed.s3_front import serve_front
from lms_pipeline_tests.distributed.services import AZURE_ACCOUNT, PASSWORD


@pytest.fixture(autouse=True)
def _installed(extra):
    """Without the extra, nothing of these tests is begun."""


@pytest.fixture
def sandbox(tmp_path):
    with serve_fleet(tmp_path) as server:
        server.set_clock(NOW)
        yield server


@pytest.fixture
def azure(azurite, monkeypatch):
    """A front of Azurite without faults, which the environment names."""
    with serve_front(azurite.endpoint.removesuffix(f"/{AZURE_ACCOUNT}")) as front:
        for name, value in {**azurite.environment, "AZURE_STORAGE_ENDPOINT": f"{front.url}/{AZURE_ACCOUNT}"}.items():
            monkeypatch.setenv(name, value)
        yield front


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
def account_ids():
    return ACCOUNTS


@pytest.fixture
def registry(settings, account_ids):
    registry = Registry.open(settings)
    for account_id in account_ids:
        registry.add(account_id, name=None, first_day=DAY)
    return registry


@pytest.fixture
def machines(settings, start_machine, registry, preloaded):
    """Starts machines of this installation. Each has the `dagster.yaml` of the test process, which deploys before.

    Their Python processes are forks; with `is_cold`, each starts with its own command.
    """

    def started(*names, is_cold=False):
        process = None if is_cold else preloaded
        found = [start_machine(name, build_machine_environment(settings), process) for name in names]
        for machine in found:
            machine.dagster_home.mkdir()
            shutil.copy(settings.dagster_home / "dagster.yaml", machine.dagster_home)
        return found

    return started


@pytest.fixture
def instance(deploy, monkeypatch):
    """Dagster's log in PostgreSQL, for runs that a test starts itself: no launcher has a service."""
    monkeypatch.setenv("LMS_CELERY_BROKER", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("LMS_CELERY_BACKEND", "redis://127.0.0.1:1/1")
    return deploy("celery")


@pytest.fixture
def read(settings, monkeypatch):
    """Reads a table as a notebook on a machine of the installation does."""
    for name, value in build_machine_environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LMS_DATA_DIR", str(settings.data_dir))
    return lake.read


@pytest.fixture
def pull(instance, settings):
    """Pulls an account and `DAY` on this machine, and returns how it ended."""

    def pulled(account_id):
        (outcome,) = run_partitions(build_defs(settings), instance, [Partition(account_id, DAY)])
        return outcome

    return pulled
