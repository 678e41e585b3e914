"""One small sandbox for the tests that only read from it."""

import pytest

from lms_pipeline.sandbox.server import running
from lms_pipeline_tests.sandbox.worlds import SmallWorld, client_of


@pytest.fixture(scope="module")
def small():
    with running(SmallWorld()) as sandbox, client_of(sandbox) as client:
        yield client
