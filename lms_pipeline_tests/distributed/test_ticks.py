"""The schedule, the sensors and the web UI of a fleet, with Dagster's log and the state in PostgreSQL."""

import pytest

from benchmarks.partition_page import measure_pages
from benchmarks.ticks import SIZES, measure_ticks
from lms_pipeline_tests.support.full import IS_FULL

pytestmark = pytest.mark.distributed


def test_evaluate_all_accounts_within_their_limits(state_url):
    accounts, days = SIZES[-1] if IS_FULL else (500, 14)
    slow = {
        figure.name: figure.value
        for figure, limit in measure_ticks(accounts, days, state_url).items()
        if figure.value > limit
    }
    assert slow == {}


@pytest.mark.skipif(not IS_FULL, reason="a web UI with 140,000 partitions is of `make distributed-full`")
def test_the_page_of_partitions_shows_all_days_within_its_limit(state_url):
    figures = list(measure_pages(*SIZES[-1], state_url))
    slow = {
        figure.name: figure.value for figure in figures if figure.limit and not figure.limit.is_met_by(figure.value)
    }
    assert slow == {}
