"""Whole snapshot runs under every fault of an API, by sweep and by roster.

A run ends in the same snapshot as without the fault, in an incomplete one, or in an error: then nothing is published
and the responses so far are kept. The table is in `docs/talentlms.md`. By default each fault strikes one of the two
strategies; in full, both.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time
from itertools import cycle, product
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.sandbox import RunningSandbox, World, records_world, running
from lms_pipeline.sandbox.faults import (
    BadUtf8,
    ByteOrderMark,
    Cut,
    Debug,
    Drift,
    EmptyPage,
    Endless,
    ExpiredCursor,
    FailedBody,
    Fault,
    Gzip,
    GzipBomb,
    Html,
    Partial,
    RepeatedCursor,
    Reset,
    RevokedConnection,
    RevokedToken,
    ShiftedPage,
    Slow,
    Status,
)
from lms_pipeline.snapshot.job import TABLES, SnapshotResult
from lms_pipeline.truto import list_bounds, transport
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.portal import PORTAL, Portal
from lms_pipeline_tests.support.sandbox import build_line, write_lines
from lms_pipeline_tests.support.snapshot_runs import DAY, SnapshotRunner

T = TypeVar("T")

FAULTS_PER_PULL = choose(9, 6)
FEW = choose(3, None)
"""Responses that have another encoding: by default a few, so that other faults strike in the same pull; in full, all."""
STRATEGIES = ("sweep", "roster")
ENROLLMENTS, COURSE = "/unified/lms/course-enrollments", "/unified/lms/courses/{id}"

TRANSIENT_FAULTS: dict[str, Fault] = {
    "429 without headers": Status(status=429, times=2),
    "429 for seconds": Status(status=429, retry_after=3, times=2),
    "429 until a date": Status(status=429, retry_after=3, retry_after_as="date", times=2),
    "429 for no time": Status(status=429, retry_after=0, ratelimit_reset=0, times=2),
    "429 until now": Status(status=429, retry_after=0, retry_after_as="date", times=2),
    "503 for no time": Status(status=503, retry_after=0, times=2),
    "429 of the provider": Status(status=429, remote=True, ratelimit_reset=4, times=2),
    **{f"{status}": Status(status=status, remote=status > 500, times=2) for status in (408, 425, 500, 502, 503, 504)},
    **{f"{status} of a proxy": Html(status=status, times=2) for status in (502, 507, 520, 522, 524, 530, 599)},
    "reset before a byte": Reset(times=2),
    "reset in the middle": Reset(share=0.5, times=2),
    "cut with the length of the whole": Cut(length="whole", times=2),
    "cut with the length of the part": Cut(length="cut", times=2),
    "cut in chunks": Cut(length="chunked", times=2),
    "a late response": Slow(seconds=30, times=1),
    "a slow response": Slow(bytes_per_second=20_000, times=1),
    "an HTML page": Html(times=2),
    "bad UTF-8": BadUtf8(times=2),
    "a body that is an error": FailedBody(times=2),
    "a body with an error and an empty list": FailedBody(records="empty", times=2, after=1),
    "a body with an error and its records": FailedBody(records="all", times=2),
    "a body of a 429": FailedBody(
        fields={"statusCode": 429, "error": "Too Many Requests", "message": "later"}, times=2
    ),
    "a body without success": FailedBody(fields={"success": False, "message": "later"}, times=2),
    "a body with an error of the LMS": FailedBody(fields={"truto_is_remote_error": True, "message": "later"}, times=2),
    "a byte order mark": ByteOrderMark(times=FEW),
    "gzip": Gzip(times=FEW),
    "x-gzip": Gzip(encoding="x-gzip", padding=8, times=FEW),
    "gzip in members": Gzip(member_bytes=100, times=FEW),
    "secrets": Debug(),
    "types that drift": Drift(),
    "one in three of all requests": Status(status=502, rate=0.3),
}
"""The run retries these: the snapshot equals the undisturbed one."""

LIST_FAULTS: dict[str, Fault] = {
    "a repeated cursor": RepeatedCursor(times=1),
    "an expired cursor": ExpiredCursor(times=1),
    "an expired cursor, 404": ExpiredCursor(status=404, times=1),
    "an expired cursor, 409": ExpiredCursor(status=409, times=1),
    "an expired cursor, 410 of the LMS": ExpiredCursor(status=410, remote=True, times=1),
    "an expired cursor, 422": ExpiredCursor(status=422, times=1),
    "empty pages with a cursor": EmptyPage(times=2),
    "pages that shift once": ShiftedPage(by=2, times=1),
}
"""The run restarts the list after these: the snapshot equals the undisturbed one."""

EXPIRED = [name for name in LIST_FAULTS if name.startswith("an expired cursor")]
"""By default two of them: each status at each page of a list is in the tests of `truto` and `extract`."""
BROKEN_LISTS = [name for name in LIST_FAULTS if name not in choose(EXPIRED[1:3] + EXPIRED[4:], [])]

LASTING_FAULTS: dict[str, tuple[Fault, str]] = {
    "the connection is revoked": (RevokedConnection(after=4, times=1), "connection to its LMS is broken"),
    "the token is revoked": (RevokedToken(after=4, times=1), "does not accept the token"),
    "forbidden": (Status(status=403, after=4), "refused the request"),
    "always down": (Status(status=500, after=4), "failed to answer"),
    "always a failure under a success status": (FailedBody(after=4), "sent a failure under a success status"),
    "blocked": (Status(status=503, after=4), "failed to answer"),
    "limited for an hour": (Status(status=429, retry_after=3_600, after=4), "allows the next call in 60 minutes"),
    "limited for a day": (Status(status=429, retry_after=86_400, after=4), r"in 24\.0 hours, after 2026-03-01 closes"),
    "a gzip that explodes": (GzipBomb(megabytes=8, after=4), "is larger than 1 MB"),
}
"""These end the run with an error of this text; the next run resumes where it stopped."""


@dataclass
class Account:
    """An account whose whole snapshot runs again and again."""

    sandbox: RunningSandbox
    account_id: str
    strategy: str

    def run(self, root: Path, url: str | None = None) -> SnapshotResult:
        options = AccountOptions(
            strategy=self.strategy,  # type: ignore[arg-type] # a strategy
            page_size=5,
        )
        return SnapshotRunner(root, url or self.sandbox.url, self.sandbox.token, timeout=0.5).run(
            account_id=self.account_id, identity="pair", options=options
        )

    def read_digests(self, root: Path) -> list[str]:
        runner = SnapshotRunner(root, self.sandbox.url)
        return [read_metadata(runner.file(name, account_id=self.account_id))["digest"] for name in TABLES]

    def list_successful_requests(self) -> list[tuple[str, str]]:
        return [(one.path, str(one.query)) for one in self.sandbox.requests() if one.status == 200 and not one.faults]


def build_world(strategy: str, folder: Path) -> tuple[World, str]:
    if strategy == "roster":
        return Portal(learners=12, courses=3, each=2), PORTAL
    lines = [
        build_line(f"e{number}", with_={"user": {"id": f"{number}"}, "score": number}, raw={"role": "learner"})
        for number in range(24)
    ]
    return records_world([write_lines(folder / "lines.ndjson", lines)]), "acme"


@pytest.fixture(scope="module", params=STRATEGIES)
def served(request, tmp_path_factory) -> Iterator[tuple[Account, list[str]]]:
    """An account, and the digests of its undisturbed snapshot."""
    world, account_id = build_world(request.param, tmp_path_factory.mktemp("world"))
    with running(world) as sandbox:
        sandbox.set_clock(datetime.combine(DAY, time.max, UTC))
        account = Account(sandbox, account_id, request.param)
        root = tmp_path_factory.mktemp("undisturbed")
        assert account.run(root).complete
        yield account, account.read_digests(root)


@pytest.fixture
def account(served) -> Account:
    account: Account = served[0]
    account.sandbox.clear_faults()
    account.sandbox.clear_counts()
    return account


@pytest.fixture
def undisturbed(served) -> list[str]:
    digests: list[str] = served[1]
    return digests


def name_case(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def group_faults() -> list[list[str]]:
    """Return the names of transient faults that strike in one pull: a fault of every response is alone."""
    passing = [name for name, fault in TRANSIENT_FAULTS.items() if fault.times is not None]
    return [passing[start : start + FAULTS_PER_PULL] for start in range(0, len(passing), FAULTS_PER_PULL)] + [
        [name] for name in TRANSIENT_FAULTS if name not in passing
    ]


def spread(cases: Iterable[T]) -> list[tuple[str, T]]:
    """Return each case with both strategies, or with one of the two in turn."""
    cases = list(cases)
    return choose(list(zip(cycle(STRATEGIES), cases)), list(product(STRATEGIES, cases)))


@pytest.mark.parametrize(("served", "names"), spread(group_faults()), indirect=["served"], ids=name_case)
def test_transient_faults_do_not_change_the_snapshot(account, undisturbed, tmp_path, names):
    """Each fault strikes two requests, the next fault those after the third."""
    faults = [TRANSIENT_FAULTS[name] for name in names]
    account.sandbox.fault(*(msgspec.structs.replace(fault, after=3 * place) for place, fault in enumerate(faults)))
    result = account.run(tmp_path)
    reports = account.sandbox.faults()
    assert [name for name, report in zip(names, reports, strict=True) if not report["struck"]] == []
    assert result.complete
    assert account.read_digests(tmp_path) == undisturbed


@pytest.mark.parametrize(("served", "name"), spread(BROKEN_LISTS), indirect=["served"])
def test_a_list_that_breaks_once_is_read_again_from_its_beginning(account, undisturbed, tmp_path, name):
    route = ENROLLMENTS if account.strategy == "sweep" else "/unified/lms/users"
    account.sandbox.fault(set_route(LIST_FAULTS[name], route))
    result = account.run(tmp_path)
    assert account.sandbox.faults()[0]["struck"] > 0
    assert result.complete
    assert account.read_digests(tmp_path) == undisturbed


@pytest.mark.parametrize(("served", "name"), spread(LASTING_FAULTS), indirect=["served"])
def test_a_lasting_fault_ends_the_run_and_the_next_run_resumes_it(account, undisturbed, tmp_path, name, monkeypatch):
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 2**20)
    fault, message = LASTING_FAULTS[name]
    account.sandbox.fault(fault)
    with pytest.raises(LmsPipelineError, match=message):
        account.run(tmp_path)
    assert SnapshotRunner(tmp_path, account.sandbox.url).list_published_tables() == []
    successful = account.list_successful_requests()
    assert successful
    account.sandbox.clear_faults()
    account.sandbox.clear_counts()
    account.run(tmp_path)
    assert not set(successful) & set(account.list_successful_requests())
    assert account.read_digests(tmp_path) == undisturbed


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (RepeatedCursor(), "Truto repeats a page"),
        (ExpiredCursor(), "next_cursor has expired"),
        (ExpiredCursor(status=404), "refused the cursor to the next page"),
        (Endless(), "The list has no end after 20 pages"),
        (Endless(empty=True), "The list has no end after 6 empty pages"),
    ],
    ids=[
        "a repeated cursor",
        "an expired cursor",
        "an expired cursor, 404",
        "a list without an end",
        "empty pages without an end",
    ],
)
def test_a_list_that_always_breaks_is_an_error(account, tmp_path, fault, message, monkeypatch):
    monkeypatch.setattr(list_bounds, "MAX_PAGES", 20)
    monkeypatch.setattr(list_bounds, "MAX_EMPTY_PAGES", 5)
    account.sandbox.fault(set_route(fault, "/unified/lms/users"))
    with pytest.raises(LmsPipelineError, match=message):
        account.run(tmp_path)
    assert SnapshotRunner(tmp_path, account.sandbox.url).list_published_tables() == []


def test_pages_that_always_shift_publish_all_records_as_an_incomplete_snapshot(account, tmp_path):
    if account.strategy != "sweep":
        pytest.skip("the roster strategy fetches enrollments pair by pair, without pages")
    account.sandbox.fault(ShiftedPage(by=2, route=ENROLLMENTS))
    result = account.run(tmp_path)
    assert not result.complete
    assert result.rows.duplicates.identical > 0
    published = next(one for one in result.published if one.table.name == "unified_enrollments")
    assert published.rows == 24


def test_a_partial_response_makes_the_snapshot_incomplete(account, tmp_path):
    account.sandbox.fault(Partial(times=1, route=ENROLLMENTS))
    assert account.run(tmp_path).complete is False


@pytest.mark.parametrize(
    "fault",
    [EmptyPage(times=1, route=ENROLLMENTS), Partial(share=0, times=1, route=ENROLLMENTS)],
    ids=["with a cursor", "that says it is partial"],
)
def test_an_empty_response_about_a_pair_is_no_absence(account, tmp_path, fault):
    if account.strategy != "roster":
        pytest.skip("a sweep requests no single pair")
    account.sandbox.fault(fault)
    result = account.run(tmp_path)
    assert (result.complete, result.pairs.not_enrolled, result.rows.served) == (False, 0, 23)


def test_a_course_that_vanishes_after_its_list_makes_the_snapshot_incomplete(account, tmp_path):
    if account.strategy != "roster":
        pytest.skip("a sweep requests no single course")
    account.sandbox.fault(Status(status=404, remote=True, route=COURSE, times=1))
    result = account.run(tmp_path)
    assert (result.pairs.gone, result.complete) == (1, False)
    assert result.rows.served == 16


def test_an_unreachable_api_is_an_error_and_a_later_run_succeeds(account, undisturbed, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        unreachable = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(LmsPipelineError, match=r"^No connection"):
        account.run(tmp_path, unreachable)
    account.run(tmp_path)
    assert account.read_digests(tmp_path) == undisturbed


def set_route(fault: Fault, route: str) -> Fault:
    return msgspec.structs.replace(fault, route=route)


FIRST_FAILED = [("sweep", 0, "none"), ("sweep", 1, "empty"), ("sweep", 2, "all")]
MORE_FAILED = [("roster", 0, "empty"), ("roster", 1, "all"), ("roster", 2, "none")]


@pytest.mark.parametrize(
    ("served", "after", "records"),
    choose(FIRST_FAILED + MORE_FAILED, list(product(STRATEGIES, [0, 1, 2], ["none", "empty", "all"]))),
    indirect=["served"],
)
def test_no_page_that_says_that_it_failed_ends_or_shortens_a_list(account, undisturbed, tmp_path, records, after):
    route = ENROLLMENTS if account.strategy == "sweep" else "/unified/lms/users"
    account.sandbox.fault(FailedBody(records=records, after=after, times=1, route=route))
    result = account.run(tmp_path)
    assert account.sandbox.faults()[0]["struck"] == 1
    assert result.complete
    assert account.read_digests(tmp_path) == undisturbed
