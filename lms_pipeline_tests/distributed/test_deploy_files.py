"""The files of docs/deploy/: Dagster loads each `dagster.yaml`, and what they name exists."""

import importlib
import re
import subprocess
import sys
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
SETTINGS = {field.alias or "" for field in Settings.model_fields.values()}
SCRATCH = "/scratch"
OTHER_PROGRAMS = {"redis-server", "sh", "server"}
"""Programs of the images; `server` is an argument of MinIO's."""
EXAMPLES = {"LMS_ACCOUNTS_PER_RUN", "LMS_PARTITION_DAYS"}
"""Settings of which the example shows another value than the default."""


@pytest.mark.distributed
@pytest.mark.parametrize("name", LAUNCHERS)
def test_dagster_loads_each_file_as_it_is(name, extra, database, tmp_path, monkeypatch):
    monkeypatch.setattr("kubernetes.config.load_incluster_config", lambda: None)
    for variable, value in CELERY.items():
        monkeypatch.setenv(variable, value)
    config = (DEPLOY / name / "dagster.yaml").read_bytes()
    check_instance(tmp_path, config, LAUNCHERS[name])


@pytest.mark.distributed
def test_dagster_loads_the_instance_that_the_chart_makes_of_our_values(extra, database, tmp_path, monkeypatch):
    monkeypatch.setattr("kubernetes.config.load_incluster_config", lambda: None)
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "any")
    check_instance(tmp_path, msgspec.yaml.encode(render_instance(read_values())), "K8sLauncher")


def check_instance(home, config, launcher):
    """Load an instance, and check the parts that the runs of this package need."""
    (home / "dagster.yaml").write_bytes(config)
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as instance:
        assert instance.get_runs_count() == 0
        assert type(instance.run_launcher).__name__ == launcher
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
        assert type(instance.compute_log_manager).__name__ == "S3ComputeLogManager"
        assert instance.get_settings("run_retries")["retry_on_asset_or_op_failure"] is False
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled


def read_values():
    return msgspec.yaml.decode((DEPLOY / "k8s" / "helm-values.yaml").read_bytes())


def render_instance(values):
    """Return the `dagster.yaml` that the templates of Dagster's chart make of values."""
    daemon, launcher = values["dagsterDaemon"], values["runLauncher"]["config"]["customRunLauncher"]
    queue = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]
    postgres = {
        "scheme": values["postgresql"]["postgresqlScheme"],
        "hostname": {"env": "PGHOST"},  # that of the test, as are the next two
        "port": {"env": "PGPORT"},
        "db_name": {"env": "PGDATABASE"},
        "username": values["postgresql"]["postgresqlUsername"],
        "password": {"env": "DAGSTER_PG_PASSWORD"},
    }
    logs = values["computeLogManager"]["config"]["s3ComputeLogManager"]
    return {
        "storage": {"postgres": {"postgres_db": postgres}},
        "run_launcher": {name: launcher[name] for name in ("module", "class", "config")},
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": daemon["runCoordinator"]["type"],
            "config": rename(queue),
        },
        "run_monitoring": rename(daemon["runMonitoring"]),
        "run_retries": rename(daemon["runRetries"]),
        "sensors": rename(daemon["sensors"]),
        "schedules": rename(daemon["schedules"]),
        "compute_logs": {
            "module": "dagster_aws.s3.compute_log_manager",
            "class": values["computeLogManager"]["type"],
            "config": rename(logs),
        },
        "retention": {
            name: {"purge_after_days": values["retention"][name]["purgeAfterDays"]} for name in ("schedule", "sensor")
        },
        "telemetry": values["telemetry"],
    }


def rename(options):
    """Return options with the names of Dagster instead of those of the chart."""
    return {re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name): value for name, value in options.items()}


def read_compose():
    return msgspec.yaml.decode((DEPLOY / "compose.yaml").read_bytes())


def find_ours():
    """Return the services of compose.yaml that execute runs, or ask for them."""
    return {name: service for name, service in read_compose()["services"].items() if "env_file" in service}


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
    assert {variable for variable in named - POSTGRES_VARIABLES if not variable.startswith("AWS_")} <= SETTINGS


def test_every_service_of_ours_has_every_variable_that_dagster_reads():
    ours = {name: service["environment"] for name, service in find_ours().items()}
    assert ours.keys() == {"code", "daemon", "web", "worker"}
    needed = find_variables(read_config("celery")) | {"TRUTO_API_TOKEN", "LMS_LAKE_URL", "LMS_STATE_URL"}
    missing = {name: needed - environment.keys() for name, environment in ours.items()}
    assert [name for name, variables in missing.items() if variables] == []


def test_every_service_of_ours_has_all_settings_of_the_operator():
    files = {(DEPLOY / service["env_file"]).resolve() for service in find_ours().values()}
    assert files == {DEPLOY.parents[1] / ".env"}


def test_no_file_holds_a_secret():
    for service in read_compose()["services"].values():
        for variable, value in service.get("environment", {}).items():
            if re.search("TOKEN|PASSWORD|SECRET|STATE_URL", variable):
                assert re.search(r"\$\{(TRUTO_API_TOKEN|PGPASSWORD|MINIO_PASSWORD)\}", value), variable


def test_every_service_of_ours_has_a_scratch_of_its_own():
    services = find_ours().values()
    assert {service["tmpfs"][0].partition(":")[0] for service in services} == {SCRATCH}
    assert {service["environment"]["LMS_DATA_DIR"] for service in services} == {f"{SCRATCH}/lms"}
    shared = {volume.partition(":")[0] for service in services for volume in service["volumes"]}
    assert {name for name in shared if not name.startswith(".")} == {"certs"}


def test_what_a_service_names_is_in_the_file_or_beside_it():
    compose = read_compose()
    for service in compose["services"].values():
        assert ("build" in service) == (service["image"] == "lms-pipeline")
        assert set(service.get("depends_on", ())) <= compose["services"].keys()
        for source in (volume.partition(":")[0] for volume in service.get("volumes", ())):
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"], source


def test_the_settings_of_the_compose_file_are_settings(tmp_path, monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name, value in find_ours()["worker"]["environment"].items():
        monkeypatch.setenv(name, value.replace("${LMS_TIMEZONE:-UTC}", "UTC"))
    loaded = Settings.load(tmp_path)
    assert (loaded.lake_url, loaded.data_dir.as_posix()) == ("s3://lms", f"{SCRATCH}/lms")


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_the_example_of_an_environment_names_every_setting(name):
    assert re.search(rf"^#?{name}=", (DEPLOY / "env.example").read_text("utf-8"), re.MULTILINE)


def test_the_example_of_an_environment_shows_the_defaults(tmp_path, monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    lines = (DEPLOY / "env.example").read_text("utf-8").splitlines()
    shown = dict(line.removeprefix("#").split("=", 1) for line in lines if re.match(r"#?[A-Z_0-9]+=", line))
    numbers = {name: value for name, value in shown.items() if value.isdigit() and name not in EXAMPLES}
    defaults = {field.alias: str(field.default) for field in Settings.model_fields.values()}
    assert numbers == {name: defaults[name] for name in numbers}


def test_pods_have_a_scratch_of_their_own():
    values = read_values()
    pod = values["runLauncher"]["config"]["customRunLauncher"]["config"]["run_k8s_config"]
    [volume], [mount] = pod["pod_spec_config"]["volumes"], pod["container_config"]["volume_mounts"]
    assert (volume["name"], mount) == ("scratch", {"name": "scratch", "mount_path": SCRATCH})
    for part in (values["dagsterDaemon"], values["dagster-user-deployments"]["deployments"][0]):
        assert [(one["name"], one["mountPath"]) for one in part["volumeMounts"]] == [("scratch", SCRATCH)]
        assert [one["name"] for one in part["volumes"]] == ["scratch"]


def test_pods_have_the_settings_of_the_operator():
    values = read_values()
    [deployment] = values["dagster-user-deployments"]["deployments"]
    launcher = values["runLauncher"]["config"]["customRunLauncher"]["config"]
    for part in (values["dagsterWebserver"], values["dagsterDaemon"], deployment):
        assert [one["name"] for one in part["envConfigMaps"]] == launcher["env_config_maps"]
        assert [one["name"] for one in part["envSecrets"]] == launcher["env_secrets"]
        assert part["image"] == deployment["image"]
    assert deployment["dagsterApiGrpcArgs"][1] == "lms_pipeline.definitions"


def test_old_versions_and_unfinished_uploads_expire():
    rules = msgspec.json.decode((DEPLOY / "s3" / "lifecycle.json").read_bytes())["Rules"]
    [everything] = [rule for rule in rules if rule["Filter"]["Prefix"] == ""]
    assert everything["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}
    assert "AbortIncompleteMultipartUpload" in everything
    assert {rule["Filter"]["Prefix"] for rule in rules if "Days" in rule.get("Expiration", {})} == {"logs/"}


@pytest.mark.distributed
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_the_bucket_is_made_with_versions_and_rules_and_stays_if_it_exists(extra, s3, region, monkeypatch):
    monkeypatch.setenv("AWS_REGION", region)
    name = f"made-in-{region}"
    boto3 = pytest.importorskip("boto3")
    command = [sys.executable, str(DEPLOY / "s3" / "make_bucket.py"), name]
    for _ in range(2):
        subprocess.run(command, check=True, capture_output=True)
    client = boto3.client("s3", region_name=region)
    assert client.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert len(client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]) == 2


def test_at_most_as_many_runs_are_launched_as_the_workers_have_processes():
    worker = read_compose()["services"]["worker"]
    processes = int(worker["command"][worker["command"].index("--concurrency") + 1]) * worker["deploy"]["replicas"]
    assert read_config("celery")["concurrency"]["runs"]["max_concurrent_runs"] == processes


@pytest.mark.distributed
@pytest.mark.usefixtures("extra")
def test_every_program_and_module_of_a_command_exists(monkeypatch):
    for variable, value in CELERY.items():
        monkeypatch.setenv(variable, value)
    for service in read_compose()["services"].values():
        command = service.get("command", ["redis-server"])
        assert command[0] in OTHER_PROGRAMS or (Path(sys.executable).parent / command[0]).exists()
        if command[0] == "celery":
            assert importlib.import_module(command[command.index("-A") + 1]).app.main == "dagster"
