"""The gate that counts the calls of a snapshot, and which calls stay counted."""

from contextlib import closing
from datetime import UTC, datetime

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


@pytest.mark.parametrize(("hours", "spent_seconds"), [(0.5, 0), (6, 5.5 * 3_600), (24, 23 * 3_600 + 60), (1, 10**6)])
def test_a_wait_beyond_the_hours_of_the_snapshot_ends_it_for_good(attempt, tmp_path, hours, spent_seconds):
    limits = Limits(per_hour=1, hours=hours)
    state = FileState(tmp_path)
    with closing(Budget("north", limits, attempt, state, interrupt_wait, spent_seconds)) as budget:
        budget(CALL)  # the hours end waits, not calls that need none
        with pytest.raises(BudgetSpentError, match=f"The {hours:g} hours that a snapshot of north may take are over"):
            budget(CALL)


def test_the_hours_of_earlier_runs_count_without_an_hourly_limit_too(attempt, tmp_path):
    with (
        closing(Budget("north", Limits(hours=1), attempt, FileState(tmp_path), spent_seconds=3_601)) as budget,
        pytest.raises(BudgetSpentError),
    ):
        budget(CALL)
    assert attempt.requests == 0
