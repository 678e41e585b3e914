"""The extra `distributed`: only the modules that `dagster.yaml` names import it, and a missing package is one sentence."""

import importlib
import subprocess
import sys

import pytest

from lms_pipeline.defs.instance import open_instance
from lms_pipeline.defs.launching import MissingExtraError

PACKAGES = {"boto3", "celery", "dagster_aws", "dagster_celery", "dagster_docker", "dagster_k8s", "dagster_postgres"}
LIBRARIES = {"docker", "kombu", "kubernetes", "obstore", "psycopg2", "redis"}
PRINT_IMPORTED = "import sys, lms_pipeline.definitions; print(*sys.modules, sep='\\n')"
MODULES = {
    "launching_k8s": "dagster_k8s",
    "launching_docker": "dagster_docker",
    "launching_celery": "dagster_celery",
    "celery_app": "celery",
}


def test_the_definitions_import_nothing_of_the_extra():
    done = subprocess.run([sys.executable, "-c", PRINT_IMPORTED], check=True, capture_output=True, text=True)
    imported = set(done.stdout.split())
    assert "lms_pipeline.defs.assets" in imported
    assert imported & (PACKAGES | LIBRARIES) == set()


@pytest.fixture
def _without_extra(monkeypatch):
    """The state of a plain installation."""
    for package in PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)
    for module in MODULES:
        monkeypatch.delitem(sys.modules, f"lms_pipeline.defs.{module}", raising=False)


@pytest.mark.usefixtures("_without_extra")
@pytest.mark.parametrize(("module", "package"), MODULES.items())
def test_a_module_of_the_extra_says_what_to_install(module, package):
    with pytest.raises(MissingExtraError) as missing:
        importlib.import_module(f"lms_pipeline.defs.{module}")
    assert str(missing.value).endswith(
        f" needs the package {package}, which is not installed: install the extra `distributed`, with "
        "`pip install --require-hashes -r requirements-distributed.lock`."
    )


@pytest.mark.usefixtures("_without_extra")
def test_a_launcher_in_the_settings_of_dagster_says_what_to_install(settings):
    settings.dagster_home.mkdir()
    lines = "run_launcher:\n  module: lms_pipeline.defs.launching_k8s\n  class: K8sLauncher\n"
    (settings.dagster_home / "dagster.yaml").write_text(lines, "utf-8")
    with open_instance(settings) as instance, pytest.raises(MissingExtraError, match=r"^K8sLauncher needs "):
        instance.run_launcher  # noqa: B018 - it is built when it is used
