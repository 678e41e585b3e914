"""Bodies that hold too much to be split into records, and large ones that are read piece by piece."""

import json
from datetime import UTC, datetime

import pytest

from lms_pipeline.truto import raw_json, response, transport
from lms_pipeline.truto.errors import PermanentError, TransientError, TrutoError, is_refused_token
from lms_pipeline.truto.models import read_accounts
from lms_pipeline.truto.query import CourseFilter, ListQuery, UserFilter
from lms_pipeline.truto.raw_json import TooManyItemsError, check_item_count
from lms_pipeline.truto.response import BadBodyError, check_utf8, read_raw_page
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.support.scripted_api import ScriptedClient, ScriptedResponse

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMIT = 10
MANY = b",".join([b"{}"] * (LIMIT + 1))
PAIR = ListQuery("acme", user=UserFilter("u1"), course=CourseFilter("c1"))


@pytest.fixture
def is_small(monkeypatch):
    monkeypatch.setattr(raw_json, "MAX_PAGE_ITEMS", LIMIT)


def has_too_many(body: bytes) -> bool:
    try:
        check_item_count(body)
    except TooManyItemsError:
        return True
    return False


FEW = json.dumps([',[{]}\\",' for _ in range(LIMIT)])
"""Strings that look like structure."""
DEEP = json.dumps({"a": {"b": list(range(100))}})


@pytest.mark.usefixtures("is_small")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"result":[%b]}' % b",".join([b"{}"] * LIMIT), False),
        (b'{"result":[%b]}' % MANY, True),
        (b'{"result":[%b]}' % MANY.replace(b"{}", b"null"), True),
        (b'{"result":[%b]}' % MANY.replace(b"{}", b"1"), True),
        (b'{"result":[%b]}' % MANY.replace(b"{}", b'{"a":[1,2]}'), True),
        (b'{"result":{%b}}' % MANY.replace(b"{}", b'"a":{}'), True),
        (b"{%b}" % MANY.replace(b"{}", b'"a":1'), True),
        (b"[%b]" % MANY, True),
        (b" [%b]" % MANY.replace(b"{}", b'"a"'), True),
        (f"[{DEEP}]".encode(), False),
        (f'{{"result":[{DEEP}]}}'.encode(), False),
        (f'{{"result":{FEW}}}'.encode(), False),
        (f"[{json.dumps(dict.fromkeys('abcdefghijklmnop', 1))}]".encode(), False),
        (b"," * 100, True),
        (b'"' + b"," * 100, False),
        (b"]" * 100, False),
    ],
)
def test_records_are_counted_without_reading_them(body, expected):
    assert has_too_many(body) is expected


def fail(call, body: bytes, status: int = 200) -> TrutoError:
    once = RetryPolicy(max_attempts=1, max_attempts_unavailable=1)
    with (
        ScriptedClient(ScriptedResponse(body, status), retry_policy=once) as client,
        pytest.raises(TrutoError) as caught,
    ):
        call(client)
    return caught.value


@pytest.mark.usefixtures("is_small")
@pytest.mark.parametrize(
    ("call", "label"),
    [
        (lambda client: list(client.fetch_pages("users", ListQuery("acme"))), "GET /unified/lms/users of account acme"),
        (
            lambda client: list(client.fetch_pages("users", ListQuery("acme", response_format="raw"))),
            "GET /unified/lms/users of account acme",
        ),
        (lambda client: client.fetch_pair(PAIR), "GET /unified/lms/course-enrollments of account acme"),
        (lambda client: client.fetch_account_list(), "GET /integrated-account"),
        (lambda client: client.fetch_capabilities("acme"), "GET /integrated-account/{id}/capabilities of account acme"),
    ],
)
def test_a_body_with_too_many_records_is_one_sentence_and_permanent(call, label):
    error = fail(call, b'{"result":[%b]}' % MANY)
    assert type(error) is PermanentError
    assert str(error) == f"The response has more than 500,000 records ({label}): lower the page size."


@pytest.mark.parametrize(("status", "kind"), [(401, PermanentError), (503, TransientError)])
def test_an_error_with_a_large_body_keeps_its_status(status, kind, monkeypatch):
    monkeypatch.setattr(transport, "MAX_ERROR_BYTES", 1_000)
    body = json.dumps({"message": "why", "more": "x" * 1_000}).encode()
    error = fail(lambda client: client.fetch_capabilities("acme"), body, status)
    assert (type(error), error.status, error.server_message) == (kind, status, "")


def test_a_401_with_a_large_body_is_no_refused_token(monkeypatch):
    """It may be that of one LMS; a refused token stops the pulls of all accounts."""
    monkeypatch.setattr(transport, "MAX_ERROR_BYTES", 1_000)
    error = fail(lambda client: client.fetch_capabilities("acme"), b'{"message":"%b"}' % (b"x" * 1_000), 401)
    assert not is_refused_token(error)
    assert str(error).startswith("Truto or the LMS behind it refused the request (")


def test_a_401_with_an_empty_body_is_a_refused_token():
    assert is_refused_token(fail(lambda client: client.fetch_capabilities("acme"), b"", 401))


@pytest.mark.parametrize(
    ("body", "is_text"),
    [
        ("a\u00e9\u20ac\U0001f44d".encode(), True),
        (b"", True),
        ("a\U0001f44d".encode()[:-1], False),
        (b"a\xff", False),
        (b"\xed\xa0\xbd", False),
        (b"\xc0\xaf", False),
        (b"\xf4\x90\x80\x80", False),
    ],
)
@pytest.mark.parametrize("small_bytes", [0, 1_000])
def test_a_body_that_is_no_utf8_is_refused(body, is_text, small_bytes, monkeypatch):
    monkeypatch.setattr(response, "_SMALL_BYTES", small_bytes)
    if is_text:
        check_utf8(body)
    else:
        with pytest.raises(BadBodyError, match=r"^is not UTF-8$"):
            check_utf8(body)


@pytest.mark.parametrize(("size", "has_record"), [(100, True), (101, False)])
def test_a_page_whose_only_record_is_too_large_has_none(size, has_record, monkeypatch):
    monkeypatch.setattr(response, "MAX_RECORD_BYTES", 100)
    body = b'["%b"]' % (b"x" * (size - 2))
    assert read_raw_page(body, NOON).has_record is has_record


def test_a_record_that_is_too_large_is_not_searched_for_a_failure(monkeypatch):
    monkeypatch.setattr(response, "MAX_RECORD_BYTES", 100)
    body = json.dumps({"result": [{"error": "down", "message": "x" * 100, "statusCode": 500}]}).encode()
    assert len(response.read_page(body, NOON).records) == 1


def test_long_texts_of_an_account_are_not_read():
    long = "x" * 1_001
    served = [{"id": long}, {"id": "a", "tenant_id": long, "integration": {"name": long, "category": long}}]
    page = response.read_page(json.dumps({"result": served}).encode(), NOON)
    (account,) = read_accounts(page.records)
    assert (account.id, account.tenant_id, account.integration.name, account.integration.category) == (
        "a",
        None,
        "",
        None,
    )
