"""What a TalentLMS portal says of itself: users, courses, rosters and progress.

What belongs here: the objects of its API, as the examples show them. The formats of values are `portal_values.py`,
what Truto makes of it is `talentlms.py`. A learner who withdraws is taken off the roster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lms_pipeline.sandbox.synthetic import portal_values
from lms_pipeline.sandbox.synthetic.certificates import certificates, certification
from lms_pipeline.sandbox.synthetic.instants import NEVER
from lms_pipeline.sandbox.synthetic.lives import State, state_of
from lms_pipeline.sandbox.synthetic.names import DEPARTMENTS
from lms_pipeline.sandbox.synthetic.portal_values import COURSE_IDS, GROUP_IDS, UNIT_IDS, USER_IDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lms_pipeline.sandbox.synthetic.company import Company
    from lms_pipeline.sandbox.synthetic.courses import Course
    from lms_pipeline.sandbox.synthetic.lives import Life
    from lms_pipeline.sandbox.synthetic.people import Person


class Portal:
    """Answers as TalentLMS does; every object is new, and the caller's."""

    def __init__(self, company: Company) -> None:
        self._company = company
        self._zone = company.zone

    def status_in_course(self, life: Life, state: State) -> dict[str, Any]:
        """A learner's status in a course, which names neither of the two."""
        return self._progress(life, state) | {
            "completion_status": portal_values.label(state.status),
            "units": list(self._units_of(life, state)),
        }

    def user_with_courses(self, person: Person, at: int) -> dict[str, Any]:
        """A user with `courses[]`, which alone of the two rosters tells the completion status."""
        roster = list(self._roster(at, person=person.number))
        courses = [
            {
                "id": COURSE_IDS.of(life.course),
                "name": portal_values.entities(self._company.courses[life.course].title),
                **self._progress(life, state),
                "completion_status": portal_values.code(state.status),
            }
            for life, state in roster
        ]
        return self.user(person, at) | {
            "courses": courses,
            "branches": [],
            "groups": [_group(person)],
            "certifications": certificates(self._company, roster),
            "badges": [],
        }

    def course_with_users(self, course: Course, at: int) -> dict[str, Any]:
        """A course with `users[]`, its roster."""
        users = [
            {
                "id": USER_IDS.of(life.person),
                "name": portal_values.entities(_short_name(self._company.people[life.person])),
                **self._progress(life, state),
            }
            for life, state in self._roster(at, course=course.number)
        ]
        units = [
            {"id": unit_id, "type": "Unit", "name": name, "url": ""} for unit_id, name, _ in _units(course)
        ]
        return self.course(course) | {
            "users": users,
            "units": units,
            "rules": ["All units must be completed"],
            "prerequisites": [],
        }

    def user(self, person: Person, at: int) -> dict[str, Any]:
        """A user as in the list."""
        has_left = person.left_at <= at
        changed_at = person.left_at if has_left else person.joined_at
        return {
            "id": USER_IDS.of(person.number),
            "login": person.login,
            "first_name": portal_values.entities(person.given),
            "last_name": portal_values.entities(person.family),
            "email": next((email.email for email in person.emails if email.is_primary), ""),
            "restrict_email": "0",
            "user_type": "Learner-Type",
            "timezone": self._company.profile.zone,
            "language": "English",
            "status": "inactive" if has_left else "active",
            "deactivation_date": portal_values.text_date(person.left_at, self._zone) if has_left else "",
            "level": "1",
            "points": "0",
            "created_on": portal_values.text_date(person.joined_at, self._zone),
            **self._date("last_updated", changed_at),
            "bio": "",
            "custom_field_1": portal_values.entities(person.department),
        }

    def course(self, course: Course) -> dict[str, Any]:
        """A course as in the list."""
        created_on = portal_values.text_date(course.created_at, self._zone)
        return {
            "id": COURSE_IDS.of(course.number),
            "name": portal_values.entities(course.title),
            "code": "",
            "category_id": None,
            "description": "",
            "price": "&#36;0.00",
            "status": "active",
            "creation_date": created_on,
            "last_update_on": created_on,
            "creator_id": USER_IDS.of(0),
            "hide_from_catalog": "0",
            "time_limit": "0",
            "level": None,
            "shared": "0",
            "shared_url": "",
            **certification(course),
        }

    def _roster(
        self, at: int, *, person: int | None = None, course: int | None = None
    ) -> Iterator[tuple[Life, State]]:
        for life in self._company.lives_of(at, person=person, course=course):
            state = state_of(life, at)
            if state.status != "withdrawn":
                yield life, state

    def _progress(self, life: Life, state: State) -> dict[str, Any]:
        expired_at = life.ends_at if state.status == "expired" else NEVER
        return {
            "role": "instructor" if life.is_instructor else "learner",
            **self._date("enrolled_on", life.seen_from),
            **self._date("completed_on", state.completed_at),
            "completion_percentage": str(state.progress),
            **self._date("expired_on", expired_at),
            "total_time": portal_values.duration(state.seconds),
        }

    def _units_of(self, life: Life, state: State) -> Iterator[dict[str, Any]]:
        """The units of the course, of which as many are done as the progress tells."""
        attempt = life.second if state.attempt == 2 else life.first
        for unit_id, name, percent in _units(self._company.courses[life.course]):
            done_at = attempt.reached_at(percent) if attempt and percent <= state.progress else NEVER
            yield {
                "id": unit_id,
                "name": name,
                "type": "Unit",
                "completion_status": "Completed" if done_at else "Not attempted",
                **self._date("completed_on", done_at),
                "score": "",
                "total_time": None,
            }

    def _date(self, name: str, instant: int) -> dict[str, str | None]:
        return {
            name: portal_values.text_date(instant, self._zone),
            f"{name}_timestamp": portal_values.epoch(instant),
        }


def _group(person: Person) -> dict[str, str]:
    """The person's department, which is the one group that they are in."""
    place = DEPARTMENTS.index(person.department)
    return {"id": GROUP_IDS.of(place), "name": portal_values.entities(person.department)}


def _short_name(person: Person) -> str:
    return f"{person.given[0]}. {person.family}"


def _units(course: Course) -> Iterator[tuple[str, str, int]]:
    """Id and name of each unit, and the progress at which it is done."""
    for place in range(course.units):
        yield (
            UNIT_IDS.of(10 * course.number + place),
            f"Part {place + 1}",
            -(-100 * (place + 1) // course.units),
        )
