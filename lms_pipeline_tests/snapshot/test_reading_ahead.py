"""Pages of lists that are fetched while the page before becomes rows: no request is sent twice, and none is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, time
from typing import NamedTuple

import pytest

from lms_pipeline import concurrency
from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.extract.budget import BudgetSpentError, Limits
from lms_pipeline.sandbox import RunningSandbox, records_world, running
from lms_pipeline.snapshot import lists, writer
from lms_pipeline.snapshot.writer import EnrollmentWriter
from lms_pipeline.transform.enrollments import EnrollmentFlattener
from lms_pipeline.transform.users_courses import ListFlattener
from lms_pipeline_tests.support.sandbox import build_line, write_lines
from lms_pipeline_tests.support.snapshot_runs import DAY, SnapshotRunner

PAGES = 6
PAGE_SIZE = 5
LIST_CALLS = PAGES + 1
"""Users and courses: each enrollment has a learner of its own, and all have the same course."""
ENROLLMENTS = "/unified/lms/course-enrollments"
USERS = "/unified/lms/users"
SWEEP = AccountOptions(strategy="sweep", page_size=PAGE_SIZE)
RAW = AccountOptions(strategy="sweep", page_size=PAGE_SIZE, remote_data="raw_format")


@pytest.fixture(autouse=True)
def always_ahead(monkeypatch):
    """Read ahead from the second page on, however fast the first one came."""
    monkeypatch.setattr(concurrency, "MIN_WAIT_SECONDS", -1)


@pytest.fixture(autouse=True)
def one_page_a_batch(monkeypatch):
    """Make rows of each page before the next one, although the pages are small."""
    for module in (lists, writer):
        monkeypatch.setattr(module, "split_responses", lambda responses, _: ([one] for one in responses))


@pytest.fixture(scope="module")
def serving(tmp_path_factory) -> Iterator[RunningSandbox]:
    lines = [build_line(f"e{number}", with_={"user": {"id": f"u{number}"}}) for number in range(PAGES * PAGE_SIZE)]
    with running(records_world([write_lines(tmp_path_factory.mktemp("world") / "lines.ndjson", lines)])) as sandbox:
        sandbox.set_clock(datetime.combine(DAY, time.max, UTC))
        yield sandbox


@pytest.fixture
def runner(serving, tmp_path) -> SnapshotRunner:
    serving.clear_counts()
    return SnapshotRunner(tmp_path, serving.url, serving.token)


def list_requests(serving: RunningSandbox, path: str | None = None) -> list[tuple[object, ...]]:
    sent = [(one.path, tuple(one.query)) for one in serving.requests()]
    return [one for one in sent if path is None or one[0] == path]


def fail_at(monkeypatch, owner: type, method: str, call: int, error: BaseException) -> None:
    """Let the given call of a method raise an error."""
    original, calls = getattr(owner, method), []

    def run(self, *arguments):
        calls.append(1)
        if len(calls) == call:
            raise error
        return original(self, *arguments)

    monkeypatch.setattr(owner, method, run)


@pytest.mark.parametrize(("options", "calls"), [(SWEEP, PAGES), (RAW, 2 * PAGES)], ids=["sweep", "raw list"])
def test_a_pull_sends_each_request_once(runner, serving, options, calls):
    result = runner.run(options=options)
    sent = list_requests(serving)
    assert len(set(sent)) == len(sent) == result.requests == LIST_CALLS + calls
    assert result.rows.served == PAGES * PAGE_SIZE


class End(NamedTuple):
    """How a pull ends: an error of a method that makes rows of pages of a list."""

    options: AccountOptions
    owner: type
    method: str
    path: str
    error: BaseException


ENDS = {
    "a sweep": End(SWEEP, EnrollmentFlattener, "flatten_responses", ENROLLMENTS, ValueError("no")),
    "an interrupted sweep": End(SWEEP, EnrollmentFlattener, "flatten_responses", ENROLLMENTS, KeyboardInterrupt()),
    "a raw list": End(RAW, EnrollmentWriter, "add_raw_page", ENROLLMENTS, ValueError("no")),
    "the list of users": End(SWEEP, ListFlattener, "flatten", USERS, ValueError("no")),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
class TestAPullThatEndsWhileAPageBecomesRows:
    """The page ahead is stored, and the next run continues behind it."""

    FAILS_AT = 3

    def run(self, runner, monkeypatch, end) -> None:
        with monkeypatch.context() as patch:
            fail_at(patch, end.owner, end.method, self.FAILS_AT, end.error)
            with pytest.raises(type(end.error)):
                runner.run(options=end.options)

    def test_sends_the_request_of_one_more_page(self, runner, serving, monkeypatch, end):
        self.run(runner, monkeypatch, end)
        before = PAGES if end.options == RAW else 0
        assert len(list_requests(serving, end.path)) == before + self.FAILS_AT + 1
        assert [one for one in threading.enumerate() if one.name.startswith("read-ahead")] == []

    def test_costs_the_next_run_no_request_again(self, runner, serving, monkeypatch, end):
        self.run(runner, monkeypatch, end)
        result = runner.run(options=end.options)
        sent = list_requests(serving)
        assert len(set(sent)) == len(sent) == result.requests
        assert result.rows.served == PAGES * PAGE_SIZE


def test_the_calls_that_a_sweep_needs_are_enough(runner):
    result = runner.run(options=SWEEP, limits=Limits(per_snapshot=LIST_CALLS + PAGES))
    assert result.requests == LIST_CALLS + PAGES


def test_a_call_less_than_a_sweep_needs_is_an_error(runner, serving):
    with pytest.raises(BudgetSpentError):
        runner.run(options=SWEEP, limits=Limits(per_snapshot=LIST_CALLS + PAGES - 1))
    assert serving.stats()["total"] == LIST_CALLS + PAGES - 1
