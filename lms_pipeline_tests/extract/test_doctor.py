"""The doctor against the sandbox: it answers every question that the docs leave open, or says that it can't."""

from datetime import UTC, datetime

import pytest

from lms_pipeline.extract.doctor import Doctor
from lms_pipeline.sandbox import Clock, Switches, Tier, generated_world, running
from lms_pipeline.sandbox.synthetic.world import ACADEMY_ID, TALENTLMS_ID
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError
from lms_pipeline_tests.support.sandbox import BROKEN, SmallWorld


@pytest.fixture(scope="module")
def sandbox():
    with running(generated_world(), clock=Clock(datetime(2026, 3, 1, tzinfo=UTC))) as sandbox:
        yield sandbox


def examine(sandbox, account_id):
    with TrutoClient(sandbox.url, sandbox.token) as client:
        return Doctor(client, account_id).examine(), client.requests


def test_a_talentlms_account_is_examined_in_few_calls(sandbox):
    answers, requests = examine(sandbox, TALENTLMS_ID)
    users = len(generated_world().view(TALENTLMS_ID, datetime(2026, 3, 1, tzinfo=UTC)).users().read(0, 999).records)
    assert requests <= 15
    assert answers["Is the pair required?"] == "yes, status 400, the insight names user[id] and course[id]"
    assert answers["Does a course's response hold its roster?"].startswith("yes, ")
    assert answers["Does a user's response hold the courses?"].startswith("yes, ")
    assert answers["Are names and titles filled?"] == "none of user.name, user.emails, course.title"
    ids = answers["What do the ids look like, and do they stay?"]
    assert ids.startswith("str like '999:9")
    assert ids.endswith("the same in a second response")
    assert "an object of completed_on, completed_on_timestamp" in answers["What is the body of raw?"]
    assert answers["What is the body of normalized?"].endswith(
        "an object of next_cursor, prev_cursor, result, result_count"
    )
    assert answers["How many records has a page?"] == (
        f"100 by default, and a cursor to more; {users} with a limit of 10,000, and no cursor"
    )
    assert answers["What is the response to a pair that doesn't exist?"] == (
        "status 404, the LMS's own: 'The requested user is not enrolled in this course'"
    )
    assert answers["Are there rate headers?"] == "no"
    assert "no call shows it" in answers["What happens to an enrollment that was removed?"]


def test_an_account_that_can_be_swept_is_reported_as_one(sandbox):
    answers, _ = examine(sandbox, ACADEMY_ID)
    assert answers["Is the pair required?"] == "no: a list of 1 came, and a cursor to more"
    assert answers["Does a course's response hold its roster?"] == "no users[] in its remote_data"
    assert answers["Are names and titles filled?"] == "no pair was found to request"
    assert answers["What is the body of raw?"] == "a list of 1 in an envelope, and a cursor to more"


def test_a_raw_list_without_an_envelope_is_reported(sandbox):
    sandbox.switch(Switches(raw_body="bare"))
    answers, _ = examine(sandbox, ACADEMY_ID)
    sandbox.switch(Switches())
    assert answers["What is the body of raw?"] == "1 without an envelope: only the first page can be fetched"


def test_rate_headers_are_reported_without_data_of_people(sandbox):
    sandbox.switch(Switches(provider_tier=Tier(110), not_enrolled=400))
    answers, _ = examine(sandbox, TALENTLMS_ID)
    sandbox.switch(Switches())
    assert answers["Are there rate headers?"].startswith("ratelimit-limit: 110;w=10, ")
    assert answers["What is the response to a pair that doesn't exist?"].startswith("status 400, the LMS's own")
    assert "example.org" not in str(answers)


def test_an_account_with_a_broken_connection_is_reported_line_by_line():
    with running(SmallWorld()) as sandbox:
        answers, _ = examine(sandbox, BROKEN)
    assert answers["Is the pair required?"].startswith("yes, status 401") or "401" in answers["Is the pair required?"]
    assert answers["How many records has a page?"].startswith(
        "no answer: The account's connection to its LMS is broken"
    )


def test_a_refused_token_ends_the_examination_at_the_first_call(sandbox):
    with (
        TrutoClient(sandbox.url, "wrong") as client,
        pytest.raises(PermanentError, match=r"^Truto does not accept the token .*: check TRUTO_API_TOKEN\.$"),
    ):
        Doctor(client, TALENTLMS_ID).examine()
    assert client.requests == 1
