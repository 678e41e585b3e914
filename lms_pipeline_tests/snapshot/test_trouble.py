"""A pull that may not start, or doesn't come to its end: nothing is published, and what was there stays."""

import shutil
import subprocess
import sys
from datetime import date, timedelta
from threading import Event
from types import SimpleNamespace

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.days import DayNotOpenError
from lms_pipeline.errors import LmsPipelineError, SettingsError
from lms_pipeline.extract.session import PairDemandedError
from lms_pipeline.lake.disk import LakeError
from lms_pipeline.lake.lock import LockedError
from lms_pipeline.lake.paths import BadIdError
from lms_pipeline.snapshot.job import TABLES, SnapshotJob
from lms_pipeline.snapshot.run import take_snapshot
from lms_pipeline.truto.errors import PermanentError, TransientError, TrutoError
from lms_pipeline_tests.support.lake_files import incompressible_text, limit_file_size
from lms_pipeline_tests.support.scripted_api import page, refusal
from lms_pipeline_tests.support.scripted_server import SILENCE, serve
from lms_pipeline_tests.support.snapshot_runs import CALENDAR, CLOSED, DAY, OPEN, Taker, by_path, record

NO_ANSWERS = "http://127.0.0.1:9"


@pytest.fixture
def taker(tmp_path):
    """Of a server that isn't there: who asks it fails."""
    return Taker(tmp_path, NO_ANSWERS)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    root = tmp_path_factory.mktemp("earlier")
    with serve(by_path([page(record("old"))])) as server:
        Taker(root, server.url).take(run_id="run-0")
    return root


@pytest.fixture
def taken(tmp_path, earlier):
    """One snapshot is there already."""
    return Taker(shutil.copytree(earlier, tmp_path / "data"), NO_ANSWERS)


def the_old_snapshot_stays(taker: Taker) -> bool:
    runs = {taker.metadata(name)["run_id"] for name in TABLES}
    return (runs, taker.rows("unified_enrollments", "user_id"), taker.left_over()) == (
        {"run-0"},
        [("old",)],
        [],
    )


class TestDay:
    @pytest.mark.parametrize(
        ("day", "now", "says"),
        [
            (date(2026, 3, 2), OPEN, "2026-03-02 has not ended yet"),
            (date(2026, 2, 28), OPEN, "2026-02-28 has ended and its grace period is over"),
        ],
    )
    def test_that_is_not_open_is_refused_without_a_call(self, tmp_path, day, now, says):
        with serve(by_path()) as server, pytest.raises(DayNotOpenError) as caught:
            Taker(tmp_path, server.url).take(day=day, now=now)
        assert str(caught.value).startswith(says)
        assert str(caught.value).endswith("the day that is open is 2026-03-01.")
        assert server.received == []

    @pytest.mark.parametrize("now", [CLOSED, CLOSED + timedelta(days=400)])
    def test_that_is_over_keeps_its_snapshot_without_a_call_and_without_a_token(self, taken, now):
        def connect(_gate, _store):
            raise SettingsError("There is no API token.")

        job = SnapshotJob("acme", DAY, "run-1", "enrollment_id", AccountOptions())
        report = take_snapshot(job, connect=connect, data=taken.data, calendar=CALENDAR, now=lambda: now)
        assert (report.kept, report.requests) == (True, 0)
        assert [(one.table.name, one.path, one.rows) for one in report.published] == [
            (name, taken.file(name), int(name == "unified_enrollments")) for name in TABLES
        ]
        assert the_old_snapshot_stays(taken)

    def test_that_is_over_is_kept_for_the_tables_it_has(self, tmp_path):
        with serve(by_path(users=[page({"id": "u1"})])) as server:
            taker = Taker(tmp_path, server.url)
            taker.take(tables=["learners"])
            assert taker.take(tables=["learners"], now=CLOSED).kept
            for tables in (["courses"], ["learners", "courses"], ["unified_enrollments"], TABLES):
                with pytest.raises(DayNotOpenError):
                    taker.take(tables=tables, now=CLOSED)

    def test_that_is_still_open_is_pulled_anew(self, taken):
        with serve(by_path([page(record("new"))])) as server:
            taken.url = server.url
            report = taken.take(now=CLOSED - timedelta(microseconds=1))
        assert report.kept is False
        assert taken.rows("unified_enrollments", "user_id") == [("new",)]


class TestFailure:
    @pytest.mark.parametrize(
        ("answers", "error"),
        [
            ({"enrollments": [refusal(401)]}, PermanentError),
            ({"enrollments": [page(record("new"), cursor="1"), refusal(400)] * 2}, PermanentError),
            ({"enrollments": [page(record("new"), cursor="1"), *[refusal(500)] * 6]}, TransientError),
            (
                {"enrollments": [page(record("new"), cursor="1")] * 4},
                TransientError,
            ),
            ({"enrollments": [page(record("new"))], "users": [refusal(403)]}, PermanentError),
            (
                {"enrollments": [page(record("new"))], "courses": [page(cursor="1"), refusal(404)]},
                PermanentError,
            ),
        ],
    )
    def test_in_the_middle_publishes_nothing_and_the_earlier_snapshot_stays(self, taken, answers, error):
        with serve(by_path(**answers)) as server:
            taken.url = server.url
            with pytest.raises(error):
                taken.take()
        assert the_old_snapshot_stays(taken)

    def test_of_a_first_pull_leaves_nothing(self, tmp_path):
        with serve(by_path([page(record("u1"), cursor="1"), refusal(400)] * 2)) as server:
            taker = Taker(tmp_path, server.url)
            with pytest.raises(TrutoError):
                taker.take()
        assert (taker.visible(), taker.left_over()) == ([], [])

    def test_of_an_account_that_demands_the_pair_is_told_with_what_to_do(self, tmp_path):
        insight = {"missing_required_query_parameters": {"value": ["user[id]", "course[id]"]}}
        answers = by_path([refusal(400, "Missing", truto_error_insight=insight)])
        with serve(answers) as server, pytest.raises(PairDemandedError) as caught:
            Taker(tmp_path, server.url).take(options=AccountOptions(strategy="sweep"))
        assert "Account acme can't be swept" in str(caught.value)
        assert 'set strategy = "auto" for it' in str(caught.value)

    def test_of_the_disk_is_one_sentence_and_the_earlier_snapshot_stays(self, taken):
        wide = [page(*(record(f"u{number}", more=incompressible_text(number)) for number in range(100)))]
        with serve(by_path(wide)) as server:
            taken.url = server.url
            with (
                limit_file_size(300_000),
                pytest.raises(
                    LmsPipelineError,
                    match=r"can't be (written|stored or read): .*(free some space|free space) and run it",
                ),
            ):
                taken.take()
        assert the_old_snapshot_stays(taken)

    def test_without_room_for_the_pull_is_told_before_a_call(self, taken, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=199_999_999))
        with pytest.raises(LakeError, match=r"^There is not enough free space to pull acme on 2026-03-01: "):
            taken.take()
        assert the_old_snapshot_stays(taken)

    def test_of_a_file_in_the_place_of_a_folder_is_told_before_a_call(self, taker):
        taker.data.state.write_text("")
        with pytest.raises(LakeError, match=r"state/pulls/.* can't be written: Not a directory; "):
            taker.take()

    def test_of_an_id_that_can_not_become_a_path_is_told_before_a_call(self, taker):
        with pytest.raises(BadIdError):
            taker.take(account_id="../x")


class TestAlone:
    def test_a_second_pull_of_the_same_account_and_day_is_refused_while_the_first_runs(self, tmp_path):
        refused: list[str] = []
        taker = Taker(tmp_path, NO_ANSWERS)

        def answer(asked):
            if not refused:
                with pytest.raises(LockedError) as caught:
                    taker.take(run_id="run-2")
                refused.append(str(caught.value))
            return page()

        with serve(answer) as server:
            taker.url = server.url
            taker.take()
        assert refused == [
            "acme on 2026-03-01 is being pulled by another run: wait for it, or stop it, and try again."
        ]
        assert taker.metadata()["run_id"] == "run-1"

    def test_another_account_or_day_is_not_in_its_way(self, tmp_path):
        others: list[str] = []

        def answer(asked):
            if not others:
                others.append("being taken")
                with serve(by_path()) as second:
                    other = Taker(tmp_path, second.url)
                    other.take(account_id="other")
                    other.take(day=date(2026, 3, 2), now=OPEN + timedelta(days=1))
                others.append("taken")
            return page()

        with serve(answer) as server:
            taker = Taker(tmp_path, server.url)
            taker.take()
        assert others == ["being taken", "taken"]
        assert taker.visible() == sorted([*TABLES] * 3)

    def test_what_a_killed_process_left_is_removed_and_its_lock_is_gone(self, tmp_path):
        stalled = Event()

        def answer(asked):
            if "next_cursor" in asked.target:
                stalled.set()
                return SILENCE
            return page(record("u1"), cursor="1")

        code = (
            "import sys; from pathlib import Path; from lms_pipeline_tests.support.snapshot_runs import Taker;"
            "Taker(Path(sys.argv[1]), sys.argv[2]).take(run_id='run-0')"
        )
        with serve(answer) as server:
            command = [sys.executable, "-c", code, str(tmp_path), server.url]
            with subprocess.Popen(command) as killed:
                try:
                    assert stalled.wait(60)
                    with pytest.raises(LockedError):
                        Taker(tmp_path, NO_ANSWERS).take()
                finally:
                    killed.kill()
        with serve(by_path()) as server:
            taker = Taker(tmp_path, server.url)
            assert sorted(set(taker.left_over())) == [".data.parquet.run-0", "waiting"]
            taker.take()
        assert taker.left_over() == []
        assert taker.visible() == sorted(TABLES)
