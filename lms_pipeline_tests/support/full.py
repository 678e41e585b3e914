"""The size of tests that repeat one thing: reduced by default, or full under `make test-full` and `make distributed-full`."""

import os
from typing import TypeVar

T = TypeVar("T")

IS_FULL = os.environ.get("LMS_TEST_FULL") == "1"


def choose(reduced: T, full: T) -> T:
    """Return the size for this run of the tests."""
    return full if IS_FULL else reduced
