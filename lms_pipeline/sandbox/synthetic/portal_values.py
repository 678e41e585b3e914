"""TalentLMS's way to write values.

What belongs here: formats and ids, as the examples of its API show them: everything is a string, nothing is `""` or
null, names hold HTML entities, and text dates are the portal's local time beside a true epoch. The objects made of
them are `portal.py`.
"""

from __future__ import annotations

import html
from datetime import datetime
from typing import TYPE_CHECKING

from lms_pipeline.sandbox.synthetic.dialect import Ids
from lms_pipeline.sandbox.synthetic.instants import NEVER

if TYPE_CHECKING:
    from datetime import date
    from zoneinfo import ZoneInfo

    from lms_pipeline.sandbox.synthetic.lives import Status

USER_IDS, COURSE_IDS, GROUP_IDS, UNIT_IDS = Ids(), Ids(first=101), Ids(first=11), Ids(first=1001)

_CODES: dict[Status, str] = {
    "assigned": "not_attempted",
    "enrolled": "not_attempted",
    "in_progress": "incomplete",
    "expired": "incomplete",
    "withdrawn": "incomplete",
    "completed": "completed",
    "passed": "completed",
    "failed": "failed",
}


def text_date(instant: int, zone: ZoneInfo) -> str:
    """`25/12/2019, 03:58:40`, local time; empty where there is none."""
    return "" if instant == NEVER else datetime.fromtimestamp(instant, zone).strftime("%d/%m/%Y, %H:%M:%S")


def text_day(day: date) -> str:
    """`06/08/2019`."""
    return day.strftime("%d/%m/%Y")


def epoch(instant: int) -> str | None:
    """`"1577246320"`; null where there is none."""
    return None if instant == NEVER else str(instant)


def duration(seconds: int) -> str | None:
    """`3m 17s`, `2h 0m 5s`; null where no time was spent."""
    if not seconds:
        return None
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes}m {rest}s"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"


def entities(text: str) -> str:
    """The text with HTML's special characters as entities."""
    return html.escape(text).replace("&#x27;", "&#039;")


def code(status: Status) -> str:
    """A completion status in `users.courses[]`."""
    return _CODES[status]


def label(status: Status) -> str:
    """A completion status in a learner's status in a course."""
    return _CODES[status].replace("_", " ").capitalize()
