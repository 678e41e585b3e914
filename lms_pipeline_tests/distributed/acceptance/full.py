"""The size of these tests: reduced, so that all take some minutes, or full under `make distributed-full`."""

import os
from typing import TypeVar

T = TypeVar("T")

IS_FULL = os.environ.get("LMS_TEST_FULL") == "1"


def choose(reduced: T, full: T) -> T:
    """Return what this run of the tests takes."""
    return full if IS_FULL else reduced
