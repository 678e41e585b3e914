"""Small sandboxes: one for the tests that only read from it, one for those that drive it."""

from collections.abc import Iterator

import httpx
import pytest

from lms_pipeline.sandbox.server import RunningSandbox, running
from lms_pipeline_tests.support.sandbox import SmallWorld, client_of


@pytest.fixture(scope="module")
def small() -> Iterator[httpx.Client]:
    with running(SmallWorld()) as sandbox, client_of(sandbox) as client:
        yield client


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningSandbox]:
    with running(SmallWorld()) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared) -> Iterator[RunningSandbox]:
    """Every test finds it without faults, and with nothing counted."""
    yield shared
    shared.clear_faults()
    shared.clear_counts()


@pytest.fixture
def client(sandbox) -> Iterator[httpx.Client]:
    with client_of(sandbox) as client:
        yield client
