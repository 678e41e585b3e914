"""How an account tells of its company: the interface, and the ids.

What belongs here: what both dialects share. The dialects are `plain.py`, of the accounts that can be swept, and
`talentlms.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from lms_pipeline.sandbox.synthetic.courses import Course
    from lms_pipeline.sandbox.synthetic.lives import Life
    from lms_pipeline.sandbox.synthetic.people import Person
    from lms_pipeline.sandbox.world import Record


class Ids(NamedTuple):
    """Ids made of a number, and read back."""

    prefix: str = ""
    first: int = 1
    digits: int = 1

    def of(self, number: int) -> str:
        """The id of what stands at place `number`."""
        return self.prefix + str(number + self.first).zfill(self.digits)

    def number(self, text: str, count: int) -> int | None:
        """The place, where it is one of the first `count`."""
        digits = text.removeprefix(self.prefix)
        if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
            return None
        number = int(digits) - self.first
        return number if 0 <= number < count and self.of(number) == text else None


class Dialect(Protocol):
    """Tells what an account serves; instants are seconds."""

    users: Ids
    courses: Ids

    def enrollment(self, life: Life, at: int) -> Record | None:
        """An enrollment; None where it is not told of any more."""
        ...

    def user(self, person: Person, at: int) -> Record:
        """A user as in the list."""
        ...

    def course(self, course: Course, at: int) -> Record:
        """A course as in the list."""
        ...

    def user_in_full(self, person: Person, at: int) -> Record:
        """A user as asked for by id."""
        ...

    def course_in_full(self, course: Course, at: int) -> Record:
        """A course as asked for by id."""
        ...
