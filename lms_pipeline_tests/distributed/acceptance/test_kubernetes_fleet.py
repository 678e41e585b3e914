"""A night of many accounts as Kubernetes Jobs, each in a pod with a disk of its own."""

import shutil
from collections import Counter

import dagster as dg
import pytest

from lms_pipeline_tests.distributed.acceptance.fleet import (
    ACCOUNTS,
    TABLES,
    find_repeated,
    pull_embedded,
    read_digests,
    request_runs,
)
from lms_pipeline_tests.distributed.acceptance.nodes import build_machine_environment, find_secrets
from lms_pipeline_tests.distributed.kubernetes_api import serve_cluster
from lms_pipeline_tests.distributed.machines import MAX_WAIT_SECONDS
from lms_pipeline_tests.distributed.monitoring import launch, read_status
from lms_pipeline_tests.support.full import choose

pytestmark = pytest.mark.distributed
ACCOUNTS_PER_RUN = choose(3, 5)


@pytest.fixture
def account_ids():
    return ACCOUNTS[: choose(2, 8) * ACCOUNTS_PER_RUN]


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"accounts_per_run": ACCOUNTS_PER_RUN})


@pytest.fixture
def cluster(settings, start_machine, registry):
    """A cluster that starts each pod on a machine of its own, with the settings in a ConfigMap and a Secret."""

    def start_pod(name, command, environment):
        machine = start_machine(name, {"PATH": operator["PATH"], **environment})
        machine.dagster_home.mkdir()
        shutil.copy(settings.dagster_home / "dagster.yaml", machine.dagster_home)
        return machine.start(command)

    operator = build_machine_environment(settings)
    with serve_cluster({"lms-pipeline": operator}, start_pod) as served:
        yield served


@pytest.fixture
def instance(deploy, cluster, settings, tmp_path):
    path = cluster.write_config(tmp_path / "kubeconfig")
    home = str(settings.dagster_home)
    return deploy("k8s", load_incluster_config=False, kubeconfig_file=str(path), dagster_home=home)


def test_pods_pull_every_account_once_and_publish_what_one_machine_does(
    instance, cluster, settings, account_ids, sandbox, tmp_path
):
    runs = request_runs(instance, settings)
    for run in runs:
        launch(instance, run)
    for job in list(cluster.jobs.values()):
        assert job.process.wait(MAX_WAIT_SECONDS) == 0
    assert Counter(read_status(instance, run.run_id) for run in runs) == {dg.DagsterRunStatus.SUCCESS: len(runs)}
    assert len(cluster.jobs) == len(runs) == len(account_ids) / ACCOUNTS_PER_RUN
    assert find_repeated(sandbox) == []
    published = read_digests(settings, account_ids)
    assert published == pull_embedded(settings, tmp_path / "embedded", account_ids)
    assert len(published) == len(account_ids) * len(TABLES)
    manifests = str([job.manifest for job in cluster.jobs.values()])
    assert find_secrets(settings, manifests) == []
