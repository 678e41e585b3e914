"""The gate that counts the calls of a snapshot, and which calls stay counted."""

from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from types import SimpleNamespace

import pytest

from lms_pipeline.extract.budget import Budget, BudgetSpentError, Limits
from lms_pipeline.extract.checkpoint import Checkpoint
from lms_pipeline.storage.file_state import FileState
from lms_pipeline.truto.request import Request
from lms_pipeline.truto.waiting import ContinuesLaterError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CALL = Request("unified/lms/users", (), "GET /unified/lms/users")


class InterruptedWaitError(Exception):
    """Stands for the end of the process during a wait."""


def interrupt_wait(_seconds: float) -> None:
    raise InterruptedWaitError


@pytest.fixture
def attempt(tmp_path):
    with Checkpoint(tmp_path / "answers.sqlite") as checkpoint:
        yield checkpoint.begin("plan", NOON)


def test_a_call_that_passes_the_gate_is_counted(attempt, tmp_path):
    with closing(Budget("north", Limits(), attempt, FileState(tmp_path))) as budget:
        budget(CALL)
        budget(CALL)
    assert attempt.requests == 2


def test_a_call_with_an_interrupted_wait_is_not_counted(attempt, tmp_path, monkeypatch):
    monkeypatch.setattr("lms_pipeline.extract.budget.MAX_HELD_WAIT_SECONDS", 3_601)
    limits = Limits(per_hour=1, hours=24)
    with closing(Budget("north", limits, attempt, FileState(tmp_path), sleep=interrupt_wait)) as budget:
        budget(CALL)
        with pytest.raises(InterruptedWaitError):
            budget(CALL)
    assert attempt.requests == 1


def test_a_wait_over_a_minute_for_the_hourly_limit_ends_the_pull_and_is_not_counted(attempt, tmp_path):
    limits = Limits(per_hour=1, hours=24)
    with closing(Budget("north", limits, attempt, FileState(tmp_path), sleep=interrupt_wait)) as budget:
        budget(CALL)
        with pytest.raises(ContinuesLaterError) as caught:
            budget(CALL)
    assert caught.value.subject == "The hourly limit of account north (1 calls, calls_per_hour)"
    assert 3_590 < caught.value.seconds <= 3_600
    assert attempt.requests == 1


@pytest.mark.parametrize(("hours", "spent_seconds"), [(0.5, 0), (6, 5.5 * 3_600), (24, 23 * 3_600 + 60)])
def test_a_wait_beyond_the_hours_of_the_snapshot_ends_it_for_good(attempt, tmp_path, hours, spent_seconds):
    limits = Limits(per_hour=1, hours=hours)
    state = FileState(tmp_path)
    with closing(Budget("north", limits, attempt, state, interrupt_wait, spent_seconds)) as budget:
        budget(CALL)
        with pytest.raises(BudgetSpentError, match=f"The {hours:g} hours that a snapshot of north may take are over"):
            budget(CALL)


@pytest.mark.parametrize("per_hour", [None, 1, 10_000])
@pytest.mark.parametrize(("hours", "spent_seconds"), [(1, 3_601), (6, 6 * 3_600 + 1), (1, 10**6)])
def test_a_call_after_the_hours_of_the_snapshot_is_refused_also_if_it_needs_no_wait(
    attempt, tmp_path, per_hour, hours, spent_seconds
):
    limits, state = Limits(per_hour=per_hour, hours=hours), FileState(tmp_path)
    with (
        closing(Budget("north", limits, attempt, state, interrupt_wait, spent_seconds)) as budget,
        pytest.raises(BudgetSpentError, match=f"The {hours} hours that a snapshot of north may take are over"),
    ):
        budget(CALL)
    assert attempt.requests == 0


@pytest.mark.parametrize("per_hour", [None, 10_000])
def test_the_hours_end_while_the_calls_are_slow(attempt, tmp_path, monkeypatch, per_hour):
    times = map(float, count(0, 1_000))  # a call each 1,000 s
    monkeypatch.setattr("lms_pipeline.extract.budget.time", SimpleNamespace(monotonic=lambda: next(times)))
    with closing(Budget("north", Limits(per_hour=per_hour, hours=1), attempt, FileState(tmp_path))) as budget:
        for _ in range(3):
            budget(CALL)
        with pytest.raises(BudgetSpentError):
            budget(CALL)
    assert attempt.requests == 3


def test_a_call_that_the_hours_refuse_takes_no_place_in_the_hour(attempt, tmp_path):
    state = FileState(tmp_path)
    limits = Limits(per_hour=1, hours=1)
    with (
        closing(Budget("north", limits, attempt, state, spent_seconds=3_601)) as budget,
        pytest.raises(BudgetSpentError),
    ):
        budget(CALL)
    with closing(Budget("north", Limits(per_hour=1), attempt, state)) as budget:
        budget(CALL)
