"""Sandboxes of a small world: one for tests that only read, one for tests that change its state."""

from collections.abc import Iterator

import httpx
import pytest

from lms_pipeline.sandbox import RunningSandbox, running
from lms_pipeline_tests.support.sandbox import SmallWorld, open_client


@pytest.fixture(scope="module")
def small() -> Iterator[httpx.Client]:
    with running(SmallWorld()) as sandbox, open_client(sandbox) as client:
        yield client


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningSandbox]:
    with running(SmallWorld()) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared) -> Iterator[RunningSandbox]:
    """A sandbox without faults and counts."""
    yield shared
    shared.clear_faults()
    shared.clear_counts()


@pytest.fixture
def client(sandbox) -> Iterator[httpx.Client]:
    with open_client(sandbox) as client:
        yield client
