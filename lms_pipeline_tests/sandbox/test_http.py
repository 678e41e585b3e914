"""The encodings of a query."""

import pytest

from lms_pipeline.sandbox.api.query import read_query
from lms_pipeline.sandbox.wire.parameters import Parameters, name_of


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("limit", ("limit",)),
        ("integration.name", ("integration.name",)),
        ("user[id]", ("user", "id")),
        ("a[b][c]", ("a", "b", "c")),
        ("a[]", ("a", "")),
        ("a[0]", ("a", "0")),
        ("a[][b]", ("a", "", "b")),
        ("a[b", ("a[b",)),
        ("a]b[", ("a]b[",)),
        ("a[b]c", ("a[b]c",)),
        ("a[[b]]", ("a[[b]]",)),
        ("[a]", ("[a]",)),
        ("", ("",)),
    ],
)
def test_a_name_is_what_stands_before_and_between_its_brackets(key, name):
    assert name_of(key) == name


@pytest.mark.parametrize(
    "query",
    [
        "f[]=a&f[]=b",
        "f%5B%5D=a&f%5b%5d=b",
        "f[0]=a&f[1]=b",
        "f%5B0%5D=a&f%5B1%5D=b",
        "f=a,b",
        "f=a%2Cb",
        "f=a&f=b",
        "f[]=a,b",
        "f[]=a&f=b&f[]=",
        "other=1&f=a&f[inner]=no&f[0][inner]=no&f=b",
    ],
)
def test_an_array_is_the_same_whichever_way_it_is_written(query):
    assert Parameters(query).items("f") == ["a", "b"]


def test_of_a_parameter_that_comes_twice_the_last_counts():
    assert Parameters("limit=5&limit=7").text("limit") == "7"


def test_a_parameter_that_is_missing_or_empty_is_empty():
    assert Parameters("next_cursor=").text("next_cursor") == ""
    assert Parameters("").text("next_cursor") == ""
    assert Parameters("").items("f") == []


def test_a_plus_is_a_space_and_percent_signs_are_undone_once():
    assert Parameters("user[id]=a+b%2Bc%2520").text("user", "id") == "a b+c%20"


def test_nested_parameters_keep_their_order_and_the_rest_of_their_names():
    query = "remote_query[b]=1&x=0&remote_query[a][c][]=2&remote_query[a][c][]=3&remote_query=no"
    assert Parameters(query).below("remote_query") == [
        (("b",), "1"),
        (("a", "c", ""), "2"),
        (("a", "c", ""), "3"),
    ]


def test_a_cursor_is_of_the_same_listing_in_whatever_order_the_provider_is_asked():
    one, other = (
        read_query(Parameters(asked)).filters
        for asked in ("remote_query[a]=1&remote_query[b]=2", "remote_query[b]=2&remote_query[a]=1")
    )
    assert one == other


def test_a_cursor_is_of_another_listing_where_a_list_is_in_another_order():
    one, other = (
        read_query(Parameters(asked)).filters
        for asked in ("remote_query[a][]=1&remote_query[a][]=2", "remote_query[a][]=2&remote_query[a][]=1")
    )
    assert one != other
