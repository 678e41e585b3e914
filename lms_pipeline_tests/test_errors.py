"""Numbers in sentences have the form of their noun."""

from datetime import UTC, date, datetime

import pytest

from lms_pipeline.checks.fleet import PartitionKeyCount
from lms_pipeline.errors import choose_form, format_count
from lms_pipeline.housekeeping.policy import ExpiredItem, Kind, format_totals
from lms_pipeline.lake.waiting import WaitingPull


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 accounts"), (1, "1 account"), (2, "2 accounts"), (1_200, "1,200 accounts")]
)
def test_only_one_is_singular(number, text):
    assert format_count(number, "account") == text


def test_a_verb_follows_its_number():
    assert [choose_form(number, "waits", "wait") for number in (0, 1, 2)] == ["wait", "waits", "wait"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (PartitionKeyCount(1, 1), "1 account x 1 day is 1 partition key; Dagster advises 100,000 at most."),
        (PartitionKeyCount(1, 365), "1 account x 365 days are 365 partition keys; Dagster advises 100,000 at most."),
        (PartitionKeyCount(0, 9), "0 accounts x 9 days are 0 partition keys; Dagster advises 100,000 at most."),
    ],
)
def test_partition_keys_are_counted_in_words(count, text):
    assert str(count) == text


@pytest.mark.parametrize(
    ("kind", "one", "two"),
    [
        ("answers", "1 answer", "2 answers"),
        ("folders of pulls", "1 folder of pulls", "2 folders of pulls"),
        ("rejected payloads", "1 rejected payload", "2 rejected payloads"),
    ],
)
def test_removed_items_are_counted_in_words(tmp_path, kind: Kind, one, two):
    item = ExpiredItem(kind, tmp_path, 5)
    assert (format_totals([item]), format_totals([item, item])) == (f"{one} (5 B)", f"{two} (10 B)")


@pytest.mark.parametrize(("responses", "end"), [(0, "0 responses are kept."), (1, "1 response is kept.")])
def test_a_waiting_pull_counts_its_responses_in_words(responses, end):
    noon = datetime(2026, 3, 11, 12, tzinfo=UTC)
    pull = WaitingPull(
        account_id="acme", day=date(2026, 3, 10), run_id="r", since=noon, at=noon, subject="The LMS", spent_seconds=0,
        responses=responses,
    )  # fmt: skip
    assert pull.describe(UTC).endswith(end)
