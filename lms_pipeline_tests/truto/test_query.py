"""How a query is written into a URL, as the server receives it."""

from datetime import UTC, date, datetime

import pytest

from lms_pipeline.truto.errors import PermanentError
from lms_pipeline.truto.query import CourseFilter, EmailFilter, ListQuery, ObjectQuery, QueryError, UserFilter
from lms_pipeline_tests.support.scripted_api import ReceivedRequest, ScriptedClient, page

ACCOUNT = ("integrated_account_id", "acme")


def sent(query: ListQuery) -> ReceivedRequest:
    with ScriptedClient(page()) as client:
        list(client.fetch_pages("course-enrollments", query))
    return client.received[0]


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        ({}, []),
        ({"limit": 250}, [("limit", "250")]),
        ({"user": UserFilter("7"), "course": CourseFilter("9")}, [("user[id]", "7"), ("course[id]", "9")]),
        (
            {"user": UserFilter("7", "Ann", (EmailFilter("a@example.org", is_primary=True, type="work"),))},
            [
                ("user[id]", "7"),
                ("user[name]", "Ann"),
                ("user[emails][][email]", "a@example.org"),
                ("user[emails][][is_primary]", "true"),
                ("user[emails][][type]", "work"),
            ],
        ),
        ({"course": CourseFilter("9", "Safety")}, [("course[id]", "9"), ("course[title]", "Safety")]),
        ({"response_format": "unified"}, []),
        ({"response_format": "raw"}, [("truto_response_format", "raw")]),
        ({"key_by": "id"}, [("truto_key_by", "id")]),
        ({"ignore_limit": True}, [("truto_ignore_limit", "true")]),
        ({"ignore_remote_data": True}, [("truto_ignore_remote_data", "true")]),
        (
            {"exclude_fields": ("urls", "score")},
            [("truto_exclude_fields[]", "urls"), ("truto_exclude_fields[]", "score")],
        ),
        (
            {"remote_query": {"branch": "A&B=c", "ä": {"b": ["é", 7, True]}}},
            [
                ("remote_query[branch]", "A&B=c"),
                ("remote_query[ä][b][]", "é"),
                ("remote_query[ä][b][]", "7"),
                ("remote_query[ä][b][]", "true"),
            ],
        ),
    ],
)
def test_each_parameter_is_sent_as_the_api_names_it(given, parameters):
    request = sent(ListQuery("acme", **given))
    assert request.path == "/unified/lms/course-enrollments"
    assert request.query == [ACCOUNT, *parameters]


@pytest.mark.parametrize(
    "hostile", ["a/b", "../x", "a b", "a+b", "100%", "%2F", "é", "学习", "a&limit=1", "a#b", "a?b", '"', "😀"]
)
def test_an_id_arrives_as_it_is_whatever_is_in_it(hostile):
    request = sent(ListQuery("acme", user=UserFilter(hostile), course=CourseFilter(f"c{hostile}")))
    assert request.query == [ACCOUNT, ("user[id]", hostile), ("course[id]", f"c{hostile}")]
    assert request.target.isascii()


def test_a_cursor_arrives_as_it_came():
    with ScriptedClient(page(cursor="a/+=& %é"), page()) as client:
        list(client.fetch_pages("users", ListQuery("acme", limit=5)))
    assert client.received[1].query == [ACCOUNT, ("limit", "5"), ("next_cursor", "a/+=& %é")]


def test_the_accounts_are_requested_with_a_limit_and_a_cursor_only():
    with ScriptedClient(page(cursor="1"), page()) as client:
        list(client.fetch_accounts(limit=5))
    assert [request.query for request in client.received] == [[("limit", "5")], [("limit", "5"), ("next_cursor", "1")]]


def test_an_id_that_no_url_can_hold_is_one_sentence():
    with ScriptedClient(page()) as client:
        with pytest.raises(PermanentError, match=r"^The request can't be written as a URL"):
            list(client.fetch_pages("course-enrollments", ListQuery("acme", user=UserFilter("\ud83d"))))
        assert client.received == []


def test_parameters_that_are_too_long_for_a_url_are_one_sentence():
    query = ListQuery("acme", remote_query={"filter": "x" * 65_000})
    with ScriptedClient(page()) as client:
        with pytest.raises(PermanentError, match=r"^The request can't be written as a URL"):
            list(client.fetch_pages("course-enrollments", query))
        assert client.received == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"limit": 0}, "A page of 0 records can't be requested"),
        ({"limit": True}, "A page of True records can't be requested"),
        ({"remote_query": {"a": float("nan")}}, "nan is no number"),
        ({"remote_query": {"a": b"x"}}, "of type bytes can't stand in a query"),
        ({"remote_query": {"a": [["x"]]}}, "A list in a list can't stand in a query"),
        ({"user": UserFilter("")}, "The enrollments of a user without an id"),
        ({"course": CourseFilter("")}, "The enrollments of a course without an id"),
        ({"key_by": ""}, "Records can't be keyed by a field without a name"),
        ({"exclude_fields": ("a,b",)}, "'a,b' can't be excluded"),
        ({"exclude_fields": ("",)}, "'' can't be excluded"),
        ({"response_format": "debug"}, "'debug' can't be requested: it is one of unified, raw, normalized"),
        ({"remote_query": {"a[b]": "c"}}, r"'a\[b\]' can't be the name of a parameter"),
        ({"remote_query": {"a": {"": "c"}}}, "'' can't be the name of a parameter"),
        ({"remote_query": {"a": object()}}, r"of type object can't stand in a query, as in remote_query\[a\]"),
    ],
)
def test_a_query_that_would_be_read_as_another_is_refused(given, says):
    with pytest.raises(QueryError, match=says):
        ListQuery("acme", **given)


def test_a_query_without_an_account_is_refused():
    with pytest.raises(QueryError, match="needs the id of an integrated account"):
        ObjectQuery("")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (date(2026, 3, 1), "2026-03-01"),
        (datetime(2026, 3, 1, 12, tzinfo=UTC), "2026-03-01T12:00:00+00:00"),
        (1.5, "1.5"),
        (False, "false"),
    ],
)
def test_values_for_the_provider_are_written_as_the_api_reads_them(value, text):
    assert sent(ListQuery("acme", remote_query={"a": value})).query == [ACCOUNT, ("remote_query[a]", text)]
