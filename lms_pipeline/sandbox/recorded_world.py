"""What an account of a records world serves at one instant.

What belongs here: the lists that follow from the versions that hold. Users and courses are those that the
enrollments name, for the files tell of no others.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import msgspec

from lms_pipeline.sandbox.listing import Listing
from lms_pipeline.sandbox.records.lines import NULL, pair_of
from lms_pipeline.sandbox.world import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lms_pipeline.sandbox.records.histories import Version


class _Named(msgspec.Struct, gc=False):
    user: msgspec.Raw = NULL
    course: msgspec.Raw = NULL


_decode_named = msgspec.json.Decoder(_Named).decode


class RecordsView:
    """The lists of one state of an account, each worked out when it is first asked for."""

    def __init__(self, state: Sequence[Version | None]) -> None:
        self._state = state

    def enrollments(self, user_id: str | None = None, course_id: str | None = None) -> Listing:
        """The enrollments that hold, in the order of the files."""
        if user_id is None and course_id is None:
            return Listing(len(self._state), self._record_at)
        places = self._places(user_id, course_id)
        return Listing(len(places), lambda number: self._record_at(places[number]))

    def users(self) -> Listing:
        """The learners that the enrollments name."""
        return Listing.of(list(self._users.values()))

    def courses(self) -> Listing:
        """The courses that the enrollments name."""
        return Listing.of(list(self._courses.values()))

    def user(self, user_id: str) -> Record | None:
        """A learner that the enrollments name."""
        return self._users.get(user_id)

    def course(self, course_id: str) -> Record | None:
        """A course that the enrollments name."""
        return self._courses.get(course_id)

    def _record_at(self, place: int) -> Record | None:
        version = self._state[place]
        if version is None:
            return None
        return Record(bytes(version.enrollment), None if version.raw == NULL else bytes(version.raw))

    def _places(self, user_id: str | None, course_id: str | None) -> list[int]:
        if user_id is None:
            return self._places_of_courses.get(course_id or "", [])
        places = self._places_of_users.get(user_id, [])
        return [place for place in places if course_id in {None, self._pairs[place][1]}]

    @cached_property
    def _pairs(self) -> list[tuple[str | None, str | None]]:
        """Learner and course of each enrollment that holds."""
        return [(None, None) if version is None else pair_of(version.enrollment) for version in self._state]

    @cached_property
    def _places_of_users(self) -> dict[str, list[int]]:
        return _grouped(user_id for user_id, _ in self._pairs)

    @cached_property
    def _places_of_courses(self) -> dict[str, list[int]]:
        return _grouped(course_id for _, course_id in self._pairs)

    @cached_property
    def _users(self) -> dict[str, Record]:
        return self._named("user", self._places_of_users)

    @cached_property
    def _courses(self) -> dict[str, Record]:
        return self._named("course", self._places_of_courses)

    def _named(self, what: Literal["user", "course"], places: dict[str, list[int]]) -> dict[str, Record]:
        """Each learner or course as the newest of its enrollments tells it, in the order of the files."""
        return {key: Record(bytes(getattr(self._newest(of), what)), None) for key, of in places.items()}

    def _newest(self, places: Iterable[int]) -> _Named:
        versions = [version for place in places if (version := self._state[place]) is not None]
        return _decode_named(max(reversed(versions), key=lambda version: version.valid_from).enrollment)


def _grouped(keys: Iterable[str | None]) -> dict[str, list[int]]:
    """The places at which each key stands."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        if key is not None:
            places[key].append(place)
    return places
