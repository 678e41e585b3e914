"""Runs as Kubernetes Jobs, with the real launcher and a stand-in of the API."""

import json
import os
import signal
from pathlib import Path

import dagster as dg
import pytest

from lms_pipeline import lake
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.failures import SHELL_TAG
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.lake.paths import Partition
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.distributed.kubernetes_api import serve_cluster
from lms_pipeline_tests.distributed.monitoring import launch, monitor, read_status
from lms_pipeline_tests.distributed.services import PASSWORD
from lms_pipeline_tests.support.launched_runs import HeldRequest, build_environment, create_run, pop_requests

pytestmark = [pytest.mark.distributed, pytest.mark.usefixtures("registry")]
ROOT = Path(__file__).parents[2]
NORTH, SOUTH = Partition("north", DAY), Partition("south", DAY)


@pytest.fixture
def cluster(settings, database, preloaded, tmp_path):
    """A cluster whose ConfigMap and Secret hold the settings, and the address of the database.

    Its pods are forks of a process that has imported Dagster.
    """

    def start_pod(name, command, environment):
        mine = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return preloaded.start(command, {**mine, **environment}, tmp_path / f"{name}.log", ROOT)

    environment = build_environment(settings)
    names = {name for name in environment if name.startswith(("LMS_", "TRUTO_", "PG"))}
    secrets = {"TRUTO_API_TOKEN", "PGPASSWORD"}
    objects = [{name: environment[name] for name in chosen} for chosen in (names - secrets, secrets)]
    environments = {"lms-pipeline": objects[0] | objects[1]}
    with serve_cluster(environments, start_pod) as served:
        yield served


@pytest.fixture
def instance(deploy, cluster, settings, tmp_path):
    path = cluster.write_config(tmp_path / "kubeconfig")
    home = str(settings.dagster_home)
    return deploy("k8s", load_incluster_config=False, kubeconfig_file=str(path), dagster_home=home)


@pytest.fixture
def start(instance, settings, cluster):
    """Launches a run, and returns it with its Job."""

    def started(partition, **tags):
        run = create_run(instance, settings, partition, tags=tags)
        launch(instance, run)
        return run, list(cluster.jobs.values())[-1]

    return started


def test_runs_of_two_accounts_are_published(start, instance, settings, sandbox):
    started = [start(partition) for partition in (NORTH, SOUTH)]
    for run, job in started:
        assert job.process.wait(120) == 0
        assert read_status(instance, run.run_id) is dg.DagsterRunStatus.SUCCESS
    rows = lake.read("account_completion", data_dir=settings.data_dir).to_pylist()
    assert {row["account_id"]: row["n_all"] for row in rows} == {"north": 3, "south": 1}
    requests = pop_requests(sandbox)
    assert len(requests) == len(set(requests))


def test_a_job_holds_no_secret_and_ends_within_the_grace_period(start, settings):
    _, job = start(NORTH)
    text = json.dumps(job.manifest)
    assert settings.require_token() not in text
    assert PASSWORD not in text
    pod = job.manifest["spec"]["template"]["spec"]
    assert (pod["restartPolicy"], pod["terminationGracePeriodSeconds"]) == ("Never", 60)


@pytest.mark.parametrize("tags", [{}, {SHELL_TAG: "elsewhere.example.org 77"}], ids=["new", "repeats a command's run"])
def test_a_killed_pod_is_found_at_the_first_poll_and_a_living_one_never(start, instance, sandbox, tags):
    request = HeldRequest(sandbox, "north", after=2)
    run, job = start(NORTH, **tags)
    assert request.arrived.wait(60)
    assert {monitor(instance, run.run_id) for _ in range(20)} == {dg.DagsterRunStatus.STARTED}
    job.process.send_signal(signal.SIGKILL)
    job.process.wait(60)
    request.release()
    assert monitor(instance, run.run_id) is dg.DagsterRunStatus.FAILURE


def test_no_request_of_a_deleted_pod_is_sent_again(start, instance, settings, sandbox):
    request = HeldRequest(sandbox, "north", after=2)
    run, job = start(NORTH)
    assert request.arrived.wait(60)
    assert instance.run_launcher.terminate(run.run_id)
    request.release()
    job.process.wait(60)
    assert read_status(instance, run.run_id) is dg.DagsterRunStatus.CANCELED
    sent = pop_requests(sandbox)
    (outcome,) = run_partitions(build_defs(settings), instance, [NORTH])
    assert (outcome.error, outcome.enrollments) == (None, 3)
    assert set(sent) & set(pop_requests(sandbox)) == set()
