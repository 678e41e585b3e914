"""What the sandbox serves here: few enough enrollments to count them by hand.

What belongs here: the accounts and their enrollments, and the figures that follow from them.
"""

from lms_pipeline_tests.defs.conftest import DAY, NOW, enrollment

__all__ = ["DAY", "NOW", "OVER", "lines"]

OVER = "2026-03-09"
"""The day before the open one, and the first there is."""
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
"""In `north` 9 enrollments, 8 of them learners', of which 3 are completed: 3/8. In `south` 1 of 2."""


def lines():
    """The sandbox's records."""
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
