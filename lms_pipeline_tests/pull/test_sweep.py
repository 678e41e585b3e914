"""Which requests make a sweep, seen from the server's side of the socket."""

from datetime import UTC, datetime

import pytest

from lms_pipeline.accounts import AccountOptions
from lms_pipeline.pull import sweep
from lms_pipeline.pull.answers import Answers
from lms_pipeline.pull.asker import Asker
from lms_pipeline.pull.sweep import PairDemandedError
from lms_pipeline.sandbox import running
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError, TransientError
from lms_pipeline.truto.page import Page
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld
from lms_pipeline_tests.truto.scripted import asking, page, refusal, saying

PLAIN = AccountOptions()
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LISTS = pytest.mark.parametrize("resource", ["users", "courses"])


@pytest.fixture
def asker(tmp_path):
    """Makes an asker of a client."""
    with Answers(tmp_path / "answers.sqlite") as answers:
        yield lambda client: Asker(client, answers.begin("plan", NOON))


@pytest.fixture(scope="module")
def sandbox():
    with running(SmallWorld(count=5)) as sandbox:
        yield sandbox


def records(pages) -> int:
    return sum(len(page.records) for page in pages)


def test_enrollments_are_swept_page_by_page(sandbox, asker):
    with TrutoClient(sandbox.url, sandbox.token) as client:
        assert records(sweep.enrollments(asker(client), SWEEPING, AccountOptions(page_size=2))) == 5
        assert client.requests == 3


def test_one_request_brings_unified_and_raw(asker):
    with saying(page()) as server, asking(server.url) as client:
        list(sweep.enrollments(asker(client), "acme", PLAIN))
    assert server.asked[0].path == "/unified/lms/course-enrollments"
    assert server.asked[0].query == [("integrated_account_id", "acme"), ("limit", "500")]


def test_raw_is_not_asked_for_where_the_account_drops_it(asker):
    with saying(page()) as server, asking(server.url) as client:
        list(sweep.enrollments(asker(client), "acme", AccountOptions(remote_data="drop")))
    assert ("truto_ignore_remote_data", "true") in server.asked[0].query


def test_parameters_for_the_provider_are_passed_on_to_enrollments_alone(asker):
    options = AccountOptions(remote_query={"branch": "7"}, page_size=10)
    with saying(page(), page()) as server, asking(server.url) as client:
        list(sweep.enrollments(asker(client), "acme", options))
        list(sweep.users_or_courses(asker(client), "acme", "users", options))
    assert ("remote_query[branch]", "7") in server.asked[0].query
    assert server.asked[1].query == [
        ("integrated_account_id", "acme"),
        ("limit", "10"),
        ("truto_ignore_remote_data", "true"),
    ]


def test_an_account_that_demands_the_pair_is_refused_clearly(sandbox, asker):
    with TrutoClient(sandbox.url, sandbox.token) as client:
        with pytest.raises(PairDemandedError) as caught:
            list(sweep.enrollments(asker(client), PAIRED, PLAIN))
        assert client.requests == 1
    assert str(caught.value) == (
        "Account paired can't be swept: its LMS answers for one learner and course at a time (it requires user[id] "
        'and course[id]): take strategy = "auto" for it in LMS_ACCOUNTS_FILE.'
    )


def test_another_refusal_stays_what_it_is(asker):
    with (
        saying(refusal(400, "bad limit")) as server,
        asking(server.url) as client,
        pytest.raises(PermanentError, match="'bad limit'"),
    ):
        list(sweep.enrollments(asker(client), "acme", PLAIN))


@pytest.mark.parametrize("status", [404, 405, 501])
def test_enrollments_that_are_not_offered_are_an_error(status, asker):
    with saying(refusal(status)) as server, asking(server.url) as client, pytest.raises(PermanentError):
        list(sweep.enrollments(asker(client), "acme", PLAIN))


@LISTS
@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_list_that_is_not_offered_is_empty(resource, status, asker):
    with saying(refusal(status)) as server, asking(server.url) as client:
        assert list(sweep.users_or_courses(asker(client), "acme", resource, PLAIN)) == []
    assert [asked.path for asked in server.asked] == [f"/unified/lms/{resource}"]


@LISTS
@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_a_list_that_is_refused_is_an_error(resource, status, asker):
    with saying(refusal(status)) as server, asking(server.url) as client, pytest.raises(PermanentError):
        list(sweep.users_or_courses(asker(client), "acme", resource, PLAIN))


def test_a_list_that_fails_to_answer_is_an_error(asker):
    with saying(*[refusal(503)] * 4) as server, asking(server.url) as client, pytest.raises(TransientError):
        list(sweep.users_or_courses(asker(client), "acme", "users", PLAIN))


def test_a_list_that_ends_in_its_middle_is_an_error(asker):
    pages: list[Page] = []
    with (
        saying(page({"id": "u1"}, cursor="next"), refusal(404)) as server,
        asking(server.url) as client,
        pytest.raises(PermanentError),
    ):
        pages.extend(sweep.users_or_courses(asker(client), "acme", "users", PLAIN))
