"""The `learner` strategy: every user is asked for, and its provider's answer holds the courses.

What belongs here: what is special to it. TalentLMS lists the courses of a user with the completion status too, which a
roster lacks, but there are more users than courses.
"""

from __future__ import annotations

from typing import ClassVar

from lms_pipeline.extract.strategies import ByDetails
from lms_pipeline.pull.strategies import StrategyName
from lms_pipeline.transform.rosters import Side
from lms_pipeline.truto.query import Resource


class Learner(ByDetails):
    """Asks for each user: one call for each."""

    name: StrategyName = "learner"
    resource: ClassVar[Resource] = "users"
    side: ClassVar[Side] = "courses"
    without: ClassVar[str] = (
        "The users of account {account} come without their courses: "
        'set strategy = "roster" or "pairs" in LMS_ACCOUNTS_FILE.'
    )
