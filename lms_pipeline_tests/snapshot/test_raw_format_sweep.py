"""Sweeps whose raw records come from a list in Truto's raw format."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.extract.budget import BudgetSpentError, Limits
from lms_pipeline.extract.checkpoint import Attempt
from lms_pipeline.lake.files import RowGroupWriter, read_metadata
from lms_pipeline.sandbox import Clock, RunningSandbox, Switches, records_world, running
from lms_pipeline.sandbox.faults import ExpiredCursor, Partial, RepeatedCursor, ShiftedPage, Status
from lms_pipeline.snapshot.estimate import estimate_snapshot
from lms_pipeline.snapshot.job import TABLES, SnapshotJob, SnapshotResult
from lms_pipeline.snapshot.run import replay_snapshot
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.sandbox import build_line, write_lines
from lms_pipeline_tests.support.scripted_api import ScriptedResponse
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import CALENDAR, DAY, OPEN, SnapshotRunner, respond_with_raw_list

ENROLLMENTS = "/unified/lms/course-enrollments"
COUNT, PAGE_SIZE = 7, 3
PAGES = 3
OTHER_CALLS = 5
"""The metadata of the list, three pages of users and one of courses."""
OPTIONS = AccountOptions(remote_data="raw_format", page_size=PAGE_SIZE)


def build_raw(number: int) -> dict[str, Any]:
    role = "instructor" if number == 2 else "learner"
    return {"enrolmentId": f"e{number}", "userId": f"u{number}", "course": {"id": "c1"}, "role": role, "pct": 1.50}


PAYLOADS = [json.dumps(build_raw(number)) for number in range(COUNT)]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    lines = [
        build_line(f"e{number}", with_={"user": {"id": f"u{number}"}}, raw=build_raw(number)) for number in range(COUNT)
    ]
    path = write_lines(tmp_path_factory.mktemp("records") / "lines.ndjson", lines)
    with running(records_world([path]), clock=Clock(OPEN)) as running_sandbox:
        yield running_sandbox


@pytest.fixture
def serving(sandbox):
    sandbox.clear_counts()
    yield sandbox
    sandbox.clear_faults()
    sandbox.switch(Switches())


@pytest.fixture
def runner(tmp_path, serving):
    return SnapshotRunner(tmp_path, serving.url, serving.token)


class Pulled(NamedTuple):
    """A pull without a fault."""

    runner: SnapshotRunner
    result: SnapshotResult
    formats: Counter[str]
    """How many requests for enrollments had each response format."""
    queries: list[dict[str, str]]
    """Those of requests for enrollments."""


def pull(root: Path, sandbox: RunningSandbox) -> Pulled:
    sandbox.clear_counts()
    runner = SnapshotRunner(root, sandbox.url, sandbox.token)
    result = runner.run(options=OPTIONS)
    queries = [dict(one.query) for one in sandbox.requests() if one.path == ENROLLMENTS]
    return Pulled(runner, result, count_formats(sandbox), queries)


@pytest.fixture(scope="module")
def pulled(sandbox, tmp_path_factory) -> Pulled:
    """A pull in envelopes, made once. Read-only."""
    return pull(tmp_path_factory.mktemp("pulled"), sandbox)


@pytest.fixture(scope="module")
def pulled_bare(sandbox, tmp_path_factory) -> Pulled:
    """A pull whose raw list is a bare body, made once. Read-only."""
    sandbox.switch(Switches(raw_body="bare"))
    found = pull(tmp_path_factory.mktemp("bare"), sandbox)
    sandbox.switch(Switches())
    return found


@pytest.fixture
def copied(runner: SnapshotRunner, serving: RunningSandbox, pulled: Pulled) -> SnapshotRunner:
    """A data directory with a copy of the pull in envelopes, after which no request was sent."""
    shutil.copytree(pulled.runner.root, runner.root, dirs_exist_ok=True)
    serving.clear_counts()
    return runner


def raw_fault(kind: type, **more: Any) -> Any:
    return kind(route=ENROLLMENTS, format="raw", **more)


def count_formats(sandbox: RunningSandbox) -> Counter[str]:
    queries = [dict(one.query) for one in sandbox.requests() if one.path == ENROLLMENTS]
    return Counter(query.get("truto_response_format", "unified") for query in queries)


def read_digests(runner: SnapshotRunner) -> dict[str, str]:
    return {name: runner.read_metadata(name)["digest"] for name in TABLES}


def replay(runner: SnapshotRunner, options: AccountOptions = OPTIONS) -> SnapshotResult:
    return replay_snapshot(SnapshotJob("acme", DAY, "again", "enrollment_id", options), data=runner.data)


class TestEnvelope:
    def test_costs_one_more_call_for_each_page_with_cursors_of_its_own(self, pulled):
        assert pulled.formats == {"unified": PAGES, "raw": PAGES}
        assert pulled.result.requests == OTHER_CALLS + 2 * PAGES
        assert all(
            ("truto_response_format" in query) is ("truto_ignore_remote_data" not in query) for query in pulled.queries
        )

    def test_stores_the_records_to_the_byte_with_the_ids_that_they_name(self, pulled):
        runner, result = pulled.runner, pulled.result
        hashes = [hashlib.sha256(payload.encode()).hexdigest() for payload in PAYLOADS]
        assert runner.read_rows("raw_enrollments", "user_id", "course_id", "payload", "payload_sha256", "source") == [
            (f"u{number}", "c1", PAYLOADS[number], hashes[number], "raw") for number in range(COUNT)
        ]
        assert (result.complete, result.raw_gaps) == (True, None)
        assert {runner.read_metadata(name)["complete"] for name in TABLES} == {"true"}

    def test_gives_each_enrollment_the_role_in_its_raw_record(self, pulled):
        roles = dict(pulled.runner.read_rows("unified_enrollments", "enrollment_id", "role"))
        assert roles == {f"e{number}": "instructor" if number == 2 else "learner" for number in range(COUNT)}

    def test_gives_the_unified_tables_of_remote_data(self, runner, pulled):
        runner.run(options=AccountOptions(page_size=PAGE_SIZE))
        kept, with_raw_format = read_digests(runner), read_digests(pulled.runner)
        assert kept.pop("raw_enrollments") != with_raw_format.pop("raw_enrollments")
        assert kept == with_raw_format

    def test_that_says_that_records_are_missing_makes_raw_incomplete(self, runner, serving):
        serving.fault(raw_fault(Partial, times=1))
        result = runner.run(options=OPTIONS)
        assert result.raw_gaps == "A raw response of account acme says that records are missing."
        assert (runner.read_metadata()["complete"], runner.read_metadata("raw_enrollments")["complete"]) == (
            "true",
            "false",
        )

    def test_is_read_once_for_two_rounds_of_the_unified_list(self, runner, serving):
        serving.fault(ShiftedPage(route=ENROLLMENTS, format="unified", times=1))
        result = runner.run(options=OPTIONS)
        assert count_formats(serving) == {"unified": 2 * PAGES, "raw": PAGES}
        assert result.complete
        assert len(runner.read_rows("raw_enrollments", "payload")) == COUNT


class TestBareBody:
    def test_is_one_page_and_only_raw_is_incomplete(self, pulled_bare):
        runner, result = pulled_bare.runner, pulled_bare.result
        assert pulled_bare.formats == {"unified": PAGES, "raw": 1}
        assert [payload for (payload,) in runner.read_rows("raw_enrollments", "payload")] == PAYLOADS[:PAGE_SIZE]
        complete = {name: runner.read_metadata(name)["complete"] for name in TABLES}
        assert complete == dict.fromkeys(TABLES, "true") | {"raw_enrollments": "false"}
        assert runner.read_metadata("raw_enrollments")["incomplete_because"] == result.raw_gaps
        assert result.raw_gaps == (
            "The raw list of account acme has no envelope: nothing says whether there are more pages, and only the "
            "first one was fetched."
        )
        assert result.complete
        assert len(runner.read_rows("unified_enrollments", "user_id")) == COUNT

    def test_gives_roles_only_to_the_enrollments_in_it(self, pulled_bare):
        roles = [role for (role,) in pulled_bare.runner.read_rows("unified_enrollments", "role")]
        assert roles == ["learner", "learner", "instructor", *[None] * (COUNT - PAGE_SIZE)]

    def test_is_incomplete_even_if_it_is_shorter_than_a_page(self, runner, serving, caplog):
        serving.switch(Switches(raw_body="bare"))
        result = runner.run(options=AccountOptions(remote_data="raw_format", page_size=500))
        assert len(runner.read_rows("raw_enrollments", "payload")) == COUNT
        assert result.raw_gaps is not None
        assert result.raw_gaps in caplog.text

    @pytest.mark.parametrize("body", [b' {"data": [{"id": 1}], "page": 1}\n', b"[]"])
    def test_of_any_shape_is_kept(self, tmp_path, body):
        with serve(respond_with_raw_list({}, [ScriptedResponse(body)])) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            result = runner.run(options=OPTIONS)
        stored = [(None, None, body.strip().decode())] if body != b"[]" else []
        assert runner.read_rows("raw_enrollments", "user_id", "course_id", "payload") == stored
        assert result.raw_gaps is not None


class TestFiles:
    """The files that a sweep writes, each by a writer that must be closed before another one opens the same path."""

    @pytest.fixture
    def writers(self, monkeypatch):
        opened: list[RowGroupWriter] = []

        def enter(writer: RowGroupWriter) -> RowGroupWriter:
            assert [other.path for other in opened if other.is_open and other.path == writer.path] == []
            opened.append(writer)
            return writer

        monkeypatch.setattr(RowGroupWriter, "__enter__", enter)
        return opened

    def test_are_closed_after_an_error_in_the_raw_list(self, runner, serving, writers):
        serving.fault(raw_fault(Status, status=401, after=1))
        with pytest.raises(PermanentError):
            runner.run(options=OPTIONS)
        assert [writer.path.name for writer in writers if writer.is_open] == []
        assert runner.list_leftovers() == []

    @pytest.mark.parametrize("fault", [ExpiredCursor, ShiftedPage])
    def test_are_closed_before_the_lists_are_read_again(self, runner, serving, writers, fault):
        serving.fault(fault(route=ENROLLMENTS, format="raw" if fault is ExpiredCursor else "unified", times=1))
        runner.run(options=OPTIONS)
        assert [writer.path.name for writer in writers if writer.is_open] == []


class TestRefusal:
    @pytest.mark.parametrize(
        ("pages", "status"), choose([(0, 400), (2, 404), (0, 501)], list(product([0, 2], [400, 404, 501])))
    )
    def test_publishes_the_enrollments_with_raw_pages_so_far_and_so_does_a_replay(self, runner, serving, status, pages):
        serving.fault(raw_fault(Status, status=status, after=pages))
        result = runner.run(options=OPTIONS)
        stored = [payload for (payload,) in runner.read_rows("raw_enrollments", "payload")]
        assert stored == PAYLOADS[: len(stored)]
        assert (result.complete, runner.read_metadata("raw_enrollments")["complete"]) == (True, "false")
        assert result.raw_gaps.startswith("Raw records of account acme are missing: ")
        digests = read_digests(runner)
        serving.clear_faults()
        serving.clear_counts()
        replayed = replay(runner)
        assert serving.stats()["total"] == 0
        assert (read_digests(runner), replayed.raw_gaps) == (digests, result.raw_gaps)

    def test_of_a_cursor_reads_the_raw_list_once_more(self, runner, serving):
        serving.fault(raw_fault(ExpiredCursor, times=1))
        result = runner.run(options=OPTIONS)
        assert count_formats(serving) == {"unified": PAGES, "raw": PAGES + 2}
        assert [payload for (payload,) in runner.read_rows("raw_enrollments", "payload")] == PAYLOADS
        assert result.raw_gaps is None

    @pytest.mark.parametrize("kind", [ExpiredCursor, RepeatedCursor])
    def test_of_every_cursor_makes_only_raw_incomplete(self, runner, serving, kind):
        serving.fault(raw_fault(kind))
        result = runner.run(options=OPTIONS)
        stored = [payload for (payload,) in runner.read_rows("raw_enrollments", "payload")]
        assert stored[:PAGE_SIZE] == PAYLOADS[:PAGE_SIZE]
        assert (result.complete, runner.read_metadata()["complete"]) == (True, "true")
        assert result.raw_gaps is not None
        digests = read_digests(runner)
        replay(runner)
        assert read_digests(runner) == digests

    def test_of_a_budget_is_an_error_and_the_next_run_continues(self, runner, serving):
        with pytest.raises(BudgetSpentError):
            runner.run(options=OPTIONS, limits=Limits(per_snapshot=OTHER_CALLS + PAGES + 1))
        assert serving.stats()["total"] == OTHER_CALLS + PAGES + 1
        assert runner.list_published_tables() == []
        runner.run(options=OPTIONS)
        sent = [(one.path, tuple(one.query)) for one in serving.requests()]
        assert len(sent) == len(set(sent)) == OTHER_CALLS + 2 * PAGES


@pytest.mark.parametrize(("remote_data", "calls"), [("keep", 9), ("drop", 9), ("raw_format", 12)])
def test_an_estimate_counts_two_calls_for_each_page(runner, serving, remote_data, calls):
    options, later = AccountOptions(remote_data=remote_data, page_size=PAGE_SIZE), OPEN + timedelta(days=1)
    runner.run(options=options)
    job = SnapshotJob("acme", DAY + timedelta(days=1), "estimate", "enrollment_id", options)

    def connect(gate, store):
        return TrutoClient(serving.url, serving.token, now=lambda: later, gate=gate, store=store)

    text = estimate_snapshot(job, connect=connect, data=runner.data, calendar=CALENDAR, now=lambda: later)
    # metadata, first page, three pages of users and one of courses; then three pages of enrollments
    assert f"{COUNT} enrollments in the previous snapshot: {calls} calls, about " in text


class TestReplay:
    def test_is_the_same_snapshot_without_a_call(self, copied, serving):
        before = read_digests(copied)
        replay(copied)
        assert serving.stats()["total"] == 0
        assert read_digests(copied) == before

    def test_of_another_option_is_refused(self, copied):
        with pytest.raises(Exception, match="restore them"):
            replay(copied, AccountOptions(page_size=PAGE_SIZE))

    def test_continues_a_pull_that_died_after_its_last_response(self, runner, serving, monkeypatch):
        monkeypatch.setattr(Attempt, "finish", lambda _attempt: None)
        runner.run(options=OPTIONS)
        before = read_digests(runner)
        serving.clear_counts()
        runner.run(options=OPTIONS, run_id="run-2")
        assert serving.stats()["total"] == 0
        assert read_digests(runner) == before


@given(page_size=st.integers(1, 9), bare=st.booleans(), refused_after=st.none() | st.integers(0, 9))
@example(page_size=2, bare=False, refused_after=2)
@example(page_size=3, bare=True, refused_after=None)
@settings(max_examples=choose(2, 30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_unified_never_depends_on_the_raw_list_and_a_replay_is_the_same(
    tmp_path_factory, sandbox, page_size, bare, refused_after
):
    sandbox.clear_faults()
    sandbox.switch(Switches(raw_body="bare" if bare else "envelope"))
    if refused_after is not None:
        sandbox.fault(raw_fault(Status, status=404, after=refused_after))
    runner = SnapshotRunner(tmp_path_factory.mktemp("sweep"), sandbox.url, sandbox.token)
    options = AccountOptions(remote_data="raw_format", page_size=page_size)
    result = runner.run(options=options)
    sandbox.switch(Switches())
    sandbox.clear_faults()
    assert result.complete
    assert len(runner.read_rows("unified_enrollments", "user_id")) == COUNT
    stored = [payload for (payload,) in runner.read_rows("raw_enrollments", "payload")]
    assert stored == PAYLOADS[: len(stored)]
    assert (len(stored) < COUNT) <= (result.raw_gaps is not None)
    digests = read_digests(runner)
    replay(runner, options)
    assert read_digests(runner) == digests
    assert read_metadata(runner.file("raw_enrollments")).get("incomplete_because") == result.raw_gaps
