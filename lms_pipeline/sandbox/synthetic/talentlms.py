"""A TalentLMS account: rosters in users and courses, and enrollments that are answered one pair at a time.

Belongs here: TalentLMS's own objects, as examples of its API show them, and Truto's mapping of them. Everything is a
string, nothing is `""` or null, names hold HTML entities, text dates are local time beside a true epoch.
"""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from lms_pipeline.sandbox.synthetic.company import Company, Email
from lms_pipeline.sandbox.synthetic.history import Status, read_state
from lms_pipeline.sandbox.synthetic.provider import UnifiedCourse, UnifiedEnrollment, UnifiedUser, encode
from lms_pipeline.sandbox.world import Listing, Record

CompletionStatus = Literal["not_attempted", "incomplete", "completed", "failed"]

COMPLETION_STATUSES: dict[Status, CompletionStatus] = {
    "assigned": "not_attempted", "enrolled": "not_attempted", "in_progress": "incomplete", "expired": "incomplete",
    "completed": "completed", "passed": "completed", "failed": "failed",
}  # fmt: skip
"""A withdrawn learner has none: the portal takes it off the roster."""
UNIFIED_STATUSES = {"not_attempted": "enrolled", "incomplete": "in_progress"}
"""The others are the same in the unified API."""


class PortalUser(msgspec.Struct, frozen=True):
    """A user of the portal."""

    id: str
    first_name: str
    last_name: str | None = None
    login: str = ""
    emails: tuple[Email, ...] | None = None
    created_at: datetime | None = None
    deactivated_at: datetime | None = None


class PortalCourse(msgspec.Struct, frozen=True):
    """A course of the portal."""

    id: str
    title: str
    created_at: datetime | None = None


class PortalEnrollment(msgspec.Struct, frozen=True):
    """A learner in a course."""

    user_id: str
    course_id: str
    status: CompletionStatus
    progress: int
    """Percent."""
    seconds: int
    """Learning time."""
    enrolled_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None
    expired_at: datetime | None = None
    role: Literal["learner", "instructor"] = "learner"


class TalentLmsView:
    """A portal with these users, courses and enrollments, as Truto serves it."""

    def __init__(
        self,
        zone: ZoneInfo,
        users: Iterable[PortalUser],
        courses: Iterable[PortalCourse],
        enrollments: Iterable[PortalEnrollment],
    ) -> None:
        self._zone = zone
        self._users = {user.id: user for user in users}
        self._courses = {course.id: course for course in courses}
        self._by_pair = {(one.user_id, one.course_id): one for one in enrollments}
        self._by_user: defaultdict[str, list[PortalEnrollment]] = defaultdict(list)
        self._by_course: defaultdict[str, list[PortalEnrollment]] = defaultdict(list)
        for one in self._by_pair.values():
            self._by_user[one.user_id].append(one)
            self._by_course[one.course_id].append(one)

    def enrollments(self, user_id: str | None = None, course_id: str | None = None) -> Listing:
        """Return the enrollment of a pair: few fields, and only the ids of learner and course."""
        one = self._by_pair.get((user_id or "", course_id or ""))
        return Listing.of([] if one is None else [self._enrollment_record(one)])

    def users(self) -> Listing:
        """Return the users without their courses."""
        return Listing.of([self._user_record(user, {}) for user in self._users.values()])

    def courses(self) -> Listing:
        """Return the courses without their users."""
        return Listing.of([self._course_record(course, {}) for course in self._courses.values()])

    def user(self, user_id: str) -> Record | None:
        """Return a user with their courses."""
        user = self._users.get(user_id)
        return None if user is None else self._user_record(user, self.user_roster(user_id))

    def course(self, course_id: str) -> Record | None:
        """Return a course with its users."""
        course = self._courses.get(course_id)
        return None if course is None else self._course_record(course, self.course_roster(course_id))

    def user_roster(self, user_id: str) -> dict[str, Any]:
        """Return `courses` of a user; they have the completion status, which `users` of a course lack."""
        return {"courses": [self._user_entry(one) for one in self._by_user[user_id]]}

    def course_roster(self, course_id: str) -> dict[str, Any]:
        """Return `users` of a course."""
        return {"users": [self._course_entry(one) for one in self._by_course[course_id]]}

    def _user_entry(self, one: PortalEnrollment) -> dict[str, Any]:
        title = write_text(self._courses[one.course_id].title)
        return {"id": one.course_id, "name": title, **self._progress(one), "completion_status": one.status}

    def _course_entry(self, one: PortalEnrollment) -> dict[str, Any]:
        user = self._users[one.user_id]
        name = write_text(f"{user.first_name[0]}. {user.last_name}")
        return {"id": one.user_id, "name": name, **self._progress(one)}

    def _user_record(self, user: PortalUser, roster: Mapping[str, Any]) -> Record:
        status = "inactive" if user.deactivated_at else "active"
        remote = {
            "id": user.id,
            "login": user.login,
            "first_name": write_text(user.first_name),
            "last_name": write_text(user.last_name or ""),
            "email": next((email.email for email in user.emails or () if email.is_primary), ""),
            "status": status,
            "deactivation_date": self._text_date(user.deactivated_at),
            "created_on": self._text_date(user.created_at),
            **self._dates("last_updated", user.deactivated_at or user.created_at),
            **roster,
        }
        unified = UnifiedUser(user.id, None, user.first_name, user.last_name, user.emails, status, user.created_at)
        return Record(encode(unified), encode(remote))

    def _course_record(self, course: PortalCourse, roster: Mapping[str, Any]) -> Record:
        remote = {
            "id": course.id,
            "name": write_text(course.title),
            "code": "",
            "category_id": None,
            "status": "active",
            "creation_date": self._text_date(course.created_at),
            **roster,
        }
        unified = UnifiedCourse(course.id, course.title, "active", course.created_at)
        return Record(encode(unified), encode(remote))

    def _enrollment_record(self, one: PortalEnrollment) -> Record:
        unified = UnifiedEnrollment(
            id=f"{one.course_id}:{one.user_id}",
            user=UnifiedUser(one.user_id),
            course=UnifiedCourse(one.course_id),
            status="expired" if one.expired_at else UNIFIED_STATUSES.get(one.status, one.status),
            completed_at=one.completed_at,
            enrolled_at=one.enrolled_at,
            progress_percent=one.progress,
            time_spent_seconds=one.seconds,
            updated_at=one.updated_at,
        )
        label = one.status.replace("_", " ").capitalize()
        return Record(encode(unified), encode(self._progress(one) | {"completion_status": label}))

    def _progress(self, one: PortalEnrollment) -> dict[str, Any]:
        return {
            "role": one.role,
            **self._dates("enrolled_on", one.enrolled_at),
            **self._dates("completed_on", one.completed_at),
            "completion_percentage": str(one.progress),
            **self._dates("expired_on", one.expired_at),
            "total_time": write_duration(one.seconds),
        }

    def _dates(self, name: str, instant: datetime | None) -> dict[str, str | None]:
        """Return a date as local text and as an epoch, `"1577246320"`."""
        epoch = None if instant is None else str(int(instant.timestamp()))
        return {name: self._text_date(instant), f"{name}_timestamp": epoch}

    def _text_date(self, instant: datetime | None) -> str:
        return "" if instant is None else instant.astimezone(self._zone).strftime("%d/%m/%Y, %H:%M:%S")


def build_portal(company: Company, at: datetime) -> TalentLmsView:
    """Build the portal of a company at an instant."""
    return TalentLmsView(
        company.zone, _portal_users(company, at), _portal_courses(company, at), _portal_enrollments(company, at)
    )


def _portal_users(company: Company, at: datetime) -> Iterator[PortalUser]:
    for position, person in enumerate(company.find_people(at)):
        left_at = person.left_at if person.left_at <= at else None
        names = person.given, person.family, person.login
        yield PortalUser(_user_id(position), *names, person.emails, person.joined_at, left_at)


def _portal_courses(company: Company, at: datetime) -> Iterator[PortalCourse]:
    for position, course in enumerate(company.find_courses(at)):
        yield PortalCourse(_course_id(position), course.title, course.created_at)


def _portal_enrollments(company: Company, at: datetime) -> Iterator[PortalEnrollment]:
    for history in company.find_histories(at):
        state = read_state(history, at)
        if state.status != "withdrawn":
            yield PortalEnrollment(
                user_id=_user_id(history.start.person),
                course_id=_course_id(history.start.course),
                status=COMPLETION_STATUSES[state.status],
                progress=state.progress,
                seconds=state.seconds,
                enrolled_at=history.start.created_at,
                updated_at=state.updated_at,
                completed_at=state.completed_at,
                expired_at=history.ends_at if state.status == "expired" else None,
                role="instructor" if history.is_instructor else "learner",
            )


def _user_id(position: int) -> str:
    return str(position + 1)


def _course_id(position: int) -> str:
    return str(position + 101)


def write_text(text: str) -> str:
    """Return the text with HTML's special characters as entities."""
    return html.escape(text).replace("&#x27;", "&#039;")


def write_duration(seconds: int) -> str | None:
    """Return a duration as `3m 17s` or `2h 0m 5s`; None if no time was spent."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes}m {rest}s"
    if minutes:
        return f"{minutes}m {rest}s"
    return f"{rest}s" if rest else None
