"""The gate that counts the calls of a snapshot: which of them stay counted."""

from contextlib import closing
from datetime import UTC, datetime

import pytest

from lms_pipeline.extract.budget import Budget, Limits
from lms_pipeline.extract.checkpoint import Checkpoint
from lms_pipeline.truto.request import Request

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CALL = Request("unified/lms/users", (), "GET /unified/lms/users")


class LeftOffError(Exception):
    """Somebody ended the process while it waited."""


def leave_off(_seconds: float) -> None:
    raise LeftOffError


@pytest.fixture
def attempt(tmp_path):
    with Checkpoint(tmp_path / "answers.sqlite") as answers:
        yield answers.begin("plan", NOON)


def test_a_call_that_was_let_pass_is_counted(attempt, tmp_path):
    with closing(Budget("north", Limits(), attempt, tmp_path / "hour")) as budget:
        budget(CALL)
        budget(CALL)
    assert attempt.requests == 2


def test_a_call_whose_waiting_was_left_off_is_not_counted(attempt, tmp_path):
    limits = Limits(per_hour=1, hours=24)
    with closing(Budget("north", limits, attempt, tmp_path / "hour", sleep=leave_off)) as budget:
        budget(CALL)
        with pytest.raises(LeftOffError):
            budget(CALL)
    assert attempt.requests == 1
