"""Accounts that send without an end: each ends at a bound of its own, and the others find room."""

import hashlib
import shutil
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.errors import LakeError, LmsPipelineError
from lms_pipeline.extract.budget import BudgetSpentError, Limits
from lms_pipeline.extract.volume import VolumeSpentError
from lms_pipeline.lake import space
from lms_pipeline.lake.lock import partition_lock
from lms_pipeline.lake.paths import Partition
from lms_pipeline.lake.space import SpaceShortError
from lms_pipeline.lake.stopped import read_stopped
from lms_pipeline.snapshot import volume
from lms_pipeline.snapshot.volume import StoppedPullError
from lms_pipeline.storage.disk import measure_size
from lms_pipeline.storage.state import StateError
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.truto import list_bounds
from lms_pipeline.truto.errors import TrutoError
from lms_pipeline.truto.list_bounds import EndlessListError, RepeatedPageError
from lms_pipeline_tests.support.scripted_api import ScriptedResponse, page, refusal
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import DAY, OPEN, SnapshotRunner, record, respond_by_path

LISTS = ["course-enrollments", "users", "courses"]
FLOOD = Partition("flood", DAY)
STOPPED_AT = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
MB = 10**6


def respond_without_end(endless="course-enrollments", size=100_000, *, repeats=False):
    """Return a script in which one list of the account `flood` never ends; every other list has one record."""
    sent = 0

    def respond(request):
        nonlocal sent
        name = request.path.rpartition("/")[2]
        if "/meta/" in request.path:
            return refusal(404)
        if name == endless and dict(request.query)["integrated_account_id"] == "flood":
            sent += 1
            number = 0 if repeats else sent
            text = hashlib.shake_256(bytes(number)).hexdigest(size // 2)
            return page(record(f"u{number}", custom_fields={"text": text}), cursor=str(sent))
        return page(record("u1") if name == "course-enrollments" else {"id": "u1"})

    return respond


FIRST_CALLS = 3
"""Requests before the first page of enrollments: users, courses, and the metadata of the list."""


def stop(root, error, *, script=None, limits=None, **options):
    """Run a pull that stops, and return its sentence and the number of its requests."""
    with serve(script or respond_without_end()) as server:
        runner = SnapshotRunner(root, server.url)
        with pytest.raises(error) as caught:
            runner.run(account_id="flood", limits=limits, options=AccountOptions(page_size=1, **options))
        return str(caught.value), len(server.received)


def count_kept_bytes(root):
    return measure_size(SnapshotRunner(root, "").data.checkpoints)


def pull_other(root) -> bool:
    """Pull another account, and return its enrollments."""
    with serve(respond_without_end()) as server:
        runner = SnapshotRunner(root, server.url)
        runner.run(account_id="fine")
    return runner.data.file(UNIFIED_ENROLLMENTS, Partition("fine", DAY)).exists()


@pytest.fixture(autouse=True)
def stopped_at(monkeypatch):
    monkeypatch.setattr(volume, "utc_now", lambda: STOPPED_AT)


class TestBounds:
    @pytest.mark.parametrize("endless", LISTS)
    def test_of_records_end_any_list_and_keep_no_responses(self, tmp_path, endless):
        script = respond_without_end(endless, size=1_000_000)
        sentence, requests = stop(tmp_path, EndlessListError, script=script, max_records=5)
        assert sentence.startswith("The list has no end after 6 records (GET /unified/lms/")
        assert requests <= 6 + len(LISTS)
        assert count_kept_bytes(tmp_path) < 200_000
        assert SnapshotRunner(tmp_path, "").list_leftovers() == []

    def test_end_a_pull_with_their_own_error_without_the_database_of_the_state(self, tmp_path, monkeypatch, caplog):
        def fail(*_):
            raise StateError("The database can't be reached.")

        monkeypatch.setattr(volume, "save_stopped", fail)
        stop(tmp_path, EndlessListError, max_records=5)
        assert "The database can't be reached." in caplog.text

    def test_of_gigabytes_end_a_pull_and_keep_no_responses(self, tmp_path):
        sentence, _ = stop(tmp_path, VolumeSpentError, max_gigabytes=0.001)
        assert sentence.startswith("The responses for a snapshot of flood have more than 0.001 GB: ")
        assert count_kept_bytes(tmp_path) < 200_000

    def test_of_records_end_the_raw_list_too(self, tmp_path):
        sentence, _ = stop(
            tmp_path, EndlessListError, script=_respond_endless_raw(), max_records=5, remote_data="raw_format"
        )
        assert sentence.startswith("The list has no end after 6 records (GET ")

    def test_let_a_list_through_that_reaches_them(self, tmp_path):
        pages = [page(record(f"u{number}"), cursor=str(number)) for number in range(4)]
        with serve(respond_by_path([*pages, page(record("u4"))])) as server:
            result = SnapshotRunner(tmp_path, server.url).run(options=AccountOptions(page_size=1, max_records=5))
        assert result.rows.served == 5

    def test_keep_the_snapshot_that_is_published(self, tmp_path):
        with serve(respond_by_path([page(record("old"))])) as server:
            SnapshotRunner(tmp_path, server.url).run(account_id="flood", run_id="run-0")
        stop(tmp_path, EndlessListError, max_records=5)
        assert SnapshotRunner(tmp_path, "").file("unified_enrollments", account_id="flood").exists()

    def test_end_a_list_that_repeats_its_pages_under_new_cursors(self, tmp_path, monkeypatch):
        monkeypatch.setattr(list_bounds, "MAX_REPEATED_PAGES", 3)
        sentence, requests = stop(tmp_path, RepeatedPageError, script=respond_without_end(repeats=True))
        assert sentence.startswith("Truto repeats 3 pages under new cursors (GET /unified/lms/course-enrollments")
        assert requests == FIRST_CALLS + 2 * 4  # the list is read twice

    def test_do_not_count_the_pages_of_a_list_that_broke(self, tmp_path):
        first, second = build_large_page("u1", cursor="1"), build_large_page("u2")
        with serve(respond_by_path([first, refusal(410), first, second])) as server:
            result = SnapshotRunner(tmp_path, server.url).run(
                options=AccountOptions(page_size=1, max_gigabytes=TWO_PAGES)
            )
        assert result.rows.served == 2

    def test_do_not_count_the_pages_of_a_list_that_starts_again_after_a_long_time(self, tmp_path):
        first, second = (build_large_page(f"u{number}", cursor=str(number)) for number in range(2))
        options = AccountOptions(page_size=1, max_gigabytes=TWO_PAGES)
        with serve(respond_by_path([first, second, refusal(403), first, second, page(record("u3"))])) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            with pytest.raises(TrutoError):
                runner.run(options=options)
            result = runner.run(options=options, now=OPEN + timedelta(hours=options.resume_hours, minutes=1))
        assert result.rows.served == 3

    def test_count_the_pages_of_a_list_that_continues(self, tmp_path):
        first, second, third = (build_large_page(f"u{number}", cursor=str(number)) for number in range(3))
        options = AccountOptions(page_size=1, max_gigabytes=TWO_PAGES)
        with serve(respond_by_path([first, second, refusal(403), third])) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            with pytest.raises(TrutoError):
                runner.run(options=options)
            with pytest.raises(VolumeSpentError):
                runner.run(options=options)


TWO_PAGES = 250_000 / 10**9
"""Gigabytes that two large pages, and not three, have room in."""


def build_large_page(user_id, cursor=None):
    return page(record(user_id, custom_fields={"text": "x" * 100_000}), cursor=cursor)


def _respond_endless_raw():
    normal, endless = respond_without_end("none"), respond_without_end(size=10)
    return lambda request: (endless if dict(request.query).get("truto_response_format") == "raw" else normal)(request)


@pytest.fixture(scope="module")
def stopped_data(tmp_path_factory):
    """The data directory after a stop at a bound: for copies."""
    root = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(volume, "utc_now", lambda: STOPPED_AT)
        stop(root, EndlessListError, max_records=5)
    return root


class TestNextTry:
    """After a stop at a bound."""

    @pytest.fixture(autouse=True)
    def stopped(self, tmp_path, stopped_data):
        shutil.copytree(stopped_data, tmp_path, dirs_exist_ok=True)

    def try_at(self, monkeypatch, after):
        monkeypatch.setattr(volume, "utc_now", lambda: STOPPED_AT + after)

    def test_with_the_same_bounds_sends_no_request(self, tmp_path, monkeypatch):
        self.try_at(monkeypatch, timedelta(hours=5))
        sentence, requests = stop(tmp_path, StoppedPullError, max_records=5)
        assert requests == 0
        assert sentence.startswith(
            "The pull of flood on 2026-03-01 stopped at 2026-03-02 01:30 UTC and is not tried again before 07:30, unless "
            "max_gigabytes or max_records of the account change; no request was sent. It stopped because: The list has no "
            "end after 6 records (GET /unified/lms/course-enrollments of account flood)"
        )

    def test_with_another_bound_begins_at_once(self, tmp_path):
        assert stop(tmp_path, EndlessListError, max_records=6)[1] == FIRST_CALLS + 7

    def test_after_six_hours_begins_again(self, tmp_path, monkeypatch):
        self.try_at(monkeypatch, timedelta(hours=6))
        assert stop(tmp_path, EndlessListError, max_records=5)[1] == FIRST_CALLS + 6

    def test_that_ends_forgets_the_stop(self, tmp_path):
        with serve(respond_by_path([page(record("u1"))])) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            runner.run(account_id="flood")
        assert read_stopped(runner.data, FLOOD) is None

    def test_of_another_account_is_not_concerned(self, tmp_path):
        assert pull_other(tmp_path)

    def test_counts_the_calls_of_the_one_that_stopped(self, tmp_path, monkeypatch):
        self.try_at(monkeypatch, timedelta(hours=6))
        _, requests = stop(tmp_path, BudgetSpentError, max_records=5, limits=Limits(per_snapshot=FIRST_CALLS + 6 + 2))
        assert requests == 2


class TestDisk:
    """A disk of 10 MB, of which 1 MB is the reserve and 2 MB is what every pull needs to begin."""

    @pytest.fixture(autouse=True)
    def small_disk(self, tmp_path, monkeypatch):
        monkeypatch.setattr(space, "MIN_FREE_BYTES", 2 * MB)
        monkeypatch.setattr(space, "MAX_UNSEEN_BYTES", 100_000)
        for module in (space, volume):
            monkeypatch.setattr(module, "RESERVE_BYTES", MB)
        self.others = 0
        usage = lambda _: SimpleNamespace(free=max(0, 10 * MB - self.others - measure_size(tmp_path)))  # noqa: E731
        monkeypatch.setattr(shutil, "disk_usage", usage)

    def test_is_never_filled_beyond_its_half(self, tmp_path):
        sentence, requests = stop(tmp_path, SpaceShortError)
        assert sentence.startswith("The pull of flood on 2026-03-01 stopped at ")
        assert "stay free for other accounts" in sentence
        assert 25 < requests < 100  # half of the disk is 5 MB, and a page of 0.05 MB is kept twice for a while

    def test_has_the_space_of_a_stopped_pull_again(self, tmp_path):
        stop(tmp_path, SpaceShortError)
        assert measure_size(tmp_path) < 300_000
        assert SnapshotRunner(tmp_path, "").list_leftovers() == []
        assert pull_other(tmp_path)

    def test_without_more_space_is_not_filled_again(self, tmp_path):
        stop(tmp_path, SpaceShortError)
        sentence, requests = stop(tmp_path, LakeError)
        assert requests == 0
        assert sentence.startswith("There is not enough free space to pull flood on 2026-03-01: ")

    def test_with_more_space_is_tried_again(self, tmp_path):
        stop(tmp_path, SpaceShortError)
        self.others = -4 * MB
        assert stop(tmp_path, SpaceShortError)[1] > 40

    def test_that_others_fill_keeps_the_responses_of_a_small_pull(self, tmp_path):
        pages = iter(range(10**6))
        endless = respond_without_end()

        def fill_later(request):
            self.others = 8_600_000 if next(pages) >= 5 else 0
            return endless(request)

        sentence, requests = stop(tmp_path, SpaceShortError, script=fill_later)
        assert "which stay free for what else is written" in sentence
        assert requests < 10
        assert count_kept_bytes(tmp_path) > 100_000
        assert read_stopped(SnapshotRunner(tmp_path, "").data, FLOOD) is None

    def test_of_a_killed_pull_is_given_back_to_the_next_account(self, tmp_path):
        data = SnapshotRunner(tmp_path, "").data
        path = data.checkpoint_path(FLOOD)
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(9 * MB))
        with partition_lock(data, FLOOD), pytest.raises(LakeError, match="not enough free space to pull fine"):
            pull_other(tmp_path)
        assert pull_other(tmp_path)
        assert not path.exists()


class TestFullDisk:
    """A disk that runs full under a pull, since the pull does not look at it."""

    @pytest.fixture(autouse=True)
    def no_watch(self, monkeypatch):
        monkeypatch.setattr(space, "MIN_FREE_BYTES", 0)
        monkeypatch.setattr(space, "MAX_UNSEEN_BYTES", 10**12)
        monkeypatch.setattr(volume, "RESERVE_BYTES", 0)

    @pytest.mark.parametrize("endless", LISTS)
    def test_is_one_sentence_and_another_account_has_room(self, small_disk, endless):
        sentence, _ = stop(small_disk, LmsPipelineError, script=respond_without_end(endless, size=1_000_000))
        assert "full" in sentence
        assert sentence.count(". ") == 0
        assert measure_size(small_disk) < 500_000
        assert SnapshotRunner(small_disk, "").list_leftovers() == []
        assert pull_other(small_disk)

    @pytest.mark.parametrize("status", [400, 501, 507])
    def test_of_the_lms_is_not_ours_and_the_responses_stay(self, tmp_path, status):
        sentence, requests = stop(tmp_path, TrutoError, script=_respond_full(status, after=3))
        assert "No space left on device" in sentence
        assert read_stopped(SnapshotRunner(tmp_path, "").data, FLOOD) is None
        assert stop(tmp_path, TrutoError, script=_respond_full(status, after=0))[1] < requests


def _respond_full(status, after):
    """Return a script whose list of enrollments fails with the text of a full disk after some pages."""
    endless, pages = respond_without_end(size=10), count()

    def respond(request):
        if request.path.endswith("/course-enrollments") and next(pages) >= after:
            return ScriptedResponse(b'{"message": "write failed: No space left on device"}', status)
        return endless(request)

    return respond
