"""Lists without an end: how the client notices them, and which lists it must not take for one."""

from contextlib import nullcontext
from itertools import count

import pytest

from lms_pipeline.truto import list_bounds, response
from lms_pipeline.truto.list_bounds import EndlessListError, RepeatedPageError
from lms_pipeline.truto.query import ListQuery
from lms_pipeline_tests.support.scripted_api import ScriptedClient, page

ALL = ListQuery("acme")


@pytest.fixture(autouse=True)
def low_bounds(monkeypatch):
    """Three repeated pages in a row are a circle, and the announced length counts from 10 records on."""
    monkeypatch.setattr(list_bounds, "MAX_REPEATED_PAGES", 3)
    monkeypatch.setattr(list_bounds, "MIN_UNANNOUNCED_RECORDS", 10)


def read(contents, query=ALL, **options):
    """Read a list of pages with new cursors, each given as its records; return the number of requests."""
    cursors = [str(number) for number in range(len(contents) - 1)] + [None]
    pages = [page(*records, cursor=cursor, **options) for records, cursor in zip(contents, cursors, strict=True)]
    with ScriptedClient(*pages) as client:
        list(client.fetch_pages("users", query))
        return len(client.received)


def read_endless(make_page, query=ALL, **options):
    """Read a list that has a page for every number, and return the error and the number of requests."""
    pages = [make_page(number) for number in range(1_000)]
    with ScriptedClient(*pages) as client:
        with pytest.raises((EndlessListError, RepeatedPageError)) as caught:
            list(client.fetch_pages("users", query, **options))
        return str(caught.value), len(client.received)


class TestRecords:
    def test_beyond_the_bound_with_a_next_page_are_an_error(self):
        error, requests = read_endless(lambda n: page(2 * n, 2 * n + 1, cursor=str(n)), max_records=5)
        assert requests == 3
        assert error == (
            "The list has no end after 6 records (GET /unified/lms/users of account acme): report it to Truto, or raise "
            "max_records for the account if it is that large."
        )

    def test_at_the_bound_may_go_on(self):
        with ScriptedClient(page(1, 2, cursor="a"), page(3)) as client:
            assert len(list(client.fetch_pages("users", ALL, max_records=2))) == 2

    def test_beyond_the_bound_on_the_last_page_are_no_error(self):
        with ScriptedClient(page(1, 2, cursor="a"), page(3)) as client:
            assert len(list(client.fetch_pages("users", ALL, max_records=2))) == 2

    def test_of_the_list_of_accounts_have_a_bound_too(self, monkeypatch):
        monkeypatch.setattr("lms_pipeline.truto.client.MAX_ACCOUNTS", 3)
        pages = [page({"id": f"a{number}"}, cursor=str(number)) for number in range(9)]
        with ScriptedClient(*pages) as client:
            with pytest.raises(EndlessListError, match="no end after 4 records"):
                client.fetch_account_list()
            assert len(client.received) == 4


def build(*names):
    return [{"id": name, "user": {"id": "u1"}} for name in names]


class TestRepeatedPages:
    """Pages that came before, under cursors that did not."""

    @pytest.mark.parametrize(("circle", "requests"), [(1, 4), (2, 5), (5, 8)])
    def test_in_a_circle_of_any_length_are_an_error(self, circle, requests):
        def make_page(number):
            return page(*build(f"a{number % circle}", f"b{number % circle}"), cursor=str(number))

        assert read_endless(make_page) == (
            "Truto repeats 3 pages under new cursors (GET /unified/lms/users of account acme): try again later.",
            requests,
        )

    @pytest.mark.parametrize("compared", [2, 3, 16])
    def test_of_many_records_are_compared_at_some_places_with_the_first_and_the_last(self, compared, monkeypatch):
        monkeypatch.setattr(list_bounds, "MAX_COMPARED_RECORDS", compared)
        names = [f"a{number}" for number in range(100)]

        def change(place):
            return [build(*names[:place], f"new{number}", *names[place + 1 :]) for number in range(9)]

        assert [read(change(place)) for place in (0, 99)] == [9, 9]
        with pytest.raises(RepeatedPageError):
            read(change(98))

    def test_of_another_length_do_not_count(self):
        assert read([build(*["a"] * length) for length in range(2, 9)]) == 7

    def test_with_the_same_ids_are_an_error_whatever_else_changes(self):
        def make_page(number):
            return page({"id": "e1", "user": {"id": "u1"}, "updated_at": number}, cursor=str(number))

        assert read_endless(make_page)[1] == 4

    @pytest.mark.parametrize(
        "records",
        [
            [{"id": "c1", "user": {"id": f"u{number}"}, "course": {"id": "c1"}} for number in range(9)],
            [{"id": "u1", "user": {"id": "u1"}, "course": {"id": f"c{number}"}} for number in range(9)],
            [{"user": {"id": "u1"}, "status": "enrolled"}] * 9,
            [{"id": None, "status": "enrolled"}] * 9,
            [{}] * 9,
            [[1]] * 9,
            [None] * 9,
        ],
        ids=["the id of a course", "the id of a learner", "no id", "a null id", "nothing", "a list", "null"],
    )
    def test_that_only_look_alike_are_read_to_the_end(self, records):
        assert read([[record] for record in records]) == 9

    @pytest.mark.parametrize(("step", "requests"), [(0, 4), (1, 9)])
    def test_of_records_that_are_too_large_to_be_decoded_are_compared_whole(self, step, requests, monkeypatch):
        monkeypatch.setattr(response, "MAX_RECORD_BYTES", 10)
        monkeypatch.setattr(list_bounds, "_read_ids", None)
        pages = [page({"id": "e1", "text": number * step}, cursor=str(number)) for number in range(8)]
        with ScriptedClient(*pages, page()) as client:
            with nullcontext() if step else pytest.raises(RepeatedPageError):
                list(client.fetch_pages("users", ALL))
            assert len(client.received) == requests

    def test_of_raw_records_are_compared_whole(self):
        query = ListQuery("acme", response_format="raw")
        assert read([[{"id": "u1", "progress": number}] for number in range(9)], query) == 9
        assert read([[{"role": "learner"}] for number in range(9)], query) == 9
        assert read_endless(lambda n: page({"id": "u1"}, cursor=str(n)), query)[1] == 4

    def test_do_not_count_if_another_one_comes_in_between(self):
        assert read([build(name) for name in "aaabaac"]) == 7

    def test_that_are_empty_do_not_count(self):
        assert read([build("a"), [], [], [], [], [], build("b")]) == 7

    def test_with_the_same_records_in_another_order_do_not_count(self):
        assert read([build(*names) for names in ("ab", "ba", "abc", "bca", "cab")]) == 5

    def test_fewer_than_the_bound_are_read_to_the_end(self):
        assert read([build("a")] * 3) == 3

    def test_before_the_end_of_the_list_are_no_error(self):
        assert read([build("a")] * 4) == 4


class TestAnnouncedLength:
    """A list may bring ten times what it announced, and 10 records more."""

    def read_announced(self, announced, query=ALL):
        numbers = count()
        return read_endless(
            lambda n: page(next(numbers), next(numbers), cursor=str(n), result_count=announced), query, max_records=500
        )

    def test_that_the_list_exceeds_by_far_is_an_error(self):
        error, requests = self.read_announced(3)
        assert requests == 21  # 42 records are the first beyond 10 x 3 + 10
        assert "The list has no end after 42 records of the 3 that it announced (GET" in error

    @pytest.mark.parametrize("announced", [1, 2])
    def test_of_no_more_than_a_page_is_the_count_of_the_page(self, announced):
        assert "after 502 records (" in self.read_announced(announced)[0]

    def test_of_no_more_than_the_requested_page_may_be_the_limit_of_the_page(self):
        assert "after 502 records (" in self.read_announced(25, ListQuery("acme", limit=25))[0]
        assert "of the 26 that" in self.read_announced(26, ListQuery("acme", limit=25))[0]

    def test_that_grows_with_the_list_is_no_bound(self):
        error, _ = read_endless(
            lambda n: page(2 * n, 2 * n + 1, cursor=str(n), result_count=2 * n + 3), max_records=500
        )
        assert "after 502 records (" in error
