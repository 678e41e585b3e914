"""What the docs of the API leave open, settled on a live account with as few calls as it takes.

What belongs here: the questions, and the calls that answer them. No answer holds a name, an address or an id of
anybody: bodies are told by their shape. What is done about an answer is in `docs/talentlms.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import httpx
import msgspec

from lms_pipeline.transform.rosters import RosterEntry, read_roster_response
from lms_pipeline.truto.client import Answer, TrutoClient
from lms_pipeline.truto.errors import TrutoError
from lms_pipeline.truto.query import (
    CourseFilter,
    ListQuery,
    ObjectQuery,
    Resource,
    ResponseFormat,
    UserFilter,
)
from lms_pipeline.truto.request import build_list_request, build_record_request
from lms_pipeline.truto.response import Page, read_page, read_record

T = TypeVar("T")

SAMPLE = 100
"""Records of the users and courses lists that are looked at: enough to find a learner who isn't in a course."""
LARGE = 10_000
"""A page size beyond any that could be allowed."""
BODIES: tuple[ResponseFormat, ...] = ("raw", "normalized", "stream")
RATE_HEADERS = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")


@dataclass(frozen=True, slots=True)
class Finding:
    """A question, and what the account answered."""

    question: str
    answer: str


@dataclass
class Doctor:
    """Asks one account."""

    client: TrutoClient
    account_id: str
    headers: httpx.Headers = field(default_factory=httpx.Headers)

    def findings(self) -> list[Finding]:
        """All that could be settled, and what could not."""
        users, courses = self._sample("users"), self._sample("courses")
        rosters = self._entries("courses", courses, "users")
        details = self._entries("users", users, "courses")
        pair = next(iter(rosters or details or ()), None)
        stranger = _stranger(users, courses, rosters, details)
        return [
            Finding("Is the pair demanded?", self._told(self._without_pair)),
            Finding("Does a course's answer hold its roster?", _listed(rosters, "users")),
            Finding("Does a user's answer hold the courses?", _listed(details, "courses")),
            Finding("Are names and titles filled?", self._of(pair, self._names)),
            Finding("What do the ids look like, and do they stay?", self._of(pair, self._ids)),
            *(
                Finding(f"What is the body of {told}?", self._of(pair, partial(self._shape, told)))
                for told in BODIES
            ),
            Finding("How many records has a page?", self._told(self._limits)),
            Finding(
                "What is the answer to a pair that doesn't exist?", self._of(stranger, self._not_enrolled)
            ),
            Finding("Are there rate headers?", self._rate_headers()),
            Finding(
                "What happens to an enrollment that was removed?",
                "no call tells: compare two days' snapshots after one was removed",
            ),
        ]

    def _sample(self, resource: Resource) -> list[str]:
        """The ids of the first records of a list."""
        try:
            page = self._page(resource, ListQuery(self.account_id, limit=SAMPLE, ignore_remote_data=True))
        except TrutoError:
            return []
        return [
            str(record["id"]) for record in map(_read, page.records) if record.get("id") not in (None, "")
        ]

    def _entries(self, resource: Resource, ids: list[str], side: Any) -> list[RosterEntry] | None:  # noqa: ANN401
        """What the first of them lists; None where it lists none, or there is none."""
        if not ids:
            return None
        try:
            record = self._keep(
                self.client.answer(
                    build_record_request(resource, ids[0], ObjectQuery(self.account_id)), read_record
                )
            ).read
        except TrutoError:
            return None
        listed = read_roster_response(record.record, side, ids[0])
        return None if listed is None else listed.entries

    def _without_pair(self) -> str:
        try:
            page = self._page("course-enrollments", ListQuery(self.account_id, limit=1))
        except TrutoError as error:
            if error.status != 400:
                raise
            missing = " and ".join(error.missing_parameters)
            return f"yes, status 400, {f'the insight names {missing}' if missing else repr(error.said)}"
        return f"no: a list of {len(page.records)} came, {_more(page)}"

    def _names(self, pair: RosterEntry) -> str:
        record = self._enrollment(pair)
        if record is None:
            return "the pair has no enrollment"
        user, course = (_members(record.get(name)) for name in ("user", "course"))
        told = {
            "user.name": user.get("name"),
            "user.emails": user.get("emails"),
            "course.title": course.get("title"),
        }
        filled = [name for name, value in told.items() if value]
        return f"{', '.join(filled) or 'none'} of {', '.join(told)}"

    def _ids(self, pair: RosterEntry) -> str:
        first, second = self._enrollment(pair), self._enrollment(pair)
        if first is None or second is None:
            return "the pair has no enrollment"
        one = first.get("id")
        stays = "the same when asked again" if one == second.get("id") else "another when asked again"
        return f"{_pattern(one)}, {stays}"

    def _shape(self, told: ResponseFormat, pair: RosterEntry) -> str:
        query = self._pair_query(pair, told)
        answer = self._keep(
            self.client.answer(
                build_list_request("course-enrollments", query), lambda body, _received_at: body
            )
        )
        kind = answer.headers.get("content-type", "no content type")
        return f"{kind}, {len(answer.body):,} bytes: {_described(answer.body)}"

    def _limits(self) -> str:
        by_default = self._page("users", ListQuery(self.account_id, ignore_remote_data=True))
        at_most = self._page("users", ListQuery(self.account_id, limit=LARGE, ignore_remote_data=True))
        return (
            f"{len(by_default.records):,} by default, {_more(by_default)}; "
            f"{len(at_most.records):,} where {LARGE:,} are asked for, {_more(at_most)}"
        )

    def _not_enrolled(self, pair: RosterEntry) -> str:
        try:
            page = self._page("course-enrollments", self._pair_query(pair, "unified"))
        except TrutoError as error:
            whose = "the LMS's" if error.remote else "Truto's"
            return f"status {error.status}, {whose} own: {error.said!r}"
        return f"status 200 with {len(page.records)} records"

    def _rate_headers(self) -> str:
        told = [f"{name}: {self.headers[name]}" for name in RATE_HEADERS if name in self.headers]
        return ", ".join(told) or "no"

    def _of(self, pair: RosterEntry | None, find: Callable[[RosterEntry], str]) -> str:
        if pair is None:
            return "no pair could be found to ask for"
        return self._told(lambda: find(pair))

    def _told(self, find: Callable[[], str]) -> str:
        try:
            return find()
        except TrutoError as error:
            return f"no answer: {error}"

    def _enrollment(self, pair: RosterEntry) -> dict[str, Any] | None:
        records = self._page("course-enrollments", self._pair_query(pair, "unified")).records
        return _read(records[0]) if records else None

    def _pair_query(self, pair: RosterEntry, told: ResponseFormat) -> ListQuery:
        user, course = UserFilter(pair.user_id), CourseFilter(pair.course_id)
        return ListQuery(self.account_id, user=user, course=course, response_format=told)

    def _page(self, resource: Resource, query: ListQuery) -> Page:
        return self._keep(self.client.answer(build_list_request(resource, query), read_page)).read

    def _keep(self, answer: Answer[T]) -> Answer[T]:
        """Remember the rate headers that any answer had."""
        self.headers.update({name: answer.headers[name] for name in RATE_HEADERS if name in answer.headers})
        return answer


def _stranger(
    users: list[str], courses: list[str], rosters: list[RosterEntry] | None, details: list[RosterEntry] | None
) -> RosterEntry | None:
    """A learner and a course that exist, but not together."""
    of_course = {entry.user_id for entry in rosters or ()}
    of_user = {entry.course_id for entry in details or ()}
    candidates = chain(
        (
            RosterEntry(user, courses[0], b"")
            for user in users
            if courses and rosters is not None and user not in of_course
        ),
        (
            RosterEntry(users[0], course, b"")
            for course in courses
            if users and details is not None and course not in of_user
        ),
    )
    return next(candidates, None)


def _listed(found: list[RosterEntry] | None, side: str) -> str:
    return f"no {side}[] in its remote_data" if found is None else f"yes, {len(found):,} entries in {side}[]"


def _more(page: Page) -> str:
    return "and a cursor to more" if page.next_cursor else "and no cursor"


def _read(record: msgspec.Raw) -> dict[str, Any]:
    return _members(msgspec.json.decode(record))


def _members(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _pattern(value: object) -> str:
    """An id with every letter as `a` and every digit as `9`."""
    letters = ["a" if one.isalpha() else "9" if one.isdigit() else one for one in str(value)]
    return f"{type(value).__name__} like {''.join(letters)[:60]!r}"


def _described(body: bytes) -> str:
    """What a body is made of, without what is in it."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "not one JSON value"
    if isinstance(value, dict):
        return f"an object of {', '.join(sorted(value)[:12]) or 'nothing'}"
    return f"a list of {len(value)}" if isinstance(value, list) else f"a {type(value).__name__}"
