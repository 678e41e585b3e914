"""Diagnosis of a live account: what the docs of the API leave open, with as few calls as possible.

Belongs here: the questions, and the calls that answer them; no answer holds a name, an address or an id of a person.
Not here: what follows from each answer (`docs/talentlms.md`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import httpx
import msgspec

from lms_pipeline.transform.rosters import RosterEntry, RosterKey, read_roster_response
from lms_pipeline.truto.client import Response, TrutoClient
from lms_pipeline.truto.errors import TrutoError, is_refused_token
from lms_pipeline.truto.query import CourseFilter, ListQuery, ObjectQuery, Resource, ResponseFormat, UserFilter
from lms_pipeline.truto.request import Request, build_list_request, build_record_request
from lms_pipeline.truto.response import Page, read_page, read_raw_page, read_record

T = TypeVar("T")

SAMPLE_SIZE = 100
"""Records of the users and courses lists that are read: enough to find a learner who isn't in a course."""
LARGE_PAGE_SIZE = 10_000
"""A page size beyond any limit of the API."""
BODY_FORMATS: tuple[ResponseFormat, ...] = ("raw", "normalized", "stream")
RATE_HEADERS = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")


@dataclass
class Doctor:
    """Examines one account."""

    client: TrutoClient
    account_id: str
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    """The rate headers of all responses."""

    def examine(self) -> dict[str, str]:
        """Return every question with its answer, or with the reason why there is none.

        Raises:
            TrutoError: Truto does not accept the token.
        """
        users, courses = self._sample_ids("users"), self._sample_ids("courses")
        rosters = self._fetch_entries("courses", courses, "users")
        user_courses = self._fetch_entries("users", users, "courses")
        pair = next(iter(rosters or user_courses or ()), None)
        absent_pair = _find_absent_pair(users, courses, rosters, user_courses)
        answers = {
            "Is the pair required?": _try(self._describe_list_without_pair),
            "Does a course's response hold its roster?": _describe_entries(rosters, "users"),
            "Does a user's response hold the courses?": _describe_entries(user_courses, "courses"),
            "Are names and titles filled?": _try_pair(self._describe_names, pair),
            "What do the ids look like, and do they stay?": _try_pair(self._describe_ids, pair),
        }
        for one in BODY_FORMATS:
            answers[f"What is the body of {one}?"] = _try_pair(partial(self._describe_body, one), pair)
        if pair is None:
            answers["What is the body of raw?"] = _try(self._describe_raw_list)
        answers["How many records has a page?"] = _try(self._describe_page_sizes)
        answers["What is the response to a pair that doesn't exist?"] = _try_pair(self._describe_absence, absent_pair)
        # last, since the headers come with the other responses
        found = [f"{name}: {value}" for name, value in self.headers.items()]
        answers["Are there rate headers?"] = ", ".join(found) or "no"
        removal = "no call shows it: remove one and compare the snapshots of two days"
        return answers | {"What happens to an enrollment that was removed?": removal}

    def _sample_ids(self, resource: Resource) -> list[str]:
        """Return the ids of the first records of a list."""
        try:
            page = self._fetch_page(resource, ListQuery(self.account_id, limit=SAMPLE_SIZE, ignore_remote_data=True))
        except TrutoError as error:
            _raise_refused_token(error)
            return []
        records = map(_decode_object, page.records)
        return [str(record["id"]) for record in records if record.get("id") not in (None, "")]

    def _fetch_entries(self, resource: Resource, ids: list[str], roster_key: RosterKey) -> list[RosterEntry] | None:
        """Return the roster of the first record; None if it holds none, or if there is no record."""
        if not ids:
            return None
        request = build_record_request(resource, ids[0], ObjectQuery(self.account_id))
        try:
            record = self._fetch(request, read_record).value
        except TrutoError as error:
            _raise_refused_token(error)
            return None
        roster = read_roster_response(record.record, roster_key, ids[0])
        return None if roster is None else roster.entries

    def _describe_list_without_pair(self) -> str:
        try:
            page = self._fetch_page("course-enrollments", ListQuery(self.account_id, limit=1))
        except TrutoError as error:
            if error.status != 400:
                raise
            missing = " and ".join(error.missing_parameters)
            reason = f"the insight names {missing}" if missing else repr(error.server_message)
            return f"yes, status 400, {reason}"
        return f"no: a list of {len(page.records)} came, {_describe_cursor(page)}"

    def _describe_names(self, pair: RosterEntry) -> str:
        record = self._fetch_enrollment(pair)
        if record is None:
            return "the pair has no enrollment"
        user, course = (_as_object(record.get(name)) for name in ("user", "course"))
        fields = {"user.name": user.get("name"), "user.emails": user.get("emails"), "course.title": course.get("title")}
        filled = [name for name, value in fields.items() if value]
        return f"{', '.join(filled) or 'none'} of {', '.join(fields)}"

    def _describe_ids(self, pair: RosterEntry) -> str:
        first, second = self._fetch_enrollment(pair), self._fetch_enrollment(pair)
        if first is None or second is None:
            return "the pair has no enrollment"
        stability = "the same" if first.get("id") == second.get("id") else "another"
        return f"{_mask_id(first.get('id'))}, {stability} in a second response"

    def _describe_body(self, response_format: ResponseFormat, pair: RosterEntry) -> str:
        request = build_list_request("course-enrollments", self._build_pair_query(pair, response_format))
        response = self._fetch(request, lambda body, _received_at: body)
        kind = response.headers.get("content-type", "no content type")
        return f"{kind}, {len(response.value):,} bytes: {_describe_json(response.value)}"

    def _describe_raw_list(self) -> str:
        """Describe whether the raw format can be paged: `remote_data = "raw_format"` needs it."""
        query = ListQuery(self.account_id, limit=1, response_format="raw")
        page = self._fetch(build_list_request("course-enrollments", query), read_raw_page).value
        if page.has_envelope:
            return f"a list of {len(page.records)} in an envelope, {_describe_cursor(page)}"
        return f"{len(page.records)} without an envelope: only the first page can be fetched"

    def _describe_page_sizes(self) -> str:
        default = self._fetch_page("users", ListQuery(self.account_id, ignore_remote_data=True))
        large_query = ListQuery(self.account_id, limit=LARGE_PAGE_SIZE, ignore_remote_data=True)
        large = self._fetch_page("users", large_query)
        return (
            f"{len(default.records):,} by default, {_describe_cursor(default)}; "
            f"{len(large.records):,} with a limit of {LARGE_PAGE_SIZE:,}, {_describe_cursor(large)}"
        )

    def _describe_absence(self, pair: RosterEntry) -> str:
        try:
            page = self._fetch_page("course-enrollments", self._build_pair_query(pair, "unified"))
        except TrutoError as error:
            _raise_refused_token(error)
            source = "the LMS's" if error.is_remote else "Truto's"
            return f"status {error.status}, {source} own: {error.server_message!r}"
        return f"status 200 with {len(page.records)} records"

    def _fetch_enrollment(self, pair: RosterEntry) -> dict[str, Any] | None:
        records = self._fetch_page("course-enrollments", self._build_pair_query(pair, "unified")).records
        return _decode_object(records[0]) if records else None

    def _build_pair_query(self, pair: RosterEntry, response_format: ResponseFormat) -> ListQuery:
        user, course = UserFilter(pair.user_id), CourseFilter(pair.course_id)
        return ListQuery(self.account_id, user=user, course=course, response_format=response_format)

    def _fetch_page(self, resource: Resource, query: ListQuery) -> Page:
        return self._fetch(build_list_request(resource, query), read_page).value

    def _fetch(self, request: Request, read: Callable[[bytes, datetime], T]) -> Response[T]:
        """Fetch a response, and remember its rate headers."""
        response = self.client.fetch(request, read)
        self.headers.update({name: response.headers[name] for name in RATE_HEADERS if name in response.headers})
        return response


def _raise_refused_token(error: TrutoError) -> None:
    """Raise the error if Truto does not accept the token: then no answer says anything about the account."""
    if is_refused_token(error):
        raise error


def _try(describe: Callable[[], str]) -> str:
    try:
        return describe()
    except TrutoError as error:
        _raise_refused_token(error)
        return f"no answer: {error}"


def _try_pair(describe: Callable[[RosterEntry], str], pair: RosterEntry | None) -> str:
    return "no pair was found to request" if pair is None else _try(lambda: describe(pair))


def _find_absent_pair(
    users: list[str], courses: list[str], rosters: list[RosterEntry] | None, user_courses: list[RosterEntry] | None
) -> RosterEntry | None:
    """Return a learner and a course that exist, where the learner is not enrolled in the course."""
    in_course = {entry.user_id for entry in rosters or ()}
    of_user = {entry.course_id for entry in user_courses or ()}
    absent = [
        *((user, courses[0]) for user in users if rosters is not None and user not in in_course),
        *((users[0], course) for course in courses if user_courses is not None and course not in of_user),
    ]
    return RosterEntry(*absent[0], b"") if absent else None


def _describe_entries(entries: list[RosterEntry] | None, key: RosterKey) -> str:
    return f"no {key}[] in its remote_data" if entries is None else f"yes, {len(entries):,} entries in {key}[]"


def _describe_cursor(page: Page) -> str:
    return "and a cursor to more" if page.next_cursor else "and no cursor"


def _decode_object(record: msgspec.Raw) -> dict[str, Any]:
    return _as_object(msgspec.json.decode(record))


def _as_object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _mask_id(value: object) -> str:
    """Return an id with every letter as `a` and every digit as `9`."""
    letters = ["a" if one.isalpha() else "9" if one.isdigit() else one for one in str(value)]
    return f"{type(value).__name__} like {''.join(letters)[:60]!r}"


def _describe_json(body: bytes) -> str:
    """Return the shape of a body, without its contents."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "not one JSON value"
    if isinstance(value, dict):
        return f"an object of {', '.join(sorted(value)[:12]) or 'nothing'}"
    return f"a list of {len(value)}" if isinstance(value, list) else f"a {type(value).__name__}"
