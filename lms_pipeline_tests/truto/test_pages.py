"""Lists, page by page, over a real socket."""

from datetime import UTC, datetime

import pytest

from lms_pipeline.sandbox import Clock, records_world, running
from lms_pipeline.truto import paging
from lms_pipeline.truto.accounts import IntegratedAccount
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError, TransientError
from lms_pipeline.truto.query import CourseFilter, ListQuery, UserFilter
from lms_pipeline.truto.waits import Patience
from lms_pipeline_tests.support.sandbox import build_line, write_lines
from lms_pipeline_tests.truto.scripted import TOKEN, Answer, asking, page, saying

ONCE = Patience(attempts=1, attempts_unavailable=1)
ALL = ListQuery("acme")


def told(pages):
    return [bytes(record).decode() for page in pages for record in page.records]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    lines = [
        build_line(f"e{number}", with_={"user": {"id": f"u{number}"}}, raw={"n": number})
        for number in range(5)
    ]
    lines.append(build_line("other", account_id="second"))
    path = write_lines(tmp_path_factory.mktemp("records") / "lines.ndjson", lines)
    with running(records_world([path]), clock=Clock(datetime(2026, 3, 1, tzinfo=UTC))) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox):
    with TrutoClient(sandbox.url, sandbox.token) as client:
        yield client


class TestSandbox:
    @pytest.mark.parametrize(("limit", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (None, [5])])
    def test_pages_come_until_no_cursor_is_named(self, client, limit, sizes):
        pages = list(client.pages("course-enrollments", ListQuery("acme", limit=limit)))
        assert [len(page.records) for page in pages] == sizes
        assert client.requests == len(sizes)

    def test_records_come_to_the_byte_with_what_the_provider_said(self, client):
        first, *_ = told(client.pages("course-enrollments", ListQuery("acme", limit=3)))
        assert first == (
            '{"id": "e0", "user": {"id": "u0"}, "course": {"id": "c1"}, "status": "enrolled",'
            '"remote_data":{"n": 0}}'
        )

    def test_what_the_provider_said_can_be_left_out(self, client):
        records = told(client.pages("course-enrollments", ListQuery("acme", ignore_remote_data=True)))
        assert len(records) == 5
        assert not any("remote_data" in record for record in records)

    def test_a_pair_is_asked_for(self, client):
        [record] = told(
            client.pages(
                "course-enrollments", ListQuery("acme", user=UserFilter("u3"), course=CourseFilter("c1"))
            )
        )
        assert '"id": "e3"' in record

    def test_users_and_courses_are_lists_too(self, client):
        assert told(client.pages("users", ListQuery("second"))) == ['{"id": "u1"}']
        assert told(client.pages("courses", ListQuery("second"))) == ['{"id": "c1"}']

    def test_the_integrated_accounts_are_listed(self, client):
        accounts = list(client.integrated_accounts())
        assert [(account.id, account.integration.category) for account in accounts] == [
            ("acme", "lms"),
            ("second", "lms"),
        ]


def test_an_empty_page_with_a_cursor_is_no_end():
    answers = [page("a", cursor="1"), page(cursor="2"), page(cursor="3"), page("b")]
    with saying(*answers) as server, asking(server.url) as client:
        assert told(client.pages("users", ALL)) == ['"a"', '"b"']
    assert [dict(asked.query).get("next_cursor") for asked in server.asked] == [None, "1", "2", "3"]


@pytest.mark.parametrize("end", [b'"next_cursor":null', b'"next_cursor":""', b'"prev_cursor":"x"'])
def test_a_null_an_empty_and_a_missing_cursor_are_the_end(end):
    with saying(Answer(b'{"result":[1],%b}' % end)) as server, asking(server.url) as client:
        assert told(client.pages("users", ALL)) == ["1"]


@pytest.mark.parametrize("cursors", [["a", "a"], ["a", "b", "a"]])
def test_a_cursor_that_repeats_is_an_error_and_no_endless_loop(cursors):
    with (
        saying(*(page(cursor=cursor) for cursor in cursors)) as server,
        asking(server.url) as client,
        pytest.raises(TransientError, match=r"^Truto repeats a page .*: try again later\.$"),
    ):
        list(client.pages("users", ALL))
    assert len(server.asked) == len(cursors)


def test_a_list_without_an_end_is_an_error(monkeypatch):
    monkeypatch.setattr(paging, "MOST_PAGES", 3)
    with (
        saying(*(page("a", cursor=str(number)) for number in range(3))) as server,
        asking(server.url) as client,
        pytest.raises(PermanentError, match="no end after 3 pages"),
    ):
        list(client.pages("users", ALL))


def test_empty_pages_without_an_end_are_an_error_sooner(monkeypatch):
    monkeypatch.setattr(paging, "MOST_EMPTY_PAGES", 2)
    with (
        saying(page("a", cursor="0"), *(page(cursor=str(number)) for number in range(1, 4))) as server,
        asking(server.url) as client,
        pytest.raises(PermanentError, match="no end after 3 empty pages"),
    ):
        list(client.pages("users", ALL))


def test_a_cursor_that_is_a_number_is_passed_on():
    with saying(Answer(b'{"result":[],"next_cursor":7}'), page("z")) as server, asking(server.url) as client:
        assert told(client.pages("users", ALL)) == ['"z"']
    assert dict(server.asked[1].query)["next_cursor"] == "7"


@pytest.mark.parametrize(
    "body",
    [b'{"results":["a","b"]}', b'{"result":{"x":"a","y":"b"}}', b'{"result":null,"results":["a","b"]}'],
)
def test_records_under_results_and_keyed_records_are_read(body):
    with saying(Answer(body)) as server, asking(server.url) as client:
        assert told(client.pages("users", ALL)) == ['"a"', '"b"']


@pytest.mark.parametrize(
    ("told", "is_partial"), [(b"2", False), (b"3", True), (b'"3"', False), (b"null", False)]
)
def test_records_that_were_lost_under_the_same_key_make_the_page_partial(told, is_partial):
    body = b'{"result":{"x":"a","y":"b"},"result_count":%b}' % told
    with saying(Answer(body)) as server, asking(server.url) as client:
        [one] = client.pages("users", ALL)
    assert one.is_partial is is_partial


def test_a_partial_answer_says_so_and_an_answer_tells_when_it_came():
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    answers = [page("a", cursor="1", is_partial_response=True), page("b")]
    with saying(*answers) as server, asking(server.url, now=lambda: now) as client:
        pages = list(client.pages("users", ALL))
    assert [(page.is_partial, page.received_at) for page in pages] == [(True, now), (False, now)]


def test_every_request_carries_the_token_and_asks_for_json():
    with saying(page()) as server, asking(server.url) as client:
        list(client.pages("users", ALL))
    assert server.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert server.asked[0].headers["accept"] == "application/json"


def test_a_part_of_the_accounts_is_not_taken_for_all_of_them():
    with (
        saying(page({"id": "one"}, is_partial_response=True)) as server,
        asking(server.url) as client,
        pytest.raises(TransientError, match=r"^A part of the accounts is missing"),
    ):
        list(client.integrated_accounts())


def test_an_account_is_there_whatever_else_is_told_of_it():
    told = {"id": "one", "integration": None, "status": 5, "tenant_id": ["x"], "is_sandbox": "no"}
    with saying(page(told)) as server, asking(server.url) as client:
        [account] = client.integrated_accounts()
    assert account == IntegratedAccount("one")


def test_a_cursor_that_no_url_can_hold_is_an_error():
    with (
        saying(page("a", cursor="x" * 8_001)) as server,
        asking(server.url, patience=ONCE) as client,
        pytest.raises(TransientError, match="has a cursor of over 8,000 characters"),
    ):
        list(client.pages("users", ALL))


def test_an_account_that_can_not_be_read_is_left_out_and_told_without_its_contents(caplog):
    accounts = [{"id": "one"}, {"id": 2, "tenant_id": "ann@example.org"}, {"id": "three", "more": 1}]
    with saying(page(*accounts)) as server, asking(server.url) as client:
        assert [account.id for account in client.integrated_accounts()] == ["one", "three"]
    [record] = [record for record in caplog.records if record.name.startswith("lms_pipeline")]
    assert "can't be read and is left out" in record.getMessage()
    assert "example.org" not in record.getMessage()
