"""The words of the report, and its formats of numbers."""

from datetime import UTC, date, datetime

import pytest

from lms_pipeline.report import words
from lms_pipeline.tables.attention import REASONS
from lms_pipeline.tables.measures import ENROLLMENT_SETS, RATES


def test_every_rate_has_words():
    assert list(words.RATE_WORDS) == [rate.name for rate in RATES]


def test_every_reason_has_words_in_the_same_order():
    assert list(words.REASON_WORDS) == list(REASONS)


def test_the_parts_of_due_are_sets():
    assert {name.removeprefix("n_") for name in words.DUE_PARTS} <= {one.name for one in ENROLLMENT_SETS}


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.6234, "62.3%"), (0, "0%"), (1, "100%"), (0.9999, ">99.9%"), (0.0001, "<0.1%"), (None, "\N{EN DASH}")],
)
def test_a_share_is_never_rounded_to_nobody_or_everybody(share, text):
    assert words.format_percent(share) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.67, "67%"), (0.99, "99%"), (0.995, ">99%"), (1, "100%"), (0, "0%"), (0.005, "<1%"), (0.01, "1%")],
)
def test_a_whole_percent_has_no_decimals(share, text):
    assert words.format_percent(share, is_whole=True) == text


@pytest.mark.parametrize(
    ("change", "text", "sentence"),
    [
        (0.012, "+1.2", "1.2 percentage points more than"),
        (-0.004, "\N{MINUS SIGN}0.4", "0.4 percentage points less than"),
        (0.0001, "\N{PLUS-MINUS SIGN}0.0", "the same as"),
    ],
)
def test_a_change_has_its_sign(change, text, sentence):
    assert (words.format_points(change), words.describe_change(change)) == (text, sentence)


def test_dates_do_not_depend_on_the_locale():
    assert words.format_day(date(2026, 3, 1)) == "1 March 2026"
    assert words.format_month(date(2026, 9, 1)) == "Sep 2026"
    assert words.format_instant(datetime(2026, 3, 1, 4, 5, tzinfo=UTC)) == "1 March 2026, 04:05"
