"""The row of all accounts: sums of counts, quotients of sums, and the accounts that are missing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from lms_pipeline.accounts.registry import RegisteredAccount
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.metrics.portfolio import NoAccountMetricsError, is_active_on, publish_portfolio
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION
from lms_pipeline_tests.support.damages import damage_pages
from lms_pipeline_tests.support.lake_files import FIRST, NOON, SECOND, publish


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


def publish_account(data, account_id, *, day=FIRST, **figures):
    return publish(data, account_id, day, figures, table=ACCOUNT_COMPLETION).path


def registered(account_id, *, first=FIRST, last=None, status="active"):
    return RegisteredAccount(id=account_id, name=account_id, first_day=first, last_day=last, status=status)


def publish_row(data, *accounts, day=FIRST) -> dict[str, Any]:
    published = publish_portfolio(data, day, accounts, run_id="run-9", origin="")
    rows: list[dict[str, Any]] = pq.ParquetFile(published.path).read().to_pylist()
    [row] = rows
    return row


def test_counts_are_summed_and_rates_are_quotients_of_sums(data):
    rate = {"completion_rate_num": 1, "completion_rate_den": 2, "completion_rate": 0.5}
    publish_account(data, "large", learners=3, n_all=8, completion_rate_num=8, completion_rate_den=8, completion_rate=1)
    publish_account(data, "small", learners=2, n_all=2, **rate)
    row = publish_row(data)
    assert (row["accounts"], row["learners"], row["n_all"]) == (2, 5, 10)
    assert (row["completion_rate_num"], row["completion_rate_den"], row["completion_rate"]) == (9, 10, 0.9)


def test_what_an_account_does_not_know_adds_nothing(data):
    publish_account(data, "without", n_all=4, n_due=None, on_time_rate_num=None, on_time_rate_den=None)
    publish_account(data, "with", n_all=4, n_due=3, on_time_rate_num=1, on_time_rate_den=3)
    row = publish_row(data)
    assert (row["n_due"], row["on_time_rate"]) == (3, 1 / 3)


def test_what_no_account_knows_is_null(data):
    publish_account(data, "one")
    publish_account(data, "two")
    row = publish_row(data)
    assert (row["n_due"], row["on_time_rate_den"], row["on_time_rate"], row["time_spent_hours"]) == (None,) * 4


def test_a_rate_without_a_denominator_is_null(data):
    publish_account(data, "one", on_time_rate_num=0, on_time_rate_den=0)
    row = publish_row(data)
    assert (row["on_time_rate_den"], row["on_time_rate"]) == (0, None)


@pytest.mark.parametrize(("failed", "rate"), [(0, None), (1, 0.75)])
def test_without_a_sign_of_an_assessment_there_is_no_pass_rate(data, failed, rate):
    publish_account(data, "one", status_passed=0, status_failed=0, pass_rate_num=2, pass_rate_den=2)
    publish_account(data, "two", status_passed=0, status_failed=failed, pass_rate_num=1, pass_rate_den=2)
    row = publish_row(data)
    assert (row["pass_rate_num"], row["pass_rate_den"], row["pass_rate"]) == (3, 4, rate)


def test_percentiles_and_means_are_null(data):
    publish_account(data, "one", days_to_complete_p50=3, days_to_complete_p90=5, days_to_complete_n=9, progress_mean=50)
    row = publish_row(data)
    assert row["days_to_complete_n"] == 9
    assert [row[name] for name in ("days_to_complete_p50", "days_to_complete_p90", "progress_mean")] == [None] * 3


def test_hours_are_summed_and_the_oldest_response_is_the_first(data):
    publish_account(data, "one", time_spent_hours=0.5, oldest_fetched_at=NOON)
    publish_account(data, "two", time_spent_hours=1.25, oldest_fetched_at=NOON - timedelta(days=3))
    row = publish_row(data)
    assert (row["time_spent_hours"], row["oldest_fetched_at"]) == (1.75, datetime(2026, 2, 27, 12, tzinfo=UTC))


def test_only_the_rows_of_the_day_are_added(data):
    publish_account(data, "one", n_all=4)
    publish_account(data, "two", n_all=5, day=SECOND)
    assert publish_row(data)["n_all"] == 4
    assert publish_row(data, day=SECOND)["n_all"] == 5


def test_active_accounts_without_metrics_of_the_day_are_missing(data):
    publish_account(data, "here", n_all=4)
    row = publish_row(data, registered("here"), registered("late", first=SECOND), registered("missing"))
    assert (row["accounts"], row["accounts_missing"]) == (1, 1)


@pytest.mark.parametrize(
    ("account", "is_active"),
    [
        (registered("a", first=SECOND), True),
        (registered("a", first=date(2026, 3, 3)), False),
        (registered("a", last=SECOND, status="inactive"), True),
        (registered("a", last=SECOND, status="gone"), True),
        (registered("a", last=FIRST, status="gone"), False),
        (registered("a", status="needs_reauth"), True),
    ],
    ids=["from its first day", "before it", "on its last day", "gone after it", "after it", "refused now"],
)
def test_an_account_is_active_from_its_first_to_its_last_day(account, is_active):
    assert is_active_on(account, SECOND) is is_active


def test_accounts_that_are_no_longer_registered_are_added(data):
    publish_account(data, "removed", n_all=4)
    assert publish_row(data)["n_all"] == 4


def test_the_file_lies_in_the_folder_of_the_day(data):
    publish_account(data, "one")
    published = publish_portfolio(data, FIRST, [], run_id="run-9", origin="files")
    assert published.path.relative_to(data.lake).parts == (
        "portfolio_completion",
        "snapshot_date=2026-03-01",
        "data.parquet",
    )
    metadata = read_metadata(published.path)
    assert (metadata["run_id"], metadata["origin"]) == ("run-9", "files")


def test_a_column_that_an_older_file_lacks_adds_nothing(data):
    path = publish_account(data, "old", n_all=4, n_due_by_rule=1)
    older = pq.ParquetFile(path).read().drop_columns("n_due_by_rule").replace_schema_metadata(None)
    pq.write_table(older, path)
    publish_account(data, "new", n_all=4, n_due_by_rule=2)
    row = publish_row(data)
    assert (row["n_all"], row["n_due_by_rule"]) == (8, 2)


def test_a_day_without_metrics_is_one_sentence(data):
    with pytest.raises(NoAccountMetricsError) as caught:
        publish_row(data)
    assert str(caught.value) == (
        "No account has metrics of 2026-03-01: materialize account_completion of an account and that day first."
    )


def test_a_damaged_account_is_missing_and_does_not_stop_the_others(data, caplog):
    publish_account(data, "acme", n_all=4)
    damage_pages(publish_account(data, "beta", n_all=50))
    row = publish_row(data, registered("acme"), registered("beta"))
    assert (row["n_all"], row["accounts"], row["accounts_missing"]) == (4, 1, 1)
    assert "The portfolio leaves the account out." in caplog.text


def test_a_day_of_damaged_accounts_is_a_day_without_metrics(data):
    damage_pages(publish_account(data, "one", n_all=4))
    with pytest.raises(NoAccountMetricsError):
        publish_row(data)


def test_damaged_pages_of_a_file_without_a_checksum_do_not_stop_the_others(data, caplog):
    publish_account(data, "acme", n_all=4)
    older = publish_account(data, "beta", n_all=50)
    pq.write_table(pq.ParquetFile(older).read().replace_schema_metadata(None), older)
    damage_pages(older)
    row = publish_row(data, registered("acme"), registered("beta"))
    assert (row["n_all"], row["accounts"], row["accounts_missing"]) == (4, 1, 1)
    assert "The portfolio leaves the account out." in caplog.text
