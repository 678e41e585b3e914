"""How a query is written into a URL, seen from the server's side of the socket."""

import pytest

from lms_pipeline.truto.query import CourseFilter, ListQuery, UserFilter
from lms_pipeline_tests.truto.scripted import asking, page, saying

ACCOUNT = ("integrated_account_id", "acme")


def asked(query: ListQuery):
    with saying(page()) as server, asking(server.url) as client:
        list(client.pages("course-enrollments", query))
    return server.asked[0]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, []),
        ({"limit": 250}, [("limit", "250")]),
        ({"user": UserFilter("7"), "course": CourseFilter("9")}, [("user[id]", "7"), ("course[id]", "9")]),
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
def test_each_parameter_is_sent_as_the_api_names_it(given, sent):
    request = asked(ListQuery("acme", **given))
    assert request.path == "/unified/lms/course-enrollments"
    assert request.query == [ACCOUNT, *sent]


@pytest.mark.parametrize(
    "hostile", ["a/b", "../x", "a b", "a+b", "100%", "%2F", "é", "学习", "a&limit=1", "a#b", "a?b", '"', "😀"]
)
def test_an_id_arrives_as_it_is_whatever_is_in_it(hostile):
    request = asked(ListQuery("acme", user=UserFilter(hostile), course=CourseFilter(f"c{hostile}")))
    assert request.query == [ACCOUNT, ("user[id]", hostile), ("course[id]", f"c{hostile}")]
    assert request.target.isascii()


def test_a_cursor_arrives_as_it_came():
    with saying(page(cursor="a/+=& %é"), page()) as server, asking(server.url) as client:
        list(client.pages("users", ListQuery("acme", limit=5)))
    assert server.asked[1].query == [ACCOUNT, ("limit", "5"), ("next_cursor", "a/+=& %é")]
