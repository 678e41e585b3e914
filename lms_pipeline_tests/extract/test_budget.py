"""The gate that counts the calls of a snapshot, and which calls stay counted."""

from contextlib import closing
from datetime import UTC, datetime

import pytest

from lms_pipeline.extract.budget import Budget, Limits
from lms_pipeline.extract.checkpoint import Checkpoint
from lms_pipeline.truto.request import Request

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
    with closing(Budget("north", Limits(), attempt, tmp_path / "hour")) as budget:
        budget(CALL)
        budget(CALL)
    assert attempt.requests == 2


def test_a_call_with_an_interrupted_wait_is_not_counted(attempt, tmp_path):
    limits = Limits(per_hour=1, hours=24)
    with closing(Budget("north", limits, attempt, tmp_path / "hour", sleep=interrupt_wait)) as budget:
        budget(CALL)
        with pytest.raises(InterruptedWaitError):
            budget(CALL)
    assert attempt.requests == 1
