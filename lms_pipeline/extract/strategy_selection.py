"""The strategy `auto`: finding out how an account's enrollments can be had, with as few calls as it takes.

What belongs here: the choice and its reason. What each strategy asks is its own module's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lms_pipeline.extract.session import FetchSession
from lms_pipeline.extract.strategies import MAX_PROBES, StrategyName
from lms_pipeline.transform.rosters import RosterKey, read_roster_response
from lms_pipeline.truto.errors import PermanentError, TrutoError
from lms_pipeline.truto.models import required_parameters
from lms_pipeline.truto.query import ListQuery, ObjectQuery, Resource
from lms_pipeline.truto.request import build_metadata_request

PAIR = {"user[id]", "course[id]"}
MAX_COST_RATIO = 1.5
"""So many times the calls of a roster are worth knowing the completion status, which a roster doesn't tell."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy, and why it was chosen."""

    name: StrategyName
    why: str
    is_settled: bool = True
    """Whether it may be remembered: not where nothing was there to look at."""


def pair_requirement(session: FetchSession, query: ListQuery) -> str | None:
    """Why the account can't be swept; None where it can.

    Metadata that require nothing don't prove it: the first page does, which a sweep needs anyway.

    Raises:
        TrutoError: no answer, for another reason.
    """
    request = build_metadata_request(query.account_id, "course-enrollments")
    try:
        required = set(session.fetch_metadata(request, lambda body, _received_at: required_parameters(body)))
    except TrutoError:
        pass  # the metadata aren't offered: the list itself will tell
    else:
        if required & PAIR:
            return f"its metadata require {' and '.join(sorted(required, reverse=True))}"
    try:
        next(session.fetch_pages("course-enrollments", query), None)
    except PermanentError as error:
        if error.missing_parameters:
            return f"its LMS requires {' and '.join(error.missing_parameters)}"
        raise
    return None


def choose_details_strategy(
    session: FetchSession, query: ObjectQuery, learners: Sequence[str], courses: Sequence[str], because: str
) -> Choice:
    """The strategy for an account that answers for one learner and course at a time.

    One course and one user that are still there are asked for, to see what their details list.

    Raises:
        TrutoError: no answer.
    """
    has_rosters = _lists(session, query, "courses", courses, "users")
    has_courses = _lists(session, query, "users", learners, "courses")
    is_settled = None not in {has_rosters, has_courses}
    costs = f"{because}; {len(courses):,} courses {_with(has_rosters)} rosters, {len(learners):,} users {_with(has_courses)} their courses"
    if has_courses and (not has_rosters or len(learners) <= MAX_COST_RATIO * len(courses)):
        why = f"{costs}: the users tell more, and cost little more" if has_rosters else costs
        return Choice("learner", why, is_settled)
    if has_rosters:
        why = f"{costs}: the rosters cost fewer calls" if has_courses else costs
        return Choice("roster", why, is_settled)
    return Choice("pairs", f"{costs}: every learner in every course has to be asked for", is_settled)


def _lists(
    session: FetchSession, query: ObjectQuery, resource: Resource, ids: Sequence[str], side: RosterKey
) -> bool | None:
    """Whether a record lists its enrollments; None where no record was there to be asked for."""
    for record_id in ids[:MAX_PROBES]:
        record = session.fetch_roster(resource, record_id, query)
        if record is not None:
            return read_roster_response(record.record, side, record_id) is not None
    return None


def _with(has: bool | None) -> str:
    return "with" if has else "without"
