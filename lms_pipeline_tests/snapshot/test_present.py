"""Today's state is never stored as another day's: later snapshots, the recorded time zone, the end of the grace period."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest

from lms_pipeline.days import Calendar, DayNotOpenError, WrongPresentError, load_zone
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.snapshot.present import check_present
from lms_pipeline_tests.support.lake_files import enrollment, publish
from lms_pipeline_tests.support.scripted_api import page
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import CLOSED, DAY, OPEN, SnapshotRunner, record, respond_by_path

NEXT = DAY + timedelta(days=1)
ACME = Partition("acme", DAY)
UTC_DAYS = Calendar(load_zone("UTC"))


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


class TestLaterSnapshots:
    def test_a_day_before_a_snapshot_of_the_account_is_refused_without_a_call(self, tmp_path):
        publish(DataDir(tmp_path), "acme", NEXT, enrollment("u1"))
        with serve(respond_by_path()) as server, pytest.raises(WrongPresentError) as refused:
            SnapshotRunner(tmp_path, server.url).run()
        assert str(refused.value) == (
            f"acme on {DAY} can't be pulled, since acme has a snapshot of {NEXT}: the clock of this machine or LMS_TIMEZONE "
            "is wrong, or was wrong then; correct it, or remove that snapshot with "
            f"`lms-pipeline housekeeping --remove acme {NEXT}`."
        )
        assert server.received == []

    def test_a_day_that_has_its_snapshot_keeps_it_without_a_call(self, tmp_path):
        for day in (DAY, NEXT):
            publish(DataDir(tmp_path), "acme", day, enrollment("u1"))
        with serve(respond_by_path()) as server:
            assert SnapshotRunner(tmp_path, server.url).run().kept
        assert server.received == []

    def test_snapshots_of_other_accounts_do_not_count(self, tmp_path):
        publish(DataDir(tmp_path), "other", NEXT, enrollment("u1"))
        with serve(respond_by_path([page(record("u1"))])) as server:
            assert not SnapshotRunner(tmp_path, server.url).run().kept


class TestTimeZone:
    def check(self, data, zone, now, day=DAY):
        check_present(data, Partition("acme", day), Calendar(load_zone(zone)), now)

    def test_the_first_pull_records_it(self, data):
        self.check(data, "Europe/Athens", OPEN)
        assert data.time_zone.read_text(encoding="utf-8") == "Europe/Athens"

    @pytest.mark.parametrize(
        ("hour", "is_refused"),
        [(10, False), (14, False), (15, True), (20, True), (23, True)],  # in Tokyo the next day begins at 15:00 UTC
    )
    def test_another_one_is_refused_where_another_day_is_open(self, data, hour, is_refused):
        self.check(data, "UTC", OPEN)
        now = datetime(2026, 3, 2, hour, tzinfo=UTC)
        day = now.astimezone(load_zone("Asia/Tokyo")).date() - timedelta(days=1)
        if not is_refused:
            self.check(data, "Asia/Tokyo", now, day)
            return
        with pytest.raises(WrongPresentError) as refused:
            self.check(data, "Asia/Tokyo", now, day)
        assert str(refused.value) == (
            f"acme on 2026-03-02 can't be pulled: the days of {data.root} are those of UTC, where 2026-03-01 is open now, and "
            f"LMS_TIMEZONE is Asia/Tokyo; set it back, or remove {data.time_zone} to begin the days of Asia/Tokyo."
        )

    def test_a_file_without_a_zone_is_written_again(self, data, caplog):
        data.state.mkdir()
        data.time_zone.write_bytes(b"\xff\xfe")
        self.check(data, "Asia/Tokyo", OPEN)
        assert data.time_zone.read_text(encoding="utf-8") == "Asia/Tokyo"
        [warning] = caplog.messages
        assert warning.startswith(f"{data.time_zone} is damaged (it holds no time zone): it is now ")

    def test_no_process_finds_the_file_half_written(self, data, monkeypatch):
        found, open_ = set(), Path.open

        def look(path, *args, **more):
            file = open_(path, *args, **more)
            found.add(data.time_zone.stat().st_size if data.time_zone.exists() else None)
            return file

        monkeypatch.setattr(Path, "open", look)
        self.check(data, "Asia/Tokyo", OPEN)
        assert found <= {None, len("Asia/Tokyo")}

    @pytest.mark.parametrize("content", [None, b""], ids=["missing", "damaged"])
    def test_processes_that_begin_at_once_write_it_once(self, data, caplog, content):
        if content is not None:
            data.state.mkdir()
            data.time_zone.write_bytes(content)
        barrier = Barrier(8)

        def begin(_):
            barrier.wait()
            self.check(data, "UTC", OPEN)

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(begin, range(8))) == [None] * 8
        assert data.time_zone.read_text(encoding="utf-8") == "UTC"
        assert len(caplog.messages) == (content is not None)


class TestEndOfGrace:
    """A pull starts in time, and the clock passes the end of the grace period at its request number `late`."""

    @contextmanager
    def pulling(self, tmp_path, late):
        clock = [OPEN]
        responses = respond_by_path(
            [page(record("u1"), cursor="2"), page(record("u2"), cursor="3"), page(record("u3"))]
        )

        def respond(request):
            if len(server.received) == late:
                clock[0] = CLOSED
            return responses(request)

        with serve(respond) as server:
            yield SnapshotRunner(tmp_path, server.url), lambda: clock[0], server

    @pytest.mark.parametrize("late", range(1, 6))
    def test_a_response_after_it_is_refused(self, tmp_path, late):
        with self.pulling(tmp_path, late) as (runner, clock, server), pytest.raises(DayNotOpenError) as refused:
            runner.run(clock=clock)
        assert str(refused.value).startswith(
            f"The pull of acme on {DAY} did not end in time: the grace period of the day ended at 2026-03-03 00:00 UTC, "
            f"and {NEXT} is open now; "
        )
        assert refused.value.sends_alert
        assert len(server.received) == late
        assert runner.list_published_tables() == []

    def test_all_responses_before_it_are_published(self, tmp_path):
        with self.pulling(tmp_path, 99) as (runner, clock, _):
            runner.run(clock=clock)
        assert runner.read_rows("unified_enrollments", "user_id") == [("u1",), ("u2",), ("u3",)]


def test_the_responses_of_a_day_do_not_serve_the_next(tmp_path):
    with serve(respond_by_path([page(record("u1"))])) as server:
        SnapshotRunner(tmp_path, server.url).run()
        first = len(server.received)
        SnapshotRunner(tmp_path, server.url).run(day=NEXT, now=OPEN + timedelta(days=1), allow_drop=True)
        assert len(server.received) == 2 * first
