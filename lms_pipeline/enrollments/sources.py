"""The fields of the API's lists that decide a column, written `users.emails`: the list, and the path in a record of it.

What belongs here: the notation. Which field decides which column stands beside the column's meaning in `tables.py`;
what is expected in a field is `shapes.py`.
"""

from __future__ import annotations

ENROLLMENTS, USERS, COURSES = "course-enrollments", "users", "courses"
ALL_FIELDS = "*"
"""A whole record, with the keys that are not documented."""


def enrollment(*paths: str) -> frozenset[str]:
    """Fields of an enrollment."""
    return frozenset(f"{ENROLLMENTS}.{path}" for path in paths)


def user(*paths: str) -> frozenset[str]:
    """Fields of a user."""
    return frozenset(f"{USERS}.{path}" for path in paths)


def course(*paths: str) -> frozenset[str]:
    """Fields of a course."""
    return frozenset(f"{COURSES}.{path}" for path in paths)


DETAILS = user("remote_data") | course("remote_data")
"""Where rosters are, which tell of the enrollments that no call was left for."""
USER_ID = enrollment("user.id") | user("id") | course("remote_data")
COURSE_ID = enrollment("course.id") | course("id") | user("remote_data")
