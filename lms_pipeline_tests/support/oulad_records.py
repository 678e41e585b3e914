"""OULAD's enrollments as records for the sandbox: NDJSON with one version of one enrollment on each line.

Belongs here: the first mapping of the data's README, as a history. Not here: the expected figures
(`oulad_expected.py`, which shares no code with this file).

The data contradict themselves, so this module follows the README literally:

- An enrollment is served from its registration on. Without a registration date it is served from day -365 on,
  without `enrolled_at`. Its first version includes everything dated earlier (115 banked submissions).
- A withdrawn enrollment ends on the day of the unregistration, whenever that is (once 176 days after the
  presentation's end), else with the presentation. Every other enrollment ends with the presentation: the
  unregistration date of 9 failed ones has no effect.
- An ended enrollment stays ended. Progress and score are "so far", so submissions after the end or the withdrawal
  still change them, together with `last_activity_at` and `updated_at`.
- Banked submissions count like any other, on their date.
- A submission without a score counts for progress but not for the mean. Without any score, `score` is absent.
- A submission of weight 0 counts: the enrollment is `in_progress` with 0 percent. The total weight includes exams.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from datetime import date, timedelta
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

OULAD = Path(__file__).resolve().parents[3] / "shared" / "data" / "oulad"
OULAD_MISSING = "the OULAD data are missing: ../shared/data/oulad, relative to the repository's root"
"""Reason for skipping a test that needs the data, which are not part of the project."""

FIRST_DAY = -365
FINAL_STATUS = {"Pass": "passed", "Distinction": "passed", "Fail": "failed", "Withdrawn": "withdrawn"}

Key = tuple[str, ...]


class Submission(NamedTuple):
    """One submitted assessment."""

    day: int
    weight: float
    score: float | None


class Enrollment(NamedTuple):
    """A registration with the data of the other files. Days count from `start`."""

    module: str
    presentation: str
    student: str
    start: date
    total_weight: float
    registered: int | None
    unregistered: int | None
    length: int
    result: str
    submissions: list[Submission]
    attributes: dict[str, int]

    @property
    def first_day(self) -> int:
        return FIRST_DAY if self.registered is None else self.registered

    @property
    def last_day(self) -> int:
        if self.result == "Withdrawn" and self.unregistered is not None:
            return self.unregistered
        return self.length


def write_records(oulad: Path, target: Path) -> int:
    """Write every version of every enrollment to `target`. Return the number of lines."""
    written = 0
    with target.open("wb") as file:
        for _, enrollments in groupby(_read_enrollments(oulad), key=lambda enrollment: enrollment.module):
            lines = sorted(line for enrollment in enrollments for line in _build_lines(enrollment))
            file.writelines(json for _, _, json in lines)
            written += len(lines)
    return written


def _read_enrollments(oulad: Path) -> Iterator[Enrollment]:
    """Yield all enrollments, sorted by module."""
    lengths = {_parse_course(row): int(row["module_presentation_length"]) for row in _read_rows(oulad, "courses")}
    info = {(*_parse_course(row), row["id_student"]): row for row in _read_rows(oulad, "studentInfo")}
    weights, submissions = _read_assessments(oulad)
    for row in sorted(_read_rows(oulad, "studentRegistration"), key=_parse_course):
        course, student = _parse_course(row), row["id_student"]
        student_info = info[*course, student]
        yield Enrollment(
            module=row["code_module"],
            presentation=row["code_presentation"],
            student=student,
            start=_find_start(row["code_presentation"]),
            total_weight=weights[course],
            registered=_parse_day(row["date_registration"]),
            unregistered=_parse_day(row["date_unregistration"]),
            length=lengths[course],
            result=student_info["final_result"],
            submissions=sorted(submissions[*course, student], key=lambda submission: submission.day),
            attributes={name: int(student_info[name]) for name in ("num_of_prev_attempts", "studied_credits")},
        )


def _read_assessments(oulad: Path) -> tuple[dict[Key, float], dict[Key, list[Submission]]]:
    """Return the total weight of each presentation, and the submissions by presentation and student."""
    weights: dict[Key, float] = defaultdict(float)
    assessments: dict[str, tuple[Key, float]] = {}
    for row in _read_rows(oulad, "assessments"):
        weight = float(row["weight"])
        weights[_parse_course(row)] += weight
        assessments[row["id_assessment"]] = _parse_course(row), weight
    submissions: dict[Key, list[Submission]] = defaultdict(list)
    for row in _read_rows(oulad, "studentAssessment"):
        course, weight = assessments[row["id_assessment"]]
        score = float(row["score"]) if row["score"] else None
        submission = Submission(int(row["date_submitted"]), weight, score)
        submissions[*course, row["id_student"]].append(submission)
    return weights, submissions


def _build_lines(enrollment: Enrollment) -> Iterator[tuple[str, str, bytes]]:
    """Yield a line for each day with a change, after its sort key: the instant and the id."""
    days = {enrollment.first_day, enrollment.last_day, *(submission.day for submission in enrollment.submissions)}
    for day in sorted({max(day, enrollment.first_day) for day in days}):
        record = _build_record(enrollment, day)
        raw = _build_raw(enrollment, ended=day >= enrollment.last_day)
        instant = record["updated_at"]
        version = {"account": enrollment.module, "valid_from": instant, "enrollment": record, "raw": raw}
        yield instant, record["id"], msgspec.json.encode(version) + b"\n"


def _build_record(enrollment: Enrollment, day: int) -> dict[str, Any]:
    """Return the unified record on `day`, without unknown fields."""
    module, presentation, start = enrollment.module, enrollment.presentation, enrollment.start
    submitted = [submission for submission in enrollment.submissions if submission.day <= day]
    scores = [submission.score for submission in submitted if submission.score is not None]
    open_status = "in_progress" if submitted else "enrolled"
    status = FINAL_STATUS[enrollment.result] if day >= enrollment.last_day else open_status
    record = {
        "id": f"{module}/{presentation}/{enrollment.student}",
        "user": {"id": enrollment.student},
        "course": {"id": f"{module}/{presentation}", "title": f"{module} {presentation}"},
        "status": status,
        "enrolled_at": None if enrollment.registered is None else _format_instant(start, enrollment.registered),
        "completed_at": _format_instant(start, enrollment.last_day) if status == "passed" else None,
        "progress_percent": 100 * sum(submission.weight for submission in submitted) / enrollment.total_weight,
        "score": sum(scores) / len(scores) if scores else None,
        "last_activity_at": _format_instant(start, submitted[-1].day) if submitted else None,
        "updated_at": _format_instant(start, day),
    }
    return {name: value for name, value in record.items() if value is not None}


def _build_raw(enrollment: Enrollment, *, ended: bool) -> dict[str, Any]:
    """Return the provider's record with the CSVs' names. Its result is known only after the end."""
    raw = {
        "id_student": int(enrollment.student),
        "code_module": enrollment.module,
        "code_presentation": enrollment.presentation,
        "role": "learner",
        "date_registration": enrollment.registered,
        **enrollment.attributes,
    }
    end = {"date_unregistration": enrollment.unregistered, "final_result": enrollment.result}
    return raw | end if ended else raw


def _read_rows(oulad: Path, name: str) -> Iterator[dict[str, str]]:
    with gzip.open(oulad / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _parse_course(row: dict[str, str]) -> Key:
    return row["code_module"], row["code_presentation"]


def _parse_day(text: str) -> int | None:
    return int(text) if text else None


@cache
def _find_start(presentation: str) -> date:
    return date(int(presentation[:4]), {"B": 2, "J": 10}[presentation[4:]], 1)


@cache
def _format_instant(start: date, day: int) -> str:
    return f"{start + timedelta(days=day)}T00:00:00Z"
