"""Runs that may not start or that fail: nothing is published, and an earlier snapshot stays."""

import shutil
import subprocess
import sys
from datetime import date, timedelta
from threading import Event
from types import SimpleNamespace

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.days import DayNotOpenError
from lms_pipeline.errors import LakeError, LmsPipelineError, SettingsError
from lms_pipeline.extract.session import PairDemandedError
from lms_pipeline.lake.lock import LockedError
from lms_pipeline.lake.paths import BadIdError
from lms_pipeline.snapshot.job import TABLES, SnapshotJob
from lms_pipeline.snapshot.run import take_snapshot
from lms_pipeline.truto.errors import PermanentError, TransientError, TrutoError
from lms_pipeline_tests.support.lake_files import incompressible_text, limit_file_size
from lms_pipeline_tests.support.scripted_api import page, refusal
from lms_pipeline_tests.support.scripted_server import SILENCE, serve
from lms_pipeline_tests.support.snapshot_runs import (
    CALENDAR,
    CLOSED,
    DAY,
    OPEN,
    SnapshotRunner,
    record,
    respond_by_path,
)

UNREACHABLE_URL = "http://127.0.0.1:9"


@pytest.fixture
def runner(tmp_path):
    """A runner without a server: every request fails."""
    return SnapshotRunner(tmp_path, UNREACHABLE_URL)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    root = tmp_path_factory.mktemp("earlier")
    with serve(respond_by_path([page(record("old"))])) as server:
        SnapshotRunner(root, server.url).run(run_id="run-0")
    return root


@pytest.fixture
def published(tmp_path, earlier):
    """A runner without a server whose data directory holds one snapshot."""
    return SnapshotRunner(shutil.copytree(earlier, tmp_path / "data"), UNREACHABLE_URL)


def has_only_the_old_snapshot(runner: SnapshotRunner) -> bool:
    runs = {runner.read_metadata(name)["run_id"] for name in TABLES}
    return (runs, runner.read_rows("unified_enrollments", "user_id"), runner.list_leftovers()) == (
        {"run-0"},
        [("old",)],
        [],
    )


class TestDay:
    @pytest.mark.parametrize(
        ("day", "now", "message"),
        [
            (date(2026, 3, 2), OPEN, "2026-03-02 has not ended yet"),
            (date(2026, 2, 28), OPEN, "2026-02-28 is closed and can't be pulled any more"),
        ],
    )
    def test_that_is_not_open_is_refused_without_a_call(self, tmp_path, day, now, message):
        with serve(respond_by_path()) as server, pytest.raises(DayNotOpenError) as caught:
            SnapshotRunner(tmp_path, server.url).run(day=day, now=now)
        assert str(caught.value).startswith(message)
        assert str(caught.value).endswith("the day that is open is 2026-03-01.")
        assert server.received == []

    @pytest.mark.parametrize("now", [CLOSED, CLOSED + timedelta(days=400)])
    def test_that_is_closed_keeps_its_snapshot_without_a_call_or_a_token(self, published, now):
        def connect(_gate, _store):
            raise SettingsError("There is no API token.")

        job = SnapshotJob("acme", DAY, "run-1", "enrollment_id", AccountOptions())
        result = take_snapshot(job, connect=connect, data=published.data, calendar=CALENDAR, now=lambda: now)
        assert (result.kept, result.requests) == (True, 0)
        assert [(one.table.name, one.path, one.rows) for one in result.published] == [
            (name, published.file(name), int(name == "unified_enrollments")) for name in TABLES
        ]
        assert has_only_the_old_snapshot(published)

    def test_that_is_closed_keeps_only_the_tables_that_it_has(self, tmp_path):
        with serve(respond_by_path(users=[page({"id": "u1"})])) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            runner.run(tables=["learners"])
            assert runner.run(tables=["learners"], now=CLOSED).kept
            for tables in (["courses"], ["learners", "courses"], ["unified_enrollments"], TABLES):
                with pytest.raises(DayNotOpenError):
                    runner.run(tables=tables, now=CLOSED)

    def test_that_is_still_open_is_pulled_again(self, published):
        with serve(respond_by_path([page(record("new"))])) as server:
            published.url = server.url
            result = published.run(now=CLOSED - timedelta(microseconds=1))
        assert result.kept is False
        assert published.read_rows("unified_enrollments", "user_id") == [("new",)]


class TestFailure:
    @pytest.mark.parametrize(
        ("responses", "error"),
        [
            ({"enrollments": [refusal(401)]}, PermanentError),
            ({"enrollments": [page(record("new"), cursor="1"), refusal(400)] * 2}, PermanentError),
            ({"enrollments": [page(record("new"), cursor="1"), *[refusal(500)] * 6]}, TransientError),
            ({"enrollments": [page(record("new"), cursor="1")] * 4}, TransientError),
            ({"enrollments": [page(record("new"))], "users": [refusal(403)]}, PermanentError),
            ({"enrollments": [page(record("new"))], "courses": [page(cursor="1"), refusal(404)] * 2}, PermanentError),
            (
                {"enrollments": [page(record("new"))], "courses": [page(cursor="1"), *[refusal(404)] * 2]},
                PermanentError,
            ),
        ],
    )
    def test_in_the_middle_of_a_run_publishes_nothing_and_keeps_the_earlier_snapshot(self, published, responses, error):
        with serve(respond_by_path(**responses)) as server:
            published.url = server.url
            with pytest.raises(error):
                published.run()
        assert has_only_the_old_snapshot(published)

    def test_of_a_first_run_leaves_no_files(self, tmp_path):
        with serve(respond_by_path([page(record("u1"), cursor="1"), refusal(400)] * 2)) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            with pytest.raises(TrutoError):
                runner.run()
        assert (runner.list_published_tables(), runner.list_leftovers()) == ([], [])

    def test_of_an_account_that_demands_the_pair_says_what_to_do(self, tmp_path):
        insight = {"missing_required_query_parameters": {"value": ["user[id]", "course[id]"]}}
        script = respond_by_path([refusal(400, "Missing", truto_error_insight=insight)])
        with serve(script) as server, pytest.raises(PairDemandedError) as caught:
            SnapshotRunner(tmp_path, server.url).run(options=AccountOptions(strategy="sweep"))
        assert "Account acme can't be swept" in str(caught.value)
        assert 'set strategy = "auto" for it' in str(caught.value)

    def test_of_the_disk_is_one_sentence_and_keeps_the_earlier_snapshot(self, published):
        wide = [page(*(record(f"u{number}", more=incompressible_text(number)) for number in range(100)))]
        with serve(respond_by_path(wide)) as server:
            published.url = server.url
            with (
                limit_file_size(300_000),
                pytest.raises(
                    LmsPipelineError,
                    match=r"can't be (written|stored or read): .*(free some space|free space) and run it",
                ),
            ):
                published.run()
        assert has_only_the_old_snapshot(published)

    def test_by_lack_of_free_space_precedes_every_call(self, published, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=199_999_999))
        with pytest.raises(LakeError, match=r"^There is not enough free space to pull acme on 2026-03-01: "):
            published.run()
        assert has_only_the_old_snapshot(published)

    def test_by_a_file_in_the_place_of_a_folder_precedes_every_call(self, runner):
        runner.data.state.write_text("")
        with pytest.raises(LakeError, match=r"state/pulls/.* can't be written: Not a directory; "):
            runner.run()

    def test_by_an_id_that_is_no_path_precedes_every_call(self, runner):
        with pytest.raises(BadIdError):
            runner.run(account_id="../x")


class TestSharedIds:
    """Enrollments of different learners or courses have one id."""

    SENTENCE = (
        "Account acme gives enrollments of different learners or courses the same enrollment id, 2 times, so that the id "
        'identifies no enrollment; nothing was published: set identity = "pair" for it in LMS_ACCOUNTS_FILE.'
    )
    PAGES = ([record("u1", id="e1"), record("u1", "c2", id="e1")], [record("u2", id="e2"), record("u3", id="e2")])

    def serve_pages(self, *records):
        pages = [page(*some, cursor=str(number)) for number, some in enumerate(records[:-1])]
        return serve(respond_by_path([*pages, page(*records[-1])]))

    def test_publish_nothing_and_the_sentence_names_the_option(self, published):
        with self.serve_pages(*self.PAGES) as server:
            published.url = server.url
            with pytest.raises(LmsPipelineError) as caught:
                published.run()
        assert str(caught.value) == self.SENTENCE
        assert has_only_the_old_snapshot(published)

    def test_are_not_read_a_second_time(self, tmp_path):
        with self.serve_pages(*self.PAGES) as server:
            with pytest.raises(LmsPipelineError, match="identifies no enrollment"):
                SnapshotRunner(tmp_path, server.url).run()
            paths = [request.path for request in server.received if request.path.endswith("/course-enrollments")]
        assert len(paths) == 2

    def test_are_refused_again_without_a_call(self, tmp_path):
        with self.serve_pages(*self.PAGES) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            with pytest.raises(LmsPipelineError):
                runner.run()
        runner.url = UNREACHABLE_URL
        with pytest.raises(LmsPipelineError) as caught:
            runner.run(run_id="run-2")
        assert str(caught.value) == self.SENTENCE

    def test_across_pages_are_refused(self, tmp_path):
        with self.serve_pages([record("u1", id="e1")], [record("u2", id="e1")]) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            with pytest.raises(LmsPipelineError, match="the same enrollment id, 1 times,"):
                runner.run()
        assert runner.list_published_tables() == []

    def test_with_the_pair_as_identity_are_published(self, tmp_path):
        with self.serve_pages(*self.PAGES) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            result = runner.run(identity="pair")
        assert runner.read_rows("unified_enrollments", "enrollment_id", "user_id", "course_id") == [
            ("e1", "u1", "c1"),
            ("e1", "u1", "c2"),
            ("e2", "u2", "c1"),
            ("e2", "u3", "c1"),
        ]
        assert result.complete

    def test_of_a_rejected_record_are_no_reason(self, tmp_path):
        with self.serve_pages([record("u1", id="e1"), record("u2", id="e1", user={})]) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            runner.run()
        assert runner.read_rows("unified_enrollments", "user_id") == [("u1",)]
        assert runner.read_rows("rejected_enrollments", "field") == [("user.id",)]


class TestLock:
    def test_refuses_a_second_run_of_the_same_account_and_day(self, tmp_path):
        refused: list[str] = []
        runner = SnapshotRunner(tmp_path, UNREACHABLE_URL)

        def respond(request):
            if not refused:
                with pytest.raises(LockedError) as caught:
                    runner.run(run_id="run-2")
                refused.append(str(caught.value))
            return page()

        with serve(respond) as server:
            runner.url = server.url
            runner.run()
        assert refused == ["acme on 2026-03-01 is being pulled by another run: wait for it, or stop it, and try again."]
        assert runner.read_metadata()["run_id"] == "run-1"

    def test_allows_another_account_or_day(self, tmp_path):
        others: list[str] = []

        def respond(request):
            if not others:
                others.append("running")
                with serve(respond_by_path()) as second:
                    other = SnapshotRunner(tmp_path, second.url)
                    other.run(account_id="other")
                    other.run(day=date(2026, 3, 2), now=OPEN + timedelta(days=1))
                others.append("published")
            return page()

        with serve(respond) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            runner.run()
        assert others == ["running", "published"]
        assert runner.list_published_tables() == sorted([*TABLES] * 3)

    def test_of_a_killed_process_is_free_and_the_next_run_removes_its_leftovers(self, tmp_path):
        stalled = Event()

        def respond(request):
            if "next_cursor" in request.target:
                stalled.set()
                return SILENCE
            return page(record("u1"), cursor="1")

        code = (
            "import sys; from pathlib import Path; from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner;"
            "SnapshotRunner(Path(sys.argv[1]), sys.argv[2]).run(run_id='run-0')"
        )
        with serve(respond) as server:
            command = [sys.executable, "-c", code, str(tmp_path), server.url]
            with subprocess.Popen(command) as killed:
                try:
                    assert stalled.wait(60)
                    with pytest.raises(LockedError):
                        SnapshotRunner(tmp_path, UNREACHABLE_URL).run()
                finally:
                    killed.kill()
        with serve(respond_by_path()) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            assert sorted(set(runner.list_leftovers())) == [".data.parquet.run-0"]
            runner.run()
        assert runner.list_leftovers() == []
        assert runner.list_published_tables() == sorted(TABLES)
