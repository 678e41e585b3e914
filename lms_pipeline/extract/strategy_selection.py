"""Strategy selection: which strategy finds an account's enrollments with the fewest calls, and why.

Belongs here: the choice and its reason. The requests of each strategy are in `strategies.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.extract.session import FetchSession, build_sweep_query
from lms_pipeline.extract.strategies import MAX_PROBES, StrategyName
from lms_pipeline.transform.rosters import RosterKey, read_roster_response
from lms_pipeline.truto.errors import PermanentError, TransientError
from lms_pipeline.truto.models import read_required_parameters
from lms_pipeline.truto.query import ListQuery, ObjectQuery, Resource
from lms_pipeline.truto.request import build_metadata_request

PAIR_PARAMETERS = {"user[id]", "course[id]"}
MAX_COST_RATIO = 1.5
"""How many times the calls of `roster` the strategy `learner` may cost: it knows the completion status, a roster does
not."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy, and why it was chosen."""

    name: StrategyName
    why: str
    is_settled: bool = True
    """Whether the registry may remember it: not where there was no record to probe."""


@dataclass(frozen=True, slots=True)
class ListIds:
    """The ids in an account's lists, in the order of the lists."""

    learners: Sequence[str]
    courses: Sequence[str]


def select_strategy(
    session: FetchSession, account_id: str, options: AccountOptions, read_ids: Callable[[], ListIds] | None
) -> Choice:
    """Select the strategy that the options set, else the one that fits the account.

    `read_ids` returns the ids in the lists, which only an account that requires the pair needs. A dry run has none and probes
    no record: it assumes `roster` for such an account.

    Raises:
        TrutoError: a request failed.
    """
    if options.strategy != "auto":
        return Choice(options.strategy, "it is set in LMS_ACCOUNTS_FILE")
    requirement, is_settled = find_pair_requirement(session, build_sweep_query(account_id, options))
    if requirement is None:
        return Choice("sweep", "its LMS lists all enrollments", is_settled)
    if read_ids is None:
        return Choice("roster", f"{requirement}; at least two more calls decide whether another strategy is better")
    return _select_by_rosters(session, ObjectQuery(account_id), read_ids(), requirement)


def find_pair_requirement(session: FetchSession, query: ListQuery) -> tuple[str | None, bool]:
    """Return why the account can't be swept, or None if it can; and whether that is settled.

    Metadata without requirements prove nothing: the first page does, and a sweep needs it anyway. Without metadata, because of
    an error that may pass, a page settles nothing: an account that requires the pair may answer with an empty one.

    Raises:
        TrutoError: a request failed, for another reason than that the account has no metadata or requires the pair.
    """
    is_settled = True
    request = build_metadata_request(query.account_id, "course-enrollments")
    try:
        required = set(session.client.fetch(request, read_required_parameters).value)
    except PermanentError:
        pass  # the account offers no metadata: the list itself decides
    except TransientError:
        is_settled = False
    else:
        if required & PAIR_PARAMETERS:
            return f"its metadata require {' and '.join(sorted(required, reverse=True))}", True
    try:
        next(session.fetch_pages("course-enrollments", query), None)
    except PermanentError as error:
        if error.missing_parameters:
            return f"its LMS requires {' and '.join(error.missing_parameters)}", True
        raise
    return None, is_settled


def _select_by_rosters(session: FetchSession, query: ObjectQuery, ids: ListIds, requirement: str) -> Choice:
    """Select the strategy of an account that requires the pair: probe courses and users for rosters."""
    learners, courses = len(ids.learners), len(ids.courses)
    has_rosters = _has_roster(session, query, "courses", ids.courses, "users")
    has_courses = _has_roster(session, query, "users", ids.learners, "courses")
    is_settled = None not in {has_rosters, has_courses}
    costs = (
        f"{requirement}; {courses:,} courses {_format_with(has_rosters)} rosters, "
        f"{learners:,} users {_format_with(has_courses)} their courses"
    )
    if has_courses and (not has_rosters or learners <= MAX_COST_RATIO * courses):
        why = f"{costs}: the users hold more, and cost little more" if has_rosters else costs
        return Choice("learner", why, is_settled)
    if has_rosters:
        why = f"{costs}: the rosters cost fewer calls" if has_courses else costs
        return Choice("roster", why, is_settled)
    return Choice("pairs", f"{costs}: every learner in every course needs a call", is_settled)


def _has_roster(
    session: FetchSession, query: ObjectQuery, resource: Resource, ids: Sequence[str], roster_key: RosterKey
) -> bool | None:
    """Return whether the records list enrollments; None if too many are gone to tell.

    One roster is enough. A record without one proves nothing alone: a draft has none where every other record has.
    """
    without = gone = 0
    for record_id in ids:
        record = session.client.fetch_record(resource, record_id, query)
        if record is None:
            gone += 1
        elif read_roster_response(record.record, roster_key, record_id) is not None:
            return True
        else:
            without += 1
        if MAX_PROBES in {without, gone}:
            break
    return False if without and gone < MAX_PROBES else None


def _format_with(has: bool | None) -> str:
    return "with" if has else "without"
