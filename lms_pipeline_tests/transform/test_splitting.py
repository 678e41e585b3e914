"""Responses that are joined and cut into parts by their bytes: no record is lost, moved or given to another response."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.transform.responses import ResponseRecords, split_responses
from lms_pipeline.truto.response import Page
from lms_pipeline_tests.support.served_records import NOON

SIZES = st.lists(st.lists(st.integers(2, 60), max_size=6), max_size=6)


def build_responses(sizes):
    """Return a response for each list of sizes, about a pair of its own, with records of these sizes."""
    return [
        ResponseRecords([msgspec.Raw(b"1" * size) for size in some], NOON, (f"u{number}", "c1"))
        for number, some in enumerate(sizes)
    ]


def list_sizes(parts):
    """Return the sizes of the records of each part."""
    return [[len(record) for _, record in list_records([part])] for part in parts]


def list_records(parts):
    return [(one.pair, bytes(record)) for part in parts for one in part for record in one.records]


@given(SIZES, st.integers(1, 100))
def test_parts_hold_all_records_in_order_with_their_pair(sizes, limit):
    responses = build_responses(sizes)
    assert list_records(split_responses(responses, limit)) == list_records([responses])


@given(SIZES, st.integers(1, 100))
def test_a_part_is_larger_than_the_limit_only_for_one_record(sizes, limit):
    for part in split_responses(build_responses(sizes), limit):
        found = [len(record) for _, record in list_records([part])]
        assert sum(found) <= limit or len(found) == 1


@given(SIZES, st.lists(st.booleans(), min_size=6, max_size=6), st.integers(1, 100))
def test_a_response_with_a_raw_one_stays_whole(sizes, has_raw, limit):
    raw = Page([msgspec.Raw(b"123")], None, is_partial=False, received_at=NOON)
    responses = [
        replace(response, raw=raw if has_one else None)
        for response, has_one in zip(build_responses(sizes), has_raw, strict=False)
    ]
    parts = list(split_responses(responses, limit))
    assert list_records(parts) == list_records([responses])
    with_raw = [one for part in parts for one in part if one.raw is not None]
    assert with_raw == [one for one in responses if one.raw is not None]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(120, [[30] * 4]), (119, [[30, 30], [30, 30]]), (60, [[30, 30], [30, 30]]), (59, [[30]] * 4), (1, [[30]] * 4)],
)
def test_a_page_above_the_limit_is_cut_in_halves(limit, expected):
    assert list_sizes(split_responses(build_responses([[30] * 4]), limit)) == expected


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([[30], [30], [30]], [[30, 30], [30]]),
        ([[50], [50], [1]], [[50, 50], [1]]),
        ([[60], [30]], [[60], [30]]),
        ([[30], [80]], [[30], [80]]),
        ([[30], [], [30]], [[30, 30]]),
        ([[30], [60, 60], [30], [30]], [[30], [60], [60], [30, 30]]),
    ],
)
def test_small_pages_are_joined_until_they_have_half_of_the_limit(sizes, expected):
    assert list_sizes(split_responses(build_responses(sizes), 100)) == expected
