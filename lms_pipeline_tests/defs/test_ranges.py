"""Which accounts and days a range of partition keys has, and which ranges some accounts make."""

from datetime import date

import pytest

from lms_pipeline.defs.partitions import BadPartitionError
from lms_pipeline.defs.ranges import AccountOrder, build_range_tags, is_range
from lms_pipeline.lake.paths import Partition

DAY, NEXT = date(2026, 3, 10), date(2026, 3, 11)
START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
ORDER = AccountOrder(["d", "a", "c", "a b", "b"])
"""The order in which the accounts were added, with a key that a person added."""


def build_tags(first, last):
    return {START: first, END: last}


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("d|2026-03-10", "c|2026-03-10", [("d", DAY), ("a", DAY), ("c", DAY)]),
        ("a|2026-03-10", "a|2026-03-11", [("a", DAY), ("a", NEXT)]),
        ("d|2026-03-10", "a|2026-03-11", [("d", DAY), ("d", NEXT), ("a", DAY), ("a", NEXT)]),
        ("c|2026-03-10", "b|2026-03-10", [("c", DAY), ("b", DAY)]),
    ],
)
def test_a_range_has_each_account_between_its_ends_on_each_day(first, last, expected):
    tags = build_tags(first, last)
    assert is_range(tags)
    assert ORDER.expand(tags) == [Partition(*one) for one in expected]
    assert ORDER.list_partitions(tags) == ORDER.expand(tags)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("c|2026-03-10", "d|2026-03-10"),
        ("d|2026-03-11", "c|2026-03-10"),
        ("nobody|2026-03-10", "c|2026-03-10"),
        ("d|2026-03-10", "nobody|2026-03-10"),
        ("d|2026-03-10", "a b|2026-03-10"),
        ("d|yesterday", "c|2026-03-10"),
        ("d", "c"),
        ("", "c|2026-03-10"),
    ],
)
def test_a_range_that_is_none_of_accounts_and_days_is_refused_with_one_sentence(first, last):
    with pytest.raises(BadPartitionError, match=r"^[^\n]{20,300}\.$"):
        ORDER.expand(build_tags(first, last))
    assert ORDER.list_partitions(build_tags(first, last)) == []


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"dagster/partition": "a|2026-03-10"},
        build_tags("a|2026-03-10", "a|2026-03-10"),
        {START: "a|2026-03-10"},
        {**build_tags("a|2026-03-10", "b|2026-03-10"), "dagster/partition/account": "a"},
    ],
)
def test_the_tags_of_one_partition_are_no_range(tags):
    assert not is_range(tags)


def test_the_partition_of_a_run_of_one_is_listed():
    assert ORDER.list_partitions({"dagster/partition": "zed|2026-03-10"}) == [Partition("zed", DAY)]
    assert ORDER.list_partitions({"dagster/partition": "no partition"}) == []


def group(accounts, size):
    order = AccountOrder("abcdefgh")
    found = order.group_neighbors({Partition(one, day): reason for one, day, reason in accounts}, size)
    return [[(one.account_id, one.day) for one in partitions] for partitions in found]


@pytest.mark.parametrize(
    ("accounts", "size", "expected"),
    [
        ("", 3, []),
        ("a", 3, ["a"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("hgfedcba", 8, ["abcdefgh"]),
        ("abdefh", 3, ["ab", "def", "h"]),
        ("aceg", 25, ["a", "c", "e", "g"]),
        ("abc", 1, ["a", "b", "c"]),
    ],
)
def test_neighbors_share_a_group(accounts, size, expected):
    found = group([(one, DAY, "tick") for one in accounts], size)
    assert found == [[(one, DAY) for one in together] for together in expected]


def test_a_group_has_one_day_and_one_reason():
    accounts = [("a", DAY, "x"), ("b", DAY, "x"), ("c", DAY, "y"), ("d", NEXT, "y")]
    assert group(accounts, 25) == [[("a", DAY), ("b", DAY)], [("c", DAY)], [("d", NEXT)]]


@pytest.mark.parametrize("size", range(1, 9))
def test_the_range_of_each_group_has_its_accounts_and_no_other(size):
    order = AccountOrder("abcdefgh")
    accounts = {Partition(one, DAY): "tick" for one in "abcefh"}
    for partitions in order.group_neighbors(accounts, size):
        if len(partitions) > 1:
            assert order.expand(build_range_tags(partitions[0], partitions[-1])) == partitions
