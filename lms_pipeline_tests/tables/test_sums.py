"""How rows add up: every number but percentiles and means, the oldest timestamp, and rates of sums."""

from datetime import UTC, datetime, timedelta

import pytest

from lms_pipeline.tables.measures import RATES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION
from lms_pipeline.tables.sums import add_up, divide_rate

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HAVE_NO_SUM = {"days_to_complete_p50", "days_to_complete_p90", "progress_mean"}


def add(*rows):
    return add_up(ACCOUNT_COMPLETION, lambda name: [row.get(name) for row in rows])


@pytest.mark.parametrize("column", ACCOUNT_COMPLETION.columns, ids=lambda column: column.name)
def test_every_column_of_an_account_has_a_sum_but_percentiles_and_means(column):
    if column.name in {rate.name for rate in RATES}:
        assert column.name in add()
    elif column.type == "timestamp":
        assert add({column.name: NOON}, {column.name: NOON - timedelta(days=1)})[column.name] == NOON - timedelta(
            days=1
        )
    else:
        assert add({column.name: 2}, {column.name: 3})[column.name] == (None if column.name in HAVE_NO_SUM else 5)


def test_an_unknown_value_adds_nothing():
    assert add({"n_due": None}, {"n_due": 3}, {})["n_due"] == 3


def test_a_sum_is_unknown_if_no_row_knows_it():
    assert add({"n_due": None}, {})["n_due"] is None


@pytest.mark.parametrize(
    ("counted", "of", "rate"), [(1, 4, 0.25), (0, 4, 0.0), (0, 0, None), (None, 4, None), (None, None, None)]
)
def test_a_rate_is_its_numerator_divided_by_its_denominator(counted, of, rate):
    assert divide_rate("on_time_rate", {"on_time_rate_num": counted, "on_time_rate_den": of}) == rate


@pytest.mark.parametrize(("passed", "failed", "rate"), [(0, 0, None), (None, None, None), (1, 0, 0.5), (0, 1, 0.5)])
def test_a_pass_rate_needs_a_pass_or_a_fail(passed, failed, rate):
    row = {"pass_rate_num": 1, "pass_rate_den": 2, "status_passed": passed, "status_failed": failed}
    assert divide_rate("pass_rate", row) == rate
