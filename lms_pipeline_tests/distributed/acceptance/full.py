"""The size of these tests: reduced, so that all take some minutes, or full under `make distributed-full`."""

import os

IS_FULL = os.environ.get("LMS_TEST_FULL") == "1"


def choose(reduced: int, full: int) -> int:
    """Return a number for this run of the tests."""
    return full if IS_FULL else reduced
