"""Every trouble that an API can make, through a whole pull, by sweep and by roster.

Each ends in the same snapshot as without it, in one that says it isn't complete, or in a clear error with nothing
published and everything that was answered kept. `docs/talentlms.md` has the table.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path

import msgspec
import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.sandbox import RunningSandbox, World, records_world, running
from lms_pipeline.sandbox.faults import (
    BadUtf8,
    Cut,
    Debug,
    Drift,
    EmptyPage,
    Endless,
    ExpiredCursor,
    Fault,
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
from lms_pipeline.truto import pagination, transport
from lms_pipeline_tests.support.portal import PORTAL, Portal
from lms_pipeline_tests.support.sandbox import build_line, write_lines
from lms_pipeline_tests.support.snapshot_runs import DAY, Taker

ENROLLMENTS, COURSE = "/unified/lms/course-enrollments", "/unified/lms/courses/{id}"

PASSING: dict[str, Fault] = {
    "429 without a word": Status(status=429, times=2),
    "429 for seconds": Status(status=429, retry_after=3, times=2),
    "429 until a date": Status(status=429, retry_after=3, retry_after_as="date", times=2),
    "429 of the provider": Status(status=429, remote=True, ratelimit_reset=4, times=2),
    **{
        f"{status}": Status(status=status, remote=status > 500, times=2)
        for status in (408, 425, 500, 502, 503, 504)
    },
    "reset before a byte": Reset(times=2),
    "reset in the middle": Reset(share=0.5, times=2),
    "cut under the whole length": Cut(length="whole", times=2),
    "cut under its own length": Cut(length="cut", times=2),
    "cut in chunks": Cut(length="chunked", times=2),
    "late": Slow(seconds=30, times=1),
    "dripping": Slow(bytes_per_second=20_000, times=1),
    "a page for people": Html(times=2),
    "bad UTF-8": BadUtf8(times=2),
    "secrets": Debug(),
    "types that drift": Drift(),
    "one in three of everything": Status(status=502, rate=0.3),
}
"""After these the snapshot is the same."""

OF_LISTS: dict[str, Fault] = {
    "a repeated cursor": RepeatedCursor(times=1),
    "an expired cursor": ExpiredCursor(times=1),
    "empty pages with a cursor": EmptyPage(times=2),
    "pages that shift once": ShiftedPage(by=2, times=1),
}
"""After these it is the same, of a list."""

LASTING: dict[str, tuple[Fault, str]] = {
    "the connection is revoked": (RevokedConnection(after=4, times=1), "connection to its LMS is broken"),
    "the token is revoked": (RevokedToken(after=4, times=1), "does not accept the token"),
    "forbidden": (Status(status=403, after=4), "refused the request"),
    "down for good": (Status(status=500, after=4), "failed to answer"),
    "blocked": (Status(status=503, after=4), "failed to answer"),
    "limited for too long": (Status(status=429, retry_after=86_400, after=4), "Too many requests"),
    "a gzip that explodes": (GzipBomb(after=4), "is larger than 1 MB"),
}
"""These end the pull with an error; when they are over, it goes on where it was."""


@dataclass
class Account:
    """One that is pulled whole, over and over."""

    sandbox: RunningSandbox
    account_id: str
    strategy: str

    def take(self, root: Path, url: str | None = None) -> SnapshotResult:
        options = AccountOptions(
            strategy=self.strategy,  # type: ignore[arg-type] # one of them
            page_size=5,
        )
        return Taker(root, url or self.sandbox.url, self.sandbox.token, timeout=0.5).take(
            account_id=self.account_id, identity="pair", options=options
        )

    def digests(self, root: Path) -> list[str]:
        taker = Taker(root, self.sandbox.url)
        return [read_metadata(taker.file(name, account_id=self.account_id))["digest"] for name in TABLES]

    def asked(self) -> list[tuple[str, str]]:
        return [
            (one.path, str(one.query))
            for one in self.sandbox.requests()
            if one.status == 200 and not one.faults
        ]


def world_of(strategy: str, folder: Path) -> tuple[World, str]:
    if strategy == "roster":
        return Portal(learners=12, courses=3, each=2), PORTAL
    lines = [
        build_line(
            f"e{number}", with_={"user": {"id": f"{number}"}, "score": number}, raw={"role": "learner"}
        )
        for number in range(24)
    ]
    return records_world([write_lines(folder / "lines.ndjson", lines)]), "acme"


@pytest.fixture(scope="module", params=["sweep", "roster"])
def served(request, tmp_path_factory) -> Iterator[tuple[Account, list[str]]]:
    """An account, and the digests of its undisturbed snapshot."""
    world, account_id = world_of(request.param, tmp_path_factory.mktemp("world"))
    with running(world) as sandbox:
        sandbox.set_clock(datetime.combine(DAY, time.max, UTC))
        account = Account(sandbox, account_id, request.param)
        root = tmp_path_factory.mktemp("undisturbed")
        assert account.take(root).complete
        yield account, account.digests(root)


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


@pytest.mark.parametrize("trouble", PASSING)
def test_a_trouble_that_passes_leaves_no_trace(account, undisturbed, tmp_path, trouble):
    account.sandbox.fault(PASSING[trouble])
    report = account.take(tmp_path)
    assert account.sandbox.faults()[0]["struck"] > 0
    assert report.complete
    assert account.digests(tmp_path) == undisturbed


@pytest.mark.parametrize("trouble", OF_LISTS)
def test_a_list_that_goes_wrong_once_is_read_anew(account, undisturbed, tmp_path, trouble):
    route = ENROLLMENTS if account.strategy == "sweep" else "/unified/lms/users"
    account.sandbox.fault(_on(OF_LISTS[trouble], route))
    report = account.take(tmp_path)
    assert account.sandbox.faults()[0]["struck"] > 0
    assert report.complete
    assert account.digests(tmp_path) == undisturbed


@pytest.mark.parametrize("trouble", LASTING)
def test_a_trouble_that_stays_ends_the_pull_which_goes_on_where_it_was(
    account, undisturbed, tmp_path, trouble, monkeypatch
):
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 2**20)
    fault, says = LASTING[trouble]
    account.sandbox.fault(fault)
    with pytest.raises(LmsPipelineError, match=says):
        account.take(tmp_path)
    assert Taker(tmp_path, account.sandbox.url).visible() == []
    answered = account.asked()
    assert answered
    account.sandbox.clear_faults()
    account.sandbox.clear_counts()
    account.take(tmp_path)
    assert not set(answered) & set(account.asked())
    assert account.digests(tmp_path) == undisturbed


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (RepeatedCursor(), "Truto repeats a page"),
        (ExpiredCursor(), "next_cursor has expired"),
        (Endless(), "The list has no end after 20 pages"),
        (Endless(empty=True), "The list has no end after 6 empty pages"),
    ],
    ids=["a repeated cursor", "an expired cursor", "a list without an end", "empty pages without an end"],
)
def test_a_list_that_always_goes_wrong_is_an_error(account, tmp_path, fault, says, monkeypatch):
    monkeypatch.setattr(pagination, "MAX_PAGES", 20)
    monkeypatch.setattr(pagination, "MAX_EMPTY_PAGES", 5)
    account.sandbox.fault(_on(fault, "/unified/lms/users"))
    with pytest.raises(LmsPipelineError, match=says):
        account.take(tmp_path)
    assert Taker(tmp_path, account.sandbox.url).visible() == []


def test_pages_that_always_shift_bring_all_and_say_that_something_may_be_missing(account, tmp_path):
    if account.strategy != "sweep":
        pytest.skip("pairs are asked for one by one: there are no pages to shift")
    account.sandbox.fault(ShiftedPage(by=2, route=ENROLLMENTS))
    report = account.take(tmp_path)
    assert not report.complete
    assert report.rows.duplicates.identical > 0
    published = next(one for one in report.published if one.table.name == "unified_enrollments")
    assert published.rows == 24


def test_a_part_that_is_missing_is_told(account, tmp_path):
    account.sandbox.fault(Partial(times=1, route=ENROLLMENTS))
    assert account.take(tmp_path).complete is False


def test_a_course_that_vanishes_between_list_and_detail_is_told(account, tmp_path):
    if account.strategy != "roster":
        pytest.skip("a sweep asks for no course")
    account.sandbox.fault(Status(status=404, remote=True, route=COURSE, times=1))
    report = account.take(tmp_path)
    assert (report.pairs.gone, report.complete) == (1, False)
    assert report.rows.served == 16


def test_where_nobody_listens_is_told_and_the_pull_begins_when_somebody_does(account, undisturbed, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(LmsPipelineError, match=r"^No connection"):
        account.take(tmp_path, nobody)
    account.take(tmp_path)
    assert account.digests(tmp_path) == undisturbed


def _on(fault: Fault, route: str) -> Fault:
    return msgspec.structs.replace(fault, route=route)
