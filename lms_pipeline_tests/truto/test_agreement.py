"""Client and sandbox against plain Python of the vendor's page, over random parameters in random encodings."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lms_pipeline.sandbox import Listing, Record, RunningSandbox, running
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.query import CourseFilter, ListQuery, UserFilter
from lms_pipeline.truto.request import build_list_request
from lms_pipeline_tests.support.api_page import Enrollment, Json, PageQuery, pages
from lms_pipeline_tests.support.sandbox import SWEEPING, SmallView, SmallWorld, build_record, open_client

PATH = "/unified/lms/course-enrollments"
USERS = ["u1", "7", "a/b c", "100%", "学习", "x&y=z", "[q]", "a,b", "+", "ünï"]
COURSES = ["c1", "c/2", "cours é"]
STATUSES = ["completed", "enrolled", None]
ROLES = ["learner", "instructor"]


def _enrollment(number: int) -> Enrollment:
    unified: Json = {
        "id": f"e{number}",
        "user": {"id": USERS[number % len(USERS)]},
        "course": {"id": COURSES[number % len(COURSES)], "title": "Tìtle"},
        "status": STATUSES[number % 3],
        "score": number % 4,
    }
    if number % 5 == 0:
        del unified["score"]
    remote = None if number % 11 == 0 else {"role": ROLES[number % 2], "n": number, "deep": {"a": [1]}}
    return Enrollment(unified, remote)


ENROLLMENTS = [_enrollment(number) for number in range(61)]


class _View(SmallView):
    def enrollments(self, user_id: str | None = None, course_id: str | None = None) -> Listing:
        return Listing.of(
            [
                _record(one)
                for one in ENROLLMENTS
                if user_id in {None, one.unified["user"]["id"]} and course_id in {None, one.unified["course"]["id"]}
            ]
        )


def _record(one: Enrollment) -> Record:
    return build_record(one.unified, one.remote)


class _World(SmallWorld):
    def __init__(self) -> None:
        super().__init__()
        self._view = _View(0)


queries = st.builds(
    PageQuery,
    user=st.none() | st.sampled_from([*USERS, "nobody"]),
    course=st.none() | st.sampled_from([*COURSES, "nothing"]),
    limit=st.none() | st.integers(1, 70) | st.sampled_from([500, 501, 10**30]),
    ignore_limit=st.booleans(),
    format=st.sampled_from(["unified", "unified", "unified", "raw", "normalized", "stream"]),
    key_by=st.none() | st.sampled_from(["id", "status", "score", "user", "absent"]),
    ignore_remote_data=st.booleans(),
    exclude=st.lists(
        st.sampled_from(["id", "user", "course", "status", "score", "remote_data", "absent"]), max_size=4
    ).map(tuple),
    remote_query=st.dictionaries(
        st.sampled_from(["role", "n", "deep", "unknown"]), st.sampled_from(["learner", "3", "x y"]), max_size=2
    ).filter(lambda query: "deep" not in query),
)


def write_query(query: PageQuery, cursor: str | None, draw: random.Random) -> str:
    """Return the query as some client might write it."""
    brackets = draw.choice([("[", "]"), ("%5B", "%5D"), ("%5b", "%5d")])

    def name(text: str) -> str:
        return text.replace("[", brackets[0]).replace("]", brackets[1])

    parameters = [("integrated_account_id", SWEEPING)]
    given = {
        "user[id]": query.user,
        "course[id]": query.course,
        "limit": None if query.limit is None else str(query.limit),
        "truto_key_by": query.key_by,
        "next_cursor": cursor,
    }
    parameters += [(key, value) for key, value in given.items() if value is not None]
    if cursor is None and draw.random() < 0.5:
        parameters.append(("next_cursor", ""))
    if query.format != "unified" or draw.random() < 0.5:
        parameters.append(("truto_response_format", query.format))
    for key, flag in [
        ("truto_ignore_limit", query.ignore_limit),
        ("truto_ignore_remote_data", query.ignore_remote_data),
    ]:
        if flag or draw.random() < 0.3:
            parameters.append((key, "true" if flag else "false"))
    parameters += _array("truto_exclude_fields", query.exclude, draw)
    parameters += [(f"remote_query[{key}]", value) for key, value in query.remote_query.items()]
    draw.shuffle(parameters)
    text = "&".join(f"{name(key)}={quote(value, safe=draw.choice(['', '/,']))}" for key, value in parameters)
    return text + draw.choice(["", "&"])


def _array(name: str, values: tuple[str, ...], draw: random.Random) -> list[tuple[str, str]]:
    match draw.choice(["empty", "numbered", "comma", "repeated"]):
        case "empty":
            return [(f"{name}[]", value) for value in values]
        case "numbered":
            return [(f"{name}[{place}]", value) for place, value in enumerate(values)]
        case "comma":
            return [(name, ",".join(values))] if values else []
        case _:
            return [(name, value) for value in values]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running(_World()) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def http(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    with open_client(sandbox) as client:
        yield client


@pytest.fixture(scope="module")
def client(sandbox: RunningSandbox) -> Iterator[TrutoClient]:
    with TrutoClient(sandbox.url, sandbox.token) as client:
        yield client


def fetch_from_sandbox(http: httpx.Client, query: PageQuery, draw: random.Random) -> list[Any]:
    """Return the sandbox's results, page by page, each page requested in another encoding."""
    results: list[Any] = []
    cursor = None
    while cursor is not None or not results:
        response = http.get(f"{PATH}?{write_query(query, cursor, draw)}")
        assert response.status_code == 200, response.text
        if query.format == "stream":
            return [list(map(json.loads, response.text.splitlines()))]
        page = response.json()
        results.append(page["result"])
        cursor = page["next_cursor"]
    return results


def read_bytes(body: bytes, _received_at: datetime) -> bytes:
    return body


def fetch_with_client(client: TrutoClient, page_query: PageQuery) -> list[Any]:
    """Return what the client reads: of a keyed page the records, of other formats the bodies."""
    query = ListQuery(
        SWEEPING,
        limit=page_query.limit,
        ignore_limit=page_query.ignore_limit,
        user=None if page_query.user is None else UserFilter(page_query.user),
        course=None if page_query.course is None else CourseFilter(page_query.course),
        response_format=page_query.format,  # type: ignore[arg-type] # one of the four
        key_by=page_query.key_by,
        ignore_remote_data=page_query.ignore_remote_data,
        exclude_fields=page_query.exclude,
        remote_query=page_query.remote_query,
    )
    if page_query.format == "stream":
        response = client.fetch(build_list_request("course-enrollments", query), read_bytes)
        assert response.headers["content-type"] == "application/x-ndjson"
        return [list(map(json.loads, response.value.decode().splitlines()))]
    if page_query.format == "normalized":
        results: list[Any] = []
        cursor = None
        while cursor is not None or not results:
            page = json.loads(client.fetch(build_list_request("course-enrollments", query, cursor), read_bytes).value)
            results.append(page["result"])
            cursor = page["next_cursor"]
        return results
    return [
        [json.loads(bytes(record)) for record in page.records]
        for page in client.fetch_pages("course-enrollments", query)
    ]


@given(query=queries, draw=st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_sandbox_answers_as_the_page_says_in_every_encoding(http, query, draw):
    assert fetch_from_sandbox(http, query, draw) == pages(ENROLLMENTS, query)


@given(query=queries)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_client_reads_what_the_page_says(client, query):
    expected = pages(ENROLLMENTS, query)
    keyed = query.key_by is not None and query.format == "unified"
    if keyed:
        expected = [list(result.values()) for result in expected]
    assert fetch_with_client(client, query) == expected
