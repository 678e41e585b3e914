"""Histories of enrollments: the state at an instant, and the instants that are drawn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lms_pipeline.sandbox.synthetic.history import Attempt, History, Start, draw_working_time, read_state

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: int) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def attempt_of(start, end, *, sessions, seconds, outcome=None, score=None, progress=100) -> Attempt:
    return Attempt(after(start), after(end), sessions, progress, seconds, outcome, score)


def history_of(*attempts: Attempt, leaves_at: int = 10**8, **more: object) -> History:
    start = Start(BEGIN, 0, 0, finish_odds=1, leaves_at=after(leaves_at), is_assigned=True)
    return History(0, start, after(900), is_instructor=False, attempts=attempts, **more)  # type: ignore[arg-type]


FAILED = attempt_of(1_000, 2_000, sessions=4, seconds=400, outcome="failed", score=51.0)
RETAKE = attempt_of(3_000, 4_000, sessions=2, seconds=200, outcome="passed", score=80.5)
UNFINISHED = attempt_of(1_000, 2_000, sessions=3, seconds=90, progress=60)

histories = st.builds(
    lambda start, span, sessions, seconds, outcome, leaves_at: history_of(
        attempt_of(start, start + span, sessions=sessions, seconds=seconds, outcome=outcome), leaves_at=leaves_at
    ),
    start=st.integers(1_000, 2_000),
    span=st.integers(1, 5_000_000),
    sessions=st.integers(1, 20),
    seconds=st.integers(0, 1_000_000),
    outcome=st.sampled_from(["completed", "passed", "failed", None]),
    leaves_at=st.integers(0, 6_000_000),
)
instants = st.integers(0, 6_000_000).map(after)


@given(histories, instants, instants)
def test_progress_time_and_activity_only_rise_and_are_never_in_the_future(history, one, other):
    earlier, later = sorted((one, other))
    before, then = read_state(history, earlier), read_state(history, later)
    assert 0 <= before.progress <= then.progress <= 100
    assert 0 <= before.seconds <= then.seconds <= history.attempts[0].seconds
    assert before.updated_at <= then.updated_at <= later
    assert then.last_activity_at is None or then.last_activity_at <= later


def test_the_status_follows_assignment_sessions_and_results():
    states = [read_state(history_of(FAILED, RETAKE), after(seconds)) for seconds in range(500, 4_501, 500)]
    assert [(state.status, state.attempt, state.progress, state.score) for state in states] == [
        ("assigned", 0, 0, None),
        ("in_progress", 1, 0, None),
        ("in_progress", 1, 50, None),
        ("failed", 1, 100, 51.0),
        ("failed", 1, 100, 51.0),
        ("in_progress", 2, 0, None),
        ("in_progress", 2, 50, None),
        ("passed", 2, 100, 80.5),
        ("passed", 2, 100, 80.5),
    ]
    assert read_state(history_of(FAILED, RETAKE), after(950)).status == "enrolled"


def test_learning_time_is_that_of_all_attempts_and_a_failed_one_completes_nothing():
    history = history_of(FAILED, RETAKE)
    assert read_state(history, after(2_500)).completed_at is None
    passed = read_state(history, after(4_000))
    assert (passed.seconds, passed.completed_at) == (600, after(4_000))


def test_an_ending_changes_only_the_status_and_the_time_of_the_update():
    still_open = history_of(UNFINISHED)
    ended = history_of(UNFINISHED, ends_at=after(9_000), ending="withdrawn")
    assert read_state(ended, after(8_999)) == read_state(still_open, after(8_999))
    expected = replace(read_state(still_open, after(9_000)), status="withdrawn", updated_at=after(9_000))
    assert read_state(ended, after(9_000)) == expected


def test_nothing_changes_after_the_learner_has_left():
    history = history_of(FAILED, RETAKE, leaves_at=1_600)
    assert read_state(history, after(9_000)) == read_state(history_of(FAILED, RETAKE), after(1_600))


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Asia/Singapore", "America/Los_Angeles"])
def test_working_times_are_local_hours_of_working_days_soon_after(zone):
    draw = Random(1)  # noqa: S311 - the same for the same seed, as in the world
    for day in range(60):
        instant = BEGIN + timedelta(days=day)
        drawn = draw_working_time(draw, instant, ZoneInfo(zone))
        local = drawn.astimezone(ZoneInfo(zone))
        assert local.weekday() < 5
        assert 8 <= local.hour < 18
        assert timedelta(days=-1) < drawn - instant < timedelta(days=3)
