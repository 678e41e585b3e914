"""Lists, followed from page to page."""

from datetime import UTC, datetime

import pytest

from lms_pipeline.sandbox import Clock, records_world, running
from lms_pipeline.truto import list_bounds
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import ExpiredCursorError, PermanentError, TransientError
from lms_pipeline.truto.models import IntegratedAccount
from lms_pipeline.truto.query import CourseFilter, ListQuery, UserFilter
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.support.sandbox import build_line, write_lines
from lms_pipeline_tests.support.scripted_api import TOKEN, ScriptedClient, ScriptedResponse, page, refusal

ONCE = RetryPolicy(max_attempts=1, max_attempts_unavailable=1)
ALL = ListQuery("acme")


def texts(pages):
    return [bytes(record).decode() for page in pages for record in page.records]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    lines = [build_line(f"e{number}", with_={"user": {"id": f"u{number}"}}, raw={"n": number}) for number in range(5)]
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
    def test_pages_are_followed_until_one_has_no_cursor(self, client, limit, sizes):
        pages = list(client.fetch_pages("course-enrollments", ListQuery("acme", limit=limit)))
        assert [len(page.records) for page in pages] == sizes
        assert client.requests == len(sizes)

    def test_records_are_kept_to_the_byte_with_the_record_of_the_provider(self, client):
        first, *_ = texts(client.fetch_pages("course-enrollments", ListQuery("acme", limit=3)))
        assert first == (
            '{"id": "e0", "user": {"id": "u0"}, "course": {"id": "c1"}, "status": "enrolled","remote_data":{"n": 0}}'
        )

    def test_the_record_of_the_provider_can_be_left_out(self, client):
        records = texts(client.fetch_pages("course-enrollments", ListQuery("acme", ignore_remote_data=True)))
        assert len(records) == 5
        assert not any("remote_data" in record for record in records)

    def test_a_pair_is_requested(self, client):
        [record] = texts(
            client.fetch_pages(
                "course-enrollments", ListQuery("acme", user=UserFilter("u3"), course=CourseFilter("c1"))
            )
        )
        assert '"id": "e3"' in record

    def test_users_and_courses_are_lists_too(self, client):
        assert texts(client.fetch_pages("users", ListQuery("second"))) == ['{"id": "u1"}']
        assert texts(client.fetch_pages("courses", ListQuery("second"))) == ['{"id": "c1"}']

    def test_the_integrated_accounts_are_listed(self, client):
        accounts = list(client.fetch_accounts())
        assert [(account.id, account.integration.category) for account in accounts] == [
            ("acme", "lms"),
            ("second", "lms"),
        ]


def test_an_empty_page_with_a_cursor_is_not_the_end():
    responses = [page("a", cursor="1"), page(cursor="2"), page(cursor="3"), page("b")]
    with ScriptedClient(*responses) as client:
        assert texts(client.fetch_pages("users", ALL)) == ['"a"', '"b"']
    assert [dict(request.query).get("next_cursor") for request in client.received] == [None, "1", "2", "3"]


@pytest.mark.parametrize("end", [b'"next_cursor":null', b'"next_cursor":""', b'"prev_cursor":"x"'])
def test_a_null_an_empty_and_a_missing_cursor_are_the_end(end):
    with ScriptedClient(ScriptedResponse(b'{"result":[1],%b}' % end)) as client:
        assert texts(client.fetch_pages("users", ALL)) == ["1"]


@pytest.mark.parametrize("cursors", [["a", "a"], ["a", "b", "a"]])
def test_a_cursor_that_repeats_is_an_error_and_no_endless_loop(cursors):
    with (
        ScriptedClient(*(page(cursor=cursor) for cursor in cursors)) as client,
        pytest.raises(TransientError, match=r"^Truto repeats a page .*: try again later\.$"),
    ):
        list(client.fetch_pages("users", ALL))
    assert len(client.received) == len(cursors)


EXPIRED = pytest.mark.parametrize("status", [400, 404, 409, 410, 422])


@EXPIRED
def test_a_cursor_that_is_refused_is_one_sentence(status):
    responses = [page("a", cursor="1"), refusal(status, "the cursor is gone")]
    with ScriptedClient(*responses) as client, pytest.raises(ExpiredCursorError) as caught:
        list(client.fetch_pages("users", ALL))
    assert (caught.value.status, caught.value.server_message) == (status, "the cursor is gone")
    assert str(caught.value) == (
        "Truto refused the cursor to the next page and says 'the cursor is gone' (GET /unified/lms/users of account acme, "
        f"status {status}): run it again, and report it to Truto if it lasts."
    )


@EXPIRED
def test_a_cursor_that_the_provider_refuses_is_an_expired_one_too(status):
    responses = [page("a", cursor="1"), refusal(status, "", truto_is_remote_error=True)]
    with ScriptedClient(*responses) as client, pytest.raises(ExpiredCursorError) as caught:
        list(client.fetch_pages("course-enrollments", ListQuery("acme", response_format="raw")))
    assert str(caught.value).startswith("The LMS behind Truto refused the cursor to the next page (GET ")


@EXPIRED
def test_a_first_page_that_is_refused_has_no_cursor_to_expire(status):
    with ScriptedClient(refusal(status)) as client, pytest.raises(PermanentError) as caught:
        list(client.fetch_pages("users", ALL))
    assert type(caught.value) is PermanentError


class TestAccounts:
    """The list of integrated accounts, whose cursors may expire too."""

    ONE, TWO, THREE = {"id": "one"}, {"id": "two"}, {"id": "three"}

    @pytest.mark.parametrize(
        "broken",
        [*(refusal(status) for status in (400, 404, 409, 410, 422)), page(cursor="1")],
        ids=lambda one: one.status,
    )
    def test_are_read_once_more_after_a_broken_cursor_and_each_comes_once(self, broken):
        again = [page(self.ONE, cursor="3"), page(self.TWO, self.THREE)]
        with ScriptedClient(page(self.ONE, self.TWO, cursor="1"), broken, *again) as client:
            assert [account.id for account in client.fetch_account_list()[0]] == ["one", "two", "three"]
        assert [dict(request.query).get("next_cursor") for request in client.received] == [None, "1", None, "3"]

    @EXPIRED
    def test_are_an_error_after_a_second_broken_cursor(self, status):
        responses = [page(self.ONE, cursor="1"), refusal(status)] * 2
        with ScriptedClient(*responses) as client:
            with pytest.raises(ExpiredCursorError):
                client.fetch_account_list()
            assert len(client.received) == 4

    @EXPIRED
    def test_are_an_error_if_their_first_page_is_refused(self, status):
        with ScriptedClient(refusal(status)) as client:
            with pytest.raises(PermanentError):
                client.fetch_account_list()
            assert len(client.received) == 1


def test_a_list_without_an_end_is_an_error(monkeypatch):
    monkeypatch.setattr(list_bounds, "MAX_PAGES", 3)
    with (
        ScriptedClient(*(page("a", cursor=str(number)) for number in range(3))) as client,
        pytest.raises(PermanentError, match="no end after 3 pages"),
    ):
        list(client.fetch_pages("users", ALL))


def test_empty_pages_without_an_end_are_an_error_sooner(monkeypatch):
    monkeypatch.setattr(list_bounds, "MAX_EMPTY_PAGES", 2)
    with (
        ScriptedClient(page("a", cursor="0"), *(page(cursor=str(number)) for number in range(1, 4))) as client,
        pytest.raises(PermanentError, match="no end after 3 empty pages"),
    ):
        list(client.fetch_pages("users", ALL))


def test_a_cursor_that_is_a_number_is_passed_on():
    with ScriptedClient(ScriptedResponse(b'{"result":[],"next_cursor":7}'), page("z")) as client:
        assert texts(client.fetch_pages("users", ALL)) == ['"z"']
    assert dict(client.received[1].query)["next_cursor"] == "7"


@pytest.mark.parametrize(
    "body", [b'{"results":["a","b"]}', b'{"result":{"x":"a","y":"b"}}', b'{"result":null,"results":["a","b"]}']
)
def test_records_under_results_and_keyed_records_are_read(body):
    with ScriptedClient(ScriptedResponse(body)) as client:
        assert texts(client.fetch_pages("users", ALL)) == ['"a"', '"b"']


@pytest.mark.parametrize(
    ("count", "is_partial"),
    [(b"2", False), (b"3", True), (b'"2"', False), (b'"3"', True), (b'"three"', False), (b"null", False)],
)
def test_fewer_keyed_records_than_their_count_make_the_page_partial(count, is_partial):
    body = b'{"result":{"x":"a","y":"b"},"result_count":%b}' % count
    with ScriptedClient(ScriptedResponse(body)) as client:
        [one] = client.fetch_pages("users", ALL)
    assert one.is_partial is is_partial


@pytest.mark.parametrize(
    ("responses", "missing"),
    [
        ([page("a", "b", result_count=2)], [0]),
        ([page("a", "b", result_count=5)], [3]),
        ([page(result_count=2)], [2]),
        ([page("a", cursor="1", result_count=3), page("b", result_count=3)], [0, 1]),
        ([page("a", cursor="1", result_count=3), page("b")], [0, 1]),
        ([page("a", cursor="1", result_count=1), page("b", result_count=1)], [0, 0]),  # counts of single pages
        ([page("a", cursor="1", result_count=4), page("b", result_count=3)], [0, 2]),
        ([page("a", cursor="1"), page("b", result_count="12")], [0, 10]),
        *(([page("a", result_count=count)], [0]) for count in (0, -1, None, "", "-5", "x", "²", "9" * 19, 2.5)),
    ],
)
def test_the_last_page_says_how_many_records_are_missing_of_the_announced_ones(responses, missing):
    with ScriptedClient(*responses) as client:
        assert [one.missing for one in client.fetch_pages("users", ALL)] == missing


def test_a_page_says_whether_it_is_partial_and_when_it_came():
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    responses = [page("a", cursor="1", is_partial_response=True), page("b")]
    with ScriptedClient(*responses, now=lambda: now) as client:
        pages = list(client.fetch_pages("users", ALL))
    assert [(page.is_partial, page.received_at) for page in pages] == [(True, now), (False, now)]


def test_every_request_carries_the_token_and_accepts_json():
    with ScriptedClient(page()) as client:
        list(client.fetch_pages("users", ALL))
    assert client.received[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert client.received[0].headers["accept"] == "application/json"


def test_a_part_of_the_accounts_is_an_error():
    with (
        ScriptedClient(page({"id": "one"}, is_partial_response=True)) as client,
        pytest.raises(TransientError, match=r"^A part of the accounts is missing"),
    ):
        list(client.fetch_accounts())


def test_all_accounts_come_with_the_number_that_the_list_announced_beyond_them():
    with ScriptedClient(page({"id": "one"}, cursor="1", result_count=4), page({"id": 2}, {"id": "three"})) as client:
        assert client.fetch_account_list() == ([IntegratedAccount("one"), IntegratedAccount("three")], 3, 1)


def test_an_account_with_unreadable_fields_is_still_listed():
    account = {"id": "one", "integration": None, "status": 5, "tenant_id": ["x"], "is_sandbox": "no"}
    with ScriptedClient(page(account)) as client:
        [read] = client.fetch_accounts()
    assert read == IntegratedAccount("one")


def test_a_cursor_that_no_url_can_hold_is_an_error():
    with (
        ScriptedClient(page("a", cursor="x" * 8_001), retry_policy=ONCE) as client,
        pytest.raises(TransientError, match="has a cursor of over 8,000 characters"),
    ):
        list(client.fetch_pages("users", ALL))


def test_an_account_that_can_not_be_read_is_skipped_and_logged_without_its_contents(caplog):
    accounts = [{"id": "one"}, {"id": 2, "tenant_id": "ann@example.org"}, {"id": "three", "more": 1}]
    with ScriptedClient(page(*accounts)) as client:
        assert [account.id for account in client.fetch_accounts()] == ["one", "three"]
    [record] = [record for record in caplog.records if record.name.startswith("lms_pipeline")]
    assert "can't be read and is left out" in record.getMessage()
    assert "example.org" not in record.getMessage()
