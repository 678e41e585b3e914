"""The files of docs/deploy/: Dagster loads each `dagster.yaml`, and what they name exists."""

import importlib
import re
from pathlib import Path

import dagster as dg
import msgspec
import pytest
from dagster._core.instance.ref import InstanceRef

from lms_pipeline.settings import Settings
from lms_pipeline_tests.distributed.conftest import DEPLOY, read_config

CELERY = {"LMS_CELERY_BROKER": "redis://127.0.0.1:1/0", "LMS_CELERY_BACKEND": "redis://127.0.0.1:1/1"}
POSTGRES_VARIABLES = {"PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"}
LAUNCHERS = {"celery": "CeleryLauncher", "docker": "DockerLauncher", "k8s": "K8sLauncher"}


@pytest.mark.distributed
@pytest.mark.parametrize("name", LAUNCHERS)
def test_dagster_loads_each_file_as_it_is(name, extra, database, tmp_path, monkeypatch):
    monkeypatch.setattr("kubernetes.config.load_incluster_config", lambda: None)
    for variable, value in CELERY.items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "dagster.yaml").write_text((DEPLOY / name / "dagster.yaml").read_text("utf-8"), "utf-8")
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path))) as instance:
        assert instance.get_runs_count() == 0
        assert type(instance.run_launcher).__name__ == LAUNCHERS[name]
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
        assert instance.compute_log_manager is not None
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled


def read_compose():
    return msgspec.yaml.decode((DEPLOY / "compose.yaml").read_bytes())


def find_variables(document):
    """Return the variables whose values Dagster reads from the environment."""
    if isinstance(document, dict):
        found = {document["env"]} if isinstance(document.get("env"), str) else set()
        return found.union(*(find_variables(value) for value in document.values()))
    return set().union(*(find_variables(value) for value in document)) if isinstance(document, list) else set()


@pytest.mark.parametrize("name", LAUNCHERS)
def test_every_variable_that_a_file_reads_is_a_setting_or_one_of_postgresql(name):
    config = read_config(name)
    named = find_variables(config) | set(config["run_launcher"]["config"].get("env_vars", ()))
    assert named - POSTGRES_VARIABLES <= {field.alias for field in Settings.model_fields.values()}


def test_every_service_of_ours_has_every_variable_that_dagster_reads():
    services = read_compose()["services"]
    ours = {name: service["environment"] for name, service in services.items() if service["image"] == "lms-pipeline"}
    assert ours.keys() == {"daemon", "web", "worker"}
    needed = find_variables(read_config("celery")) | {"TRUTO_API_TOKEN"}
    missing = {name: needed - environment.keys() for name, environment in ours.items()}
    assert [name for name, variables in missing.items() if variables] == []


def test_every_service_of_ours_has_all_settings_of_the_operator():
    ours = [service for service in read_compose()["services"].values() if service["image"] == "lms-pipeline"]
    assert {(DEPLOY / service["env_file"]).resolve() for service in ours} == {DEPLOY.parents[1] / ".env"}


def test_no_file_holds_a_secret():
    for variable, value in read_compose()["services"]["worker"]["environment"].items():
        if re.search("TOKEN|PASSWORD", variable):
            assert value == f"${{{variable}}}"


def test_at_most_as_many_runs_are_launched_as_the_workers_have_processes():
    worker = read_compose()["services"]["worker"]
    processes = int(worker["command"][worker["command"].index("--concurrency") + 1]) * worker["deploy"]["replicas"]
    assert read_config("celery")["concurrency"]["runs"]["max_concurrent_runs"] == processes


@pytest.mark.distributed
@pytest.mark.usefixtures("extra")
def test_every_program_and_module_of_a_command_exists(monkeypatch):
    import sys

    for variable, value in CELERY.items():
        monkeypatch.setenv(variable, value)
    for service in read_compose()["services"].values():
        command = service.get("command", ["redis-server"])
        assert command[0] == "redis-server" or (Path(sys.executable).parent / command[0]).exists()
        if command[0] == "celery":
            assert importlib.import_module(command[command.index("-A") + 1]).app.main == "dagster"
