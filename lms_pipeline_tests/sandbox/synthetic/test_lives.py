"""The reading of a life."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lms_pipeline.sandbox.synthetic.instants import NEVER
from lms_pipeline.sandbox.synthetic.lives import Attempt, Life, state_of

attempts = st.builds(
    lambda start, span, sessions, reached, seconds, outcome: Attempt(
        started_at=start,
        last_at=start + span,
        sessions=sessions,
        reached=100 if outcome else reached,
        seconds=seconds,
        outcome=outcome,
        score=None,
    ),
    start=st.integers(1_000, 2_000),
    span=st.integers(1, 5_000_000),
    sessions=st.integers(1, 20),
    reached=st.integers(1, 100),
    seconds=st.integers(0, 1_000_000),
    outcome=st.sampled_from(["completed", "passed", "failed", None]),
)
moments = st.integers(0, 6_000_000)


def life_of(first: Attempt | None, **more: object) -> Life:
    told = {"second": None, "ends_at": NEVER, "ends_as": None} | more
    return Life(
        number=0,
        person=0,
        course=0,
        seen_from=500,
        enrolled_at=900,
        is_assigned=True,
        is_instructor=False,
        due_at=NEVER,
        first=first,
        **told,  # type: ignore[arg-type]
    )


@given(attempts, moments, moments)
def test_progress_and_activity_only_rise_and_never_lie_ahead(attempt, one, other):
    earlier, later = sorted((500 + one, 500 + other))
    before, after = state_of(life_of(attempt), earlier), state_of(life_of(attempt), later)
    assert before.progress <= after.progress <= attempt.reached
    assert before.seconds <= after.seconds <= attempt.seconds
    assert before.updated_at <= after.updated_at <= later
    assert after.last_activity_at <= later


@given(attempts, moments)
def test_what_is_done_was_done_at_an_instant_that_has_passed(attempt, moment):
    at = attempt.started_at + moment
    progress = state_of(life_of(attempt), at).progress
    assert progress == 0 or attempt.reached_at(progress) <= at


@given(attempts, moments)
def test_who_breaks_off_had_come_as_far_as_who_goes_on(attempt, moment):
    at = attempt.started_at + moment
    whole = state_of(life_of(attempt), at)
    rest = attempt.broken_off(at)
    if rest is None:
        assert whole.progress == 0
    else:
        broken = state_of(life_of(rest), at)
        assert broken.seconds == whole.seconds
        assert abs(broken.progress - whole.progress) <= 1


def test_the_statuses_follow_each_other():
    attempt = Attempt(
        started_at=1_000, last_at=2_000, sessions=4, reached=100, seconds=400, outcome="failed", score=51.0
    )
    retake = Attempt(
        started_at=3_000, last_at=4_000, sessions=2, reached=100, seconds=200, outcome="passed", score=80.5
    )
    life = life_of(attempt, second=retake)
    told = [
        (state.status, state.attempt, state.score)
        for state in (state_of(life, at) for at in range(500, 4_501, 500))
    ]
    assert told == [
        ("assigned", 0, None),
        ("in_progress", 1, None),
        ("in_progress", 1, None),
        ("failed", 1, 51.0),
        ("failed", 1, 51.0),
        ("in_progress", 2, None),
        ("in_progress", 2, None),
        ("passed", 2, 80.5),
        ("passed", 2, 80.5),
    ]
    assert state_of(life, 4_000).seconds == 600


def test_an_ending_changes_the_status_alone():
    attempt = Attempt(
        started_at=1_000, last_at=2_000, sessions=3, reached=60, seconds=90, outcome=None, score=None
    )
    open_life, ended = life_of(attempt), life_of(attempt, ends_at=9_000, ends_as="withdrawn")
    assert state_of(ended, 8_999) == state_of(open_life, 8_999)
    assert state_of(ended, 9_000) == replace(state_of(open_life, 9_000), status="withdrawn", updated_at=9_000)
