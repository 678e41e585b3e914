"""Which requests make a sweep and a list, and when a list restarts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.extract.checkpoint import Attempt, Checkpoint
from lms_pipeline.extract.session import (
    BrokenListError,
    FetchSession,
    PairDemandedError,
    build_sweep_query,
    fetch_list,
    sweep_enrollments,
)
from lms_pipeline.sandbox import running
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError, TransientError
from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.store import NotKeptError
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld
from lms_pipeline_tests.support.scripted_api import ScriptedClient, ScriptedResponse, page, refusal

DEFAULTS = AccountOptions()
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LISTS = pytest.mark.parametrize("resource", ["users", "courses"])
QUERY = ListQuery("acme")
EXPIRED = [400, 404, 409, 410, 422]
"""Statuses with which a cursor is refused."""


@pytest.fixture
def attempt(tmp_path):
    with Checkpoint(tmp_path / "answers.sqlite") as checkpoint:
        yield checkpoint.begin("plan", NOON)


@pytest.fixture(scope="module")
def sandbox():
    with running(SmallWorld(count=5)) as sandbox:
        yield sandbox


@pytest.fixture
def scripted(attempt):
    """Return a function that makes a client and a session of these responses; both use the same attempt."""

    def make(*responses: ScriptedResponse) -> tuple[ScriptedClient, FetchSession]:
        client = ScriptedClient(*responses, store=attempt)
        return client, FetchSession(client, attempt)

    return make


def count_responses(attempt):
    with attempt.checkpoint.reading() as file:
        return file.execute("SELECT count(*) FROM answers").fetchone()[0]


def test_enrollments_are_swept_page_by_page(sandbox, attempt):
    with TrutoClient(sandbox.url, sandbox.token, store=attempt) as client:
        session = FetchSession(client, attempt)
        pages = list(sweep_enrollments(session, SWEEPING, AccountOptions(page_size=2)))
        assert [len(page.records) for page in pages] == [2, 2, 1]
        assert client.requests == 3


def test_one_request_brings_unified_and_raw(scripted):
    client, session = scripted(page())
    list(sweep_enrollments(session, "acme", DEFAULTS))
    assert client.received[0].path == "/unified/lms/course-enrollments"
    assert client.received[0].query == [("integrated_account_id", "acme"), ("limit", "500")]


def test_raw_is_not_requested_where_the_account_drops_it(scripted):
    client, session = scripted(page())
    list(sweep_enrollments(session, "acme", AccountOptions(remote_data="drop")))
    assert ("truto_ignore_remote_data", "true") in client.received[0].query


def test_raw_is_left_out_where_it_has_a_format_of_its_own(scripted):
    client, session = scripted(page())
    list(sweep_enrollments(session, "acme", AccountOptions(remote_data="raw_format")))
    assert client.received[0].query == [
        ("integrated_account_id", "acme"),
        ("limit", "500"),
        ("truto_ignore_remote_data", "true"),
    ]


def test_parameters_for_the_provider_are_sent_with_enrollments_only(scripted):
    options = AccountOptions(remote_query={"branch": "7"}, page_size=10)
    client, session = scripted(page(), page())
    list(sweep_enrollments(session, "acme", options))
    list(fetch_list(session, "acme", "users", options))
    assert ("remote_query[branch]", "7") in client.received[0].query
    assert client.received[1].query == [
        ("integrated_account_id", "acme"),
        ("limit", "10"),
        ("truto_ignore_remote_data", "true"),
    ]


def test_an_account_that_demands_the_pair_is_refused_in_one_sentence(sandbox, attempt):
    with TrutoClient(sandbox.url, sandbox.token, store=attempt) as client:
        with pytest.raises(PairDemandedError) as caught:
            list(sweep_enrollments(FetchSession(client, attempt), PAIRED, DEFAULTS))
        assert client.requests == 1
    assert str(caught.value) == (
        "Account paired can't be swept: its LMS answers for one learner and course at a time (it requires user[id] "
        'and course[id]): set strategy = "auto" for it in LMS_ACCOUNTS_FILE.'
    )


def test_another_refusal_is_passed_on(scripted):
    _, session = scripted(refusal(400, "bad limit"))
    with pytest.raises(PermanentError, match="'bad limit'"):
        list(sweep_enrollments(session, "acme", DEFAULTS))


@pytest.mark.parametrize("status", [404, 405, 501])
def test_enrollments_that_are_not_offered_are_an_error(status, scripted):
    _, session = scripted(refusal(status))
    with pytest.raises(PermanentError):
        list(sweep_enrollments(session, "acme", DEFAULTS))


@LISTS
@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_list_that_is_not_offered_is_empty(resource, status, scripted):
    client, session = scripted(refusal(status))
    assert list(fetch_list(session, "acme", resource, DEFAULTS)) == []
    assert [request.path for request in client.received] == [f"/unified/lms/{resource}"]


@LISTS
@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_a_list_that_is_refused_is_an_error(resource, status, scripted):
    _, session = scripted(refusal(status))
    with pytest.raises(PermanentError):
        list(fetch_list(session, "acme", resource, DEFAULTS))


def test_a_list_that_stays_unavailable_is_an_error(scripted):
    _, session = scripted(*[refusal(503)] * 4)
    with pytest.raises(TransientError):
        list(fetch_list(session, "acme", "users", DEFAULTS))


@pytest.mark.parametrize("status", [405, 501])
def test_a_list_that_breaks_off_in_its_middle_is_an_error(scripted, status):
    _, session = scripted(page({"id": "u1"}, cursor="next"), refusal(status))
    with pytest.raises(PermanentError):
        list(fetch_list(session, "acme", "users", DEFAULTS))


class TestRestart:
    @pytest.mark.parametrize(
        "broken",
        [
            *(
                pytest.param(
                    [page("a", cursor="1"), refusal(status, "expired", truto_is_remote_error=is_remote)],
                    id=f"by {status}{' of the LMS' if is_remote else ''}",
                )
                for status in EXPIRED
                for is_remote in (False, True)
            ),
            pytest.param([page("a", cursor="1"), page("b", cursor="2"), refusal(410)], id="by 410 on the third page"),
            pytest.param([page("a", cursor="1"), page("b", cursor="1")], id="by a cursor that leads back"),
        ],
    )
    def test_drops_the_pages_of_the_list_and_keeps_everything_else(self, scripted, attempt, broken):
        _, session = scripted(page("another list"), page("another round"), *broken, page("from the start"))
        list(session.fetch_pages("courses", QUERY))
        list(session.fetch_pages("users", QUERY, 2))
        with pytest.raises(BrokenListError):
            list(session.fetch_pages("users", QUERY))
        assert count_responses(attempt) == 2
        [one] = session.fetch_pages("users", QUERY)
        assert bytes(one.records[0]) == b'"from the start"'

    def test_of_a_replay_drops_nothing(self, scripted, attempt, monkeypatch):
        """An earlier version with other bounds stored the pages: they exist nowhere else."""
        _, session = scripted(page("a", cursor="1"), page("b", cursor="1"))
        with monkeypatch.context() as patch:
            patch.setattr(Attempt, "forget", lambda *_: None)
            with pytest.raises(BrokenListError):
                list(session.fetch_pages("users", QUERY))
        with TrutoClient.for_replay(attempt) as client, pytest.raises(NotKeptError, match="can't be replayed"):
            list(FetchSession(client, attempt).fetch_pages("users", QUERY))
        assert count_responses(attempt) == 2

    def test_of_a_raw_list_keeps_the_unified_list_and_the_reverse(self, scripted, attempt):
        raw = replace(QUERY, response_format="raw")
        for whole, broken in [(QUERY, raw), (raw, QUERY)]:
            attempt.forget("")
            _, session = scripted(page("whole"), page("a", cursor="1"), refusal(400, "expired"))
            list(session.fetch_pages("course-enrollments", whole))
            with pytest.raises(BrokenListError):
                list(session.fetch_pages("course-enrollments", broken))
            assert [bytes(one.records[0]) for one in session.fetch_pages("course-enrollments", whole)] == [b'"whole"']

    @pytest.mark.parametrize("status", EXPIRED)
    def test_is_not_the_remedy_for_a_refusal_of_the_first_page(self, scripted, status):
        _, session = scripted(refusal(status))
        with pytest.raises(PermanentError):
            list(session.fetch_pages("users", QUERY))

    @pytest.mark.parametrize("status", [401, 402, 403, 405, 501])
    def test_is_not_the_remedy_for_another_refusal(self, scripted, attempt, status):
        _, session = scripted(page("a", cursor="1"), refusal(status))
        with pytest.raises(PermanentError):
            list(session.fetch_pages("users", QUERY))
        assert count_responses(attempt) == 1

    def test_is_not_the_remedy_for_missing_parameters(self, scripted):
        insight = {"missing_required_query_parameters": {"value": ["user[id]", "course[id]"]}}
        _, session = scripted(page("a", cursor="1"), refusal(400, truto_error_insight=insight))
        with pytest.raises(PairDemandedError):
            list(sweep_enrollments(session, "acme", DEFAULTS))

    @pytest.mark.parametrize("status", EXPIRED)
    def test_follows_a_cursor_that_expired_while_the_pull_was_interrupted(self, attempt, scripted, status):
        _, session = scripted(page("a", cursor="1"), refusal(403))
        with pytest.raises(PermanentError):
            list(session.fetch_pages("users", QUERY))
        client, session = scripted(refusal(status))
        with pytest.raises(BrokenListError):
            list(session.fetch_pages("users", QUERY))
        assert len(client.received) == 1
        assert count_responses(attempt) == 0

    @LISTS
    def test_of_a_list_that_is_refused_meanwhile_is_no_list_that_is_not_offered(self, scripted, resource):
        _, session = scripted(page({"id": "u1"}, cursor="1"), refusal(404), refusal(404))
        with pytest.raises(BrokenListError):
            list(fetch_list(session, "acme", resource, DEFAULTS))
        with pytest.raises(PermanentError, match="status 404"):
            list(fetch_list(session, "acme", resource, DEFAULTS))

    def test_of_a_list_in_progress_after_a_kill_is_only_needed_when_it_stopped_long_ago(self, tmp_path):
        path = tmp_path / "answers.sqlite"
        with Checkpoint(path) as checkpoint:
            attempt = checkpoint.begin("plan", NOON)
            client = ScriptedClient(page("a", cursor="1"), refusal(403), store=attempt, now=lambda: NOON)
            with pytest.raises(PermanentError):
                list(FetchSession(client, attempt).fetch_pages("users", QUERY))
        for hours, stored in [(2, 1), (4, 0)]:
            with Checkpoint(path) as checkpoint:
                attempt = checkpoint.begin("plan", NOON)
                session = FetchSession(ScriptedClient(store=attempt), attempt)
                session.forget_stale_lists(NOON + timedelta(hours=hours), timedelta(hours=3))
                assert count_responses(attempt) == stored


def test_a_replay_keeps_the_replay_context_and_stale_lists(attempt):
    client = ScriptedClient(page("a"), store=attempt, now=lambda: NOON)
    live = FetchSession(client, attempt)
    list(live.fetch_pages("users", QUERY))
    live.save_replay_context("then")
    with TrutoClient.for_replay(attempt) as replaying:
        replay = FetchSession(replaying, attempt)
        replay.save_replay_context("now")
        replay.forget_stale_lists(NOON + timedelta(days=30), timedelta(hours=3))
        assert (live.client.is_replay, replay.client.is_replay) == (False, True)
        assert len(list(replay.fetch_pages("users", QUERY))) == 1
    assert attempt.replay_context == "then"


def test_a_sweep_is_requested_with_the_options_of_the_account():
    options = AccountOptions(page_size=7, remote_data="drop", remote_query={"branch": "7"})
    query = build_sweep_query("acme", options)
    assert (query.limit, query.ignore_remote_data, query.remote_query) == (7, True, {"branch": "7"})


@pytest.mark.parametrize("response_format", ["unified", "raw"])
def test_a_stored_list_is_read_to_its_end_whatever_its_bound_was(scripted, attempt, response_format):
    query = ListQuery("acme", response_format=response_format)
    client, _ = scripted(page({"id": "1"}, cursor="2"), page({"id": "2"}, cursor="3"), page({"id": "3"}))
    session = FetchSession(client, attempt, max_records=3)
    fetched = [list(page.records) for page in session.fetch_pages("course-enrollments", query)]
    with TrutoClient.for_replay(attempt) as stored:
        replay = FetchSession(stored, attempt, max_records=1)
        assert [list(page.records) for page in replay.fetch_pages("course-enrollments", query)] == fetched


class TestRecount:
    """Whoever counts the stored bytes learns that some were removed."""

    @pytest.fixture
    def counted(self, attempt):
        """Return a function that makes a session of these responses, and the sizes that were counted again."""

        def make(*responses):
            client, sizes = ScriptedClient(*responses, store=attempt, now=lambda: NOON), []
            return FetchSession(client, attempt, recount=lambda: sizes.append(attempt.count_responses())), sizes

        return make

    def test_follows_a_list_that_broke(self, counted):
        session, sizes = counted(page("whole"), page("a", cursor="1"), refusal(410))
        list(session.fetch_pages("courses", QUERY))
        with pytest.raises(BrokenListError):
            list(session.fetch_pages("users", QUERY))
        assert sizes == [1]

    @pytest.mark.parametrize(("hours", "sizes"), [(2, []), (4, [0])])
    def test_follows_lists_that_start_again_after_a_long_time(self, counted, attempt, hours, sizes):
        list(counted(page("a"))[0].fetch_pages("users", QUERY))
        session, counted_again = counted()
        stopped = replace(session, attempt=replace(attempt, last_response_at=NOON))
        stopped.forget_stale_lists(NOON + timedelta(hours=hours), timedelta(hours=3))
        assert counted_again == sizes
