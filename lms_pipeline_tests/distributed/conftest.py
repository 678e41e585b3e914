"""Fixtures of this folder: services, and instances with the files of `docs/deploy/`.

Under `make distributed` a missing package or service fails the tests that need it; in the whole suite it skips them.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import msgspec
import pytest

from lms_pipeline.defs.instance import open_instance
from lms_pipeline.storage import opening
from lms_pipeline_tests.defs.conftest import data, registry, sandbox, settings
from lms_pipeline_tests.distributed.machines import NO_NAMESPACES, has_namespaces, open_machine
from lms_pipeline_tests.distributed.preloaded import serve_preloaded
from lms_pipeline_tests.distributed.services import (
    PASSWORD,
    MissingServiceError,
    serve_azurite,
    serve_postgres,
    serve_redis,
)

__all__ = ["data", "registry", "sandbox", "settings"]

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
_numbers = count()


def is_selected(config):
    """Return whether the tests of several machines were selected, so that a missing service fails them."""
    return config.option.markexpr == "distributed"


@pytest.fixture(scope="session")
def end_without(request):
    """Ends the tests that need what is missing: with a failure if they were selected, otherwise they are skipped."""

    def end(reason):
        if is_selected(request.config):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    return end


@pytest.fixture(scope="session")
def extra(end_without):
    """The extra `distributed` is installed."""
    for package in (
        "dagster_aws",
        "dagster_celery",
        "dagster_docker",
        "dagster_k8s",
        "dagster_postgres",
        "moto",
        "obstore",
    ):
        if find_spec(package) is None:
            end_without(f"{package} is not installed: run `make distributed`")


@pytest.fixture(scope="session")
def s3_server(end_without):
    """The S3 endpoint of all tests."""
    for package in ("obstore", "moto"):
        if find_spec(package) is None:
            end_without(f"{package} is not installed: run `make distributed`")
    from lms_pipeline_tests.distributed.s3_front import serve_s3  # needs moto

    with serve_s3() as front:
        yield front


@pytest.fixture
def s3(s3_server, monkeypatch):
    """The S3 endpoint without faults, which the environment names."""
    s3_server.reset()
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    yield s3_server
    s3_server.reset()


@pytest.fixture
def lake_url(s3):
    """The address of an empty bucket."""
    return f"s3://{s3.create_bucket()}/installation"


def _serve(service, end_without):
    with ExitStack() as stack:
        try:
            served = stack.enter_context(service())
        except MissingServiceError as missing:
            end_without(f"{missing}, or `make distributed` as root")
        yield served


@pytest.fixture(scope="session")
def postgres(extra, end_without):
    yield from _serve(serve_postgres, end_without)


@pytest.fixture(scope="session")
def redis(extra, end_without):
    yield from _serve(serve_redis, end_without)


@pytest.fixture(scope="session")
def azurite(extra, end_without):
    yield from _serve(serve_azurite, end_without)


@pytest.fixture(scope="session")
def preloaded(extra, tmp_path_factory):
    """Starts Python processes that have imported Dagster already."""
    with serve_preloaded(tmp_path_factory.mktemp("preloaded")) as served:
        yield served


@pytest.fixture
def start_machine(end_without, tmp_path):
    """Starts a machine with the environment of its processes; everything on it ends with the test."""
    with ExitStack() as stack:
        try:
            has_namespaces()
        except MissingServiceError as missing:
            end_without(f"{missing}, or `make distributed` as root")

        def started(name, environment=None, preloaded=None):
            return stack.enter_context(open_machine(name, tmp_path / "machines", environment or {}, preloaded))

        yield started


def pytest_terminal_summary(terminalreporter, config):
    with suppress(MissingServiceError):
        if is_selected(config) and not has_namespaces():
            terminalreporter.write_line(NO_NAMESPACES)


@pytest.fixture
def database(postgres, monkeypatch):
    """An empty database, which the environment names."""
    yield create_database(postgres, monkeypatch)
    opening._opened.clear()  # their connections are closed


def create_database(postgres, environment, template="template1"):
    """Create a database, empty or as a copy of another one, and name it in the environment."""
    name = f"dagster_{next(_numbers)}"
    postgres.create_database(name, template)
    values = {"HOST": "127.0.0.1", "PORT": str(postgres.port), "USER": "dagster", "PASSWORD": PASSWORD}
    for variable, value in {**values, "DATABASE": name}.items():
        environment.setenv(f"PG{variable}", value)
    return name


@pytest.fixture
def state_url(postgres, database):
    """The value of LMS_STATE_URL for the empty database."""
    return f"postgresql://dagster:{PASSWORD}@127.0.0.1:{postgres.port}/{database}"


@pytest.fixture
def addresses(redis, database, monkeypatch):
    """The addresses of broker and backend in the environment: two empty databases of Redis for each test."""
    number = int(database.rpartition("_")[2]) % 8 * 2
    monkeypatch.setenv("LMS_CELERY_BROKER", f"{redis}/{number}")
    monkeypatch.setenv("LMS_CELERY_BACKEND", f"{redis}/{number + 1}")


def read_config(name):
    """Read the `dagster.yaml` of a launcher."""
    return msgspec.yaml.decode((DEPLOY / name / "dagster.yaml").read_bytes())


@pytest.fixture
def deploy(extra, settings, database, _migrations_are_read_once):
    """Opens an instance with the `dagster.yaml` of a launcher, with other options of the launcher if they are given."""
    with ExitStack() as stack:

        def deployed(name, **options):
            return stack.enter_context(open_deployed(settings, name, **options))

        yield deployed


def open_deployed(settings, name, **options):
    """Open an instance with the `dagster.yaml` of a launcher, with other options of the launcher if they are given."""
    config = read_config(name)
    config["run_launcher"]["config"].update(options)
    config.pop("compute_logs", None)  # of another machine
    settings.dagster_home.mkdir(parents=True)
    (settings.dagster_home / "dagster.yaml").write_bytes(msgspec.yaml.encode(config))
    return open_instance(settings)
