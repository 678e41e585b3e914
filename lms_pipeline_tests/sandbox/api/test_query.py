"""Query parameters, and the filters for which a cursor is valid."""

from urllib.parse import parse_qsl

from lms_pipeline.sandbox.api.query import Query, read_query
from lms_pipeline.sandbox.http import Parameters


def read(query: str) -> Query:
    return read_query(Parameters(parse_qsl(query)))


def test_the_order_of_different_provider_filters_does_not_change_the_list():
    one = read("remote_query[a]=1&remote_query[b]=2")
    other = read("remote_query[b]=2&remote_query[a]=1")
    assert one.filters == other.filters


def test_the_order_of_values_of_one_provider_filter_changes_the_list():
    one = read("remote_query[a][]=1&remote_query[a][]=2")
    other = read("remote_query[a][]=2&remote_query[a][]=1")
    assert one.filters != other.filters
