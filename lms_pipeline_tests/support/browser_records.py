"""The accounts and enrollments that the sandbox serves in the browser tests: few enough to count by hand."""

from lms_pipeline_tests.defs.conftest import DAY, NOW, enrollment

__all__ = ["CLOSED_DAY", "DAY", "NOW", "build_records"]

CLOSED_DAY = "2026-03-09"
"""The day before the open one, and the first partition."""
ENROLLMENTS = """
north   ana    first-aid         completed    learner
north   ben    first-aid         completed    learner
north   cleo   first-aid         in_progress  learner
north   dan    first-aid         enrolled     learner
north   ana    fire-safety       completed    learner
north   ben    fire-safety       in_progress  learner
north   cleo   fire-safety       enrolled     learner
north   dan    manual-handling   enrolled     learner
north   eve    first-aid         completed    instructor
south   fay    first-aid         completed    learner
south   gus    first-aid         enrolled     learner
east    hal    first-aid         completed    learner
west    ida    first-aid         completed    learner
locked  jo     first-aid         completed    learner
"""
"""`north`: 9 enrollments, 8 of learners, 3 of these completed: 3/8. `south`: 1 of 2 completed."""


def build_records():
    """Yield the lines of the sandbox's records."""
    for number, row in enumerate(ENROLLMENTS.strip().splitlines()):
        account, learner, course, status, role = row.split()
        completed = {"completed_at": "2026-03-05T08:00:00Z"} if status == "completed" else {}
        yield enrollment(
            account,
            number,
            role=role,
            user={"id": learner, "name": learner.title()},
            course={"id": course, "title": course.replace("-", " ").capitalize()},
            status=status,
            **completed,
        )
