"""The `roster` strategy: every course is asked for, and its provider's answer holds its roster.

What belongs here: what is special to it. TalentLMS lists the users of a course with role, dates, percentage and time,
but not the completion status: from in_progress to failed nothing changes in a roster.
"""

from __future__ import annotations

from typing import ClassVar

from lms_pipeline.extract.strategies import ByDetails
from lms_pipeline.pull.strategies import StrategyName
from lms_pipeline.transform.rosters import Side
from lms_pipeline.truto.query import Resource


class Roster(ByDetails):
    """Asks for each course: one call for each."""

    name: StrategyName = "roster"
    resource: ClassVar[Resource] = "courses"
    side: ClassVar[Side] = "users"
    without: ClassVar[str] = (
        "The courses of account {account} come without their rosters: "
        'set strategy = "learner" or "pairs" in LMS_ACCOUNTS_FILE.'
    )
