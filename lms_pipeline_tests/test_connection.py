"""The connection of a pull: our clock and the server's."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import SecretStr

from lms_pipeline.connection import Truto
from lms_pipeline.days import WrongPresentError
from lms_pipeline.settings import Settings
from lms_pipeline.truto.query import ListQuery
from lms_pipeline_tests.support.scripted_api import page, refusal
from lms_pipeline_tests.support.scripted_server import serve

NOW = datetime(2026, 3, 11, 2, tzinfo=UTC)
"""2026-03-10 is open in UTC until 2026-03-12 00:00."""
SAME_DAY = [timedelta(0), timedelta(hours=21, minutes=59), timedelta(hours=-2)]
OTHER_DAY = [timedelta(hours=22), timedelta(hours=-2, seconds=-1), timedelta(days=1), timedelta(days=-365)]


@pytest.fixture
def connect(tmp_path, monkeypatch):
    """Return a function that lists the users of an account, with a server whose clock differs from ours."""
    monkeypatch.setattr(Settings, "now", lambda _self: NOW)

    def connect(difference, *, is_pull=True, response=None, **settings):
        headers = {} if difference is None else {"date": format_datetime(NOW + difference, usegmt=True)}
        answer = response or page("a")
        answer.headers.update(headers)
        with serve(lambda _request: answer) as server:
            truto = Truto(Settings(data_dir=tmp_path, base_url=server.url, token=SecretStr("token"), **settings))
            with truto.connect((lambda _request: None) if is_pull else None) as client:
                return len(list(client.fetch_pages("users", ListQuery("acme"))))

    return connect


@pytest.mark.parametrize("difference", SAME_DAY)
def test_a_clock_on_which_the_same_day_is_open_is_accepted(connect, difference):
    assert connect(difference) == 1


@pytest.mark.parametrize("difference", OTHER_DAY)
def test_a_clock_on_which_another_day_is_open_stops_the_pull(connect, difference):
    with pytest.raises(WrongPresentError) as stopped:
        connect(difference)
    theirs = (NOW + difference).strftime("%Y-%m-%d %H:%M:%S")
    day = (NOW + difference).date() - timedelta(days=1)
    assert str(stopped.value) == (
        f"The clock of this machine says 2026-03-11 02:00:00 UTC and Truto's says {theirs}: by Truto's, {day} is open for a "
        "pull, and not 2026-03-10; correct the clock, nothing is stored."
    )


@pytest.mark.parametrize(("zone", "midnight"), [("Pacific/Honolulu", 8), ("Asia/Tokyo", 13), ("UTC", 22)])
def test_midnight_in_the_time_zone_of_the_settings_decides(connect, zone, midnight):
    assert connect(timedelta(hours=midnight, seconds=-1), timezone=zone) == 1
    with pytest.raises(WrongPresentError):
        connect(timedelta(hours=midnight), timezone=zone)


@pytest.mark.parametrize(("seconds", "server_seconds"), [(0, -2), (1, -1), (-1, 1), (-2, 0)])
def test_a_difference_of_two_seconds_is_none(connect, seconds, server_seconds, monkeypatch):
    midnight = NOW.replace(hour=0)
    monkeypatch.setattr(Settings, "now", lambda _self: midnight + timedelta(seconds=seconds))
    assert connect(timedelta(hours=-2, seconds=server_seconds)) == 1


def test_an_error_with_another_day_stops_the_pull_too(connect):
    with pytest.raises(WrongPresentError):
        connect(timedelta(days=1), response=refusal(503))


@pytest.mark.parametrize("date", ["", "yesterday", "0", "Tue, 99 Mar 2026 02:00:00 GMT"])
def test_a_date_that_is_none_is_ignored(connect, date):
    answer = page("a")
    answer.headers["date"] = date
    assert connect(None, response=answer) == 1


def test_with_lms_now_clocks_are_not_compared(connect):
    assert connect(timedelta(days=30), frozen_now=NOW) == 1


def test_what_is_no_pull_is_not_compared(connect):
    assert connect(timedelta(days=30), is_pull=False) == 1
