"""The state of OULAD's enrollments at the end of a day, straight from its CSVs, in both mappings of the data's README.

Belongs here: one row for each enrollment that exists by then. Not here: what follows from the states
(`oulad_expected.py`), and the input of the package (`oulad_records.py` and `oulad_files.py`), which shares no code with
this file, so that an error in one does not hide an error in the other.

Days are numbers, counted from 1970-01-01; NaN is an unknown day. Events of a day are dated at its 00:00 UTC. The end of
the day includes them and excludes those of the next day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

MODULES = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG")
"""Each is an account."""
_EPOCH = date(1970, 1, 1).toordinal()
_PRESENTATION = ["code_module", "code_presentation"]
_ENROLLMENT = [*_PRESENTATION, "id_student"]
_SERVED_FROM = -365
"""The day of the presentation from which an enrollment without a registration date exists."""


@dataclass(frozen=True)
class _Files:
    """The CSVs, joined: `starts` is the day of a presentation's start."""

    registrations: pd.DataFrame
    assessments: pd.DataFrame
    submissions: pd.DataFrame


def to_number(day: date) -> int:
    """Return a day as a number."""
    return day.toordinal() - _EPOCH


def to_day(number: float) -> date:
    """Return the day of a number."""
    return date.fromordinal(int(number) + _EPOCH)


def find_last_day(oulad: Path) -> date:
    """Return the day on which the last presentations end."""
    rows = _load_files(oulad).registrations
    return to_day((rows["starts"] + rows["module_presentation_length"]).max())


def build_presentations(oulad: Path, day: date) -> pd.DataFrame:
    """Return the first mapping: an enrollment for each student of a presentation, which is a course.

    Columns: `account`, `course`, `user`, `status`, `progress`, `score`, `mandatory`, and the days `began`, `completed`,
    `due`, `activity` and `updated`.
    """
    files, today = _load_files(oulad), to_number(day)
    rows = files.registrations
    rows = rows[today >= rows["starts"] + rows["date_registration"].fillna(_SERVED_FROM)]
    submissions = files.submissions[files.submissions["submitted"] <= today]
    work = submissions.groupby(_ENROLLMENT).agg(
        done=("weight", "sum"), score=("score", "mean"), activity=("submitted", "max")
    )
    rows = rows.merge(work.reset_index(), how="left", on=_ENROLLMENT)
    withdrawn = rows["final_result"] == "Withdrawn"
    length = rows["module_presentation_length"]
    ends = rows["starts"] + length.where(~withdrawn, rows["date_unregistration"].fillna(length))
    has_ended = today >= ends
    statuses = rows["final_result"].map(
        {"Pass": "passed", "Distinction": "passed", "Fail": "failed", "Withdrawn": "withdrawn"}
    )
    open_status = rows["activity"].notna().map({True: "in_progress", False: "enrolled"})
    status = statuses.where(has_ended, open_status)
    first = rows["starts"] + rows["date_registration"].fillna(_SERVED_FROM)
    return pd.DataFrame(
        {
            "account": rows["code_module"],
            "course": rows["code_module"] + "/" + rows["code_presentation"],
            "user": rows["id_student"],
            "status": status,
            "progress": rows["done"].fillna(0) / rows["total_weight"] * 100,
            "score": rows["score"],
            "mandatory": None,
            "began": rows["starts"] + rows["date_registration"],
            "completed": ends.where(status == "passed"),
            "due": np.nan,
            "activity": rows["activity"],
            "updated": pd.concat([first, rows["activity"], ends.where(has_ended)], axis=1).max(axis=1),
        }
    )


def build_assessments(oulad: Path, day: date) -> pd.DataFrame:
    """Return the second mapping: an enrollment for each student and assessment, which is a course with a due day."""
    files, today = _load_files(oulad), to_number(day)
    rows = files.registrations.merge(files.assessments, on=_PRESENTATION)
    rows = rows[rows["date"].notna() & (rows["assessment_type"] != "Exam")]
    rows = rows[today >= rows["starts"] + rows["date_registration"].fillna(_SERVED_FROM)]
    submissions = files.submissions[["id_assessment", "id_student", "submitted"]]
    rows = rows.merge(submissions, how="left", on=["id_assessment", "id_student"])
    completed = rows["submitted"].where(rows["submitted"] <= today)
    course = rows["code_module"] + "/" + rows["code_presentation"] + "/" + rows["id_assessment"].astype(str)
    return pd.DataFrame(
        {
            "account": rows["code_module"],
            "course": course,
            "user": rows["id_student"],
            "status": np.where(completed.notna(), "completed", "assigned"),
            "progress": np.nan,
            "score": np.nan,
            "mandatory": True,
            "began": rows["starts"] + rows["date_registration"],
            "completed": completed,
            "due": rows["starts"] + rows["date"],
            "activity": np.nan,
            "updated": np.nan,
        }
    )


@cache
def _load_files(oulad: Path) -> _Files:
    """Read the CSVs once."""
    courses = pd.read_csv(oulad / "courses.csv.gz")
    starts = [
        to_number(date(int(presentation[:4]), {"B": 2, "J": 10}[presentation[4]], 1))
        for presentation in courses["code_presentation"]
    ]
    courses = courses.assign(starts=starts)
    assessments = pd.read_csv(oulad / "assessments.csv.gz")
    total = assessments.groupby(_PRESENTATION)["weight"].sum().rename("total_weight").reset_index()
    registrations = (
        pd.read_csv(oulad / "studentRegistration.csv.gz")
        .merge(pd.read_csv(oulad / "studentInfo.csv.gz"), on=_ENROLLMENT)
        .merge(courses.merge(total, on=_PRESENTATION), on=_PRESENTATION)
    )
    submissions = (
        pd.read_csv(oulad / "studentAssessment.csv.gz")
        .merge(assessments, on="id_assessment")
        .merge(courses, on=_PRESENTATION)
    )
    submissions["submitted"] = submissions["starts"] + submissions["date_submitted"]
    return _Files(registrations, assessments, submissions)
