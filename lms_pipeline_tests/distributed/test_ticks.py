"""The schedule and the sensors of a fleet, with Dagster's log and the state in PostgreSQL."""

import pytest

from benchmarks.ticks import SIZES, measure_ticks
from lms_pipeline_tests.distributed.acceptance.full import IS_FULL

pytestmark = pytest.mark.distributed


def test_evaluate_all_accounts_within_their_limits(state_url):
    accounts, days = SIZES[-1] if IS_FULL else (500, 14)
    slow = {
        figure.name: figure.value
        for figure, limit in measure_ticks(accounts, days, state_url).items()
        if figure.value > limit
    }
    assert slow == {}
