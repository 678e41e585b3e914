"""The encodings of a query string."""

from urllib.parse import parse_qsl

import pytest

from lms_pipeline.sandbox.http import Parameters, parse_name


def parse(query: str) -> Parameters:
    return Parameters(parse_qsl(query, keep_blank_values=True))


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
def test_a_name_splits_at_balanced_brackets(key, name):
    assert parse_name(key) == name


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
def test_all_spellings_of_an_array_give_the_same_values(query):
    assert parse(query).get_list("f") == ["a", "b"]


def test_the_last_value_of_a_repeated_parameter_counts():
    assert parse("limit=5&limit=7").get("limit") == "7"


def test_a_missing_or_empty_parameter_is_empty():
    assert parse("next_cursor=").get("next_cursor") == ""
    assert parse("").get("next_cursor") == ""
    assert parse("").get_list("f") == []


def test_a_plus_is_a_space_and_percent_encoding_is_decoded_once():
    assert parse("user[id]=a+b%2Bc%2520").get("user", "id") == "a b+c%20"


def test_nested_parameters_keep_their_order_and_the_rest_of_their_names():
    query = "remote_query[b]=1&x=0&remote_query[a][c][]=2&remote_query[a][c][]=3&remote_query=no"
    assert parse(query).get_nested("remote_query") == [(("b",), "1"), (("a", "c", ""), "2"), (("a", "c", ""), "3")]
