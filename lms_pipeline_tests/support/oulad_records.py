"""OULAD's enrollments as records for the sandbox: NDJSON, one version of one enrollment a line.

What belongs here: the first mapping of the data's README, told as a history. What the figures must then be is
recomputed by `oulad_expected.py`, which shares nothing with this file.

The data contradict themselves; so the README's sentences are taken by the letter:

- An enrollment is served from its registration on, with no registration date from day -365 on and without
  `enrolled_at`. What is dated before that (115 banked submissions) is in its first version.
- Withdrawn ends on the day of the unregistration, wherever it lies (one lies 176 days after the presentation's
  end), else with the presentation. Every other result ends with the presentation, and the unregistration date of
  9 who failed changes nothing.
- What has ended stays ended. Yet progress and score are "so far", so submissions after the end or after the
  withdrawal still move them, and `last_activity_at` and `updated_at` too.
- Banked submissions count like any other, on the day they are dated.
- A submission without a score counts for progress and not for the mean; no score yet is no `score`.
- A weight of 0 is a submission too: it makes `in_progress` with 0 percent. The exams are in the total weight.
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
OULAD_MISSING = "the OULAD data are not there: ../shared/data/oulad, seen from the repository's root"
"""Why a test that needs the data is skipped; they are not part of the project."""

FIRST_DAY = -365
FINAL_STATUS = {"Pass": "passed", "Distinction": "passed", "Fail": "failed", "Withdrawn": "withdrawn"}

Key = tuple[str, ...]


class Submission(NamedTuple):
    """One assessment handed in; in order of their days."""

    day: int
    weight: float
    score: float | None


class Enrollment(NamedTuple):
    """A registration with what the other files say of it; days count from `start`."""

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
    more: dict[str, int]

    @property
    def there_from(self) -> int:
        return FIRST_DAY if self.registered is None else self.registered

    @property
    def ends(self) -> int:
        if self.result == "Withdrawn" and self.unregistered is not None:
            return self.unregistered
        return self.length


def write_records(oulad: Path, target: Path) -> int:
    """Write every version of every enrollment to `target`; returns the number of lines."""
    written = 0
    with target.open("wb") as file:
        for _, enrollments in groupby(_enrollments(oulad), key=lambda enrollment: enrollment.module):
            lines = sorted(line for enrollment in enrollments for line in _lines(enrollment))
            file.writelines(json for _, _, json in lines)
            written += len(lines)
    return written


def _enrollments(oulad: Path) -> Iterator[Enrollment]:
    """All enrollments, those of one module together, modules in order."""
    lengths = {_course(row): int(row["module_presentation_length"]) for row in _rows(oulad, "courses")}
    info = {(*_course(row), row["id_student"]): row for row in _rows(oulad, "studentInfo")}
    weights, submissions = _assessments(oulad)
    for row in sorted(_rows(oulad, "studentRegistration"), key=_course):
        course, student = _course(row), row["id_student"]
        about = info[*course, student]
        yield Enrollment(
            module=row["code_module"],
            presentation=row["code_presentation"],
            student=student,
            start=_start(row["code_presentation"]),
            total_weight=weights[course],
            registered=_day(row["date_registration"]),
            unregistered=_day(row["date_unregistration"]),
            length=lengths[course],
            result=about["final_result"],
            submissions=sorted(submissions[*course, student], key=lambda submission: submission.day),
            more={name: int(about[name]) for name in ("num_of_prev_attempts", "studied_credits")},
        )


def _assessments(oulad: Path) -> tuple[dict[Key, float], dict[Key, list[Submission]]]:
    """The total weight of each presentation, and who submitted what in it."""
    weights: dict[Key, float] = defaultdict(float)
    assessments: dict[str, tuple[Key, float]] = {}
    for row in _rows(oulad, "assessments"):
        weight = float(row["weight"])
        weights[_course(row)] += weight
        assessments[row["id_assessment"]] = _course(row), weight
    submissions: dict[Key, list[Submission]] = defaultdict(list)
    for row in _rows(oulad, "studentAssessment"):
        course, weight = assessments[row["id_assessment"]]
        score = float(row["score"]) if row["score"] else None
        submission = Submission(int(row["date_submitted"]), weight, score)
        submissions[*course, row["id_student"]].append(submission)
    return weights, submissions


def _lines(enrollment: Enrollment) -> Iterator[tuple[str, str, bytes]]:
    """A line for each day on which something is new, after the instant and the id that it is sorted by."""
    news = {enrollment.there_from, enrollment.ends, *(one.day for one in enrollment.submissions)}
    for day in sorted({max(day, enrollment.there_from) for day in news}):
        record = _record(enrollment, day)
        raw = _raw(enrollment, ended=day >= enrollment.ends)
        instant = record["updated_at"]
        version = {"account": enrollment.module, "valid_from": instant, "enrollment": record, "raw": raw}
        yield instant, record["id"], msgspec.json.encode(version) + b"\n"


def _record(enrollment: Enrollment, day: int) -> dict[str, Any]:
    """The unified record as it stands on `day`; what isn't known is left out."""
    module, presentation, start = enrollment.module, enrollment.presentation, enrollment.start
    submitted = [one for one in enrollment.submissions if one.day <= day]
    scores = [one.score for one in submitted if one.score is not None]
    before = "in_progress" if submitted else "enrolled"
    status = FINAL_STATUS[enrollment.result] if day >= enrollment.ends else before
    record = {
        "id": f"{module}/{presentation}/{enrollment.student}",
        "user": {"id": enrollment.student},
        "course": {"id": f"{module}/{presentation}", "title": f"{module} {presentation}"},
        "status": status,
        "enrolled_at": None if enrollment.registered is None else _instant(start, enrollment.registered),
        "completed_at": _instant(start, enrollment.ends) if status == "passed" else None,
        "progress_percent": 100 * sum(one.weight for one in submitted) / enrollment.total_weight,
        "score": sum(scores) / len(scores) if scores else None,
        "last_activity_at": _instant(start, submitted[-1].day) if submitted else None,
        "updated_at": _instant(start, day),
    }
    return {name: value for name, value in record.items() if value is not None}


def _raw(enrollment: Enrollment, *, ended: bool) -> dict[str, Any]:
    """What a provider would say, in the words of the CSVs; how it ends isn't known before."""
    raw = {
        "id_student": int(enrollment.student),
        "code_module": enrollment.module,
        "code_presentation": enrollment.presentation,
        "role": "learner",
        "date_registration": enrollment.registered,
        **enrollment.more,
    }
    end = {"date_unregistration": enrollment.unregistered, "final_result": enrollment.result}
    return raw | end if ended else raw


def _rows(oulad: Path, name: str) -> Iterator[dict[str, str]]:
    with gzip.open(oulad / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _course(row: dict[str, str]) -> Key:
    return row["code_module"], row["code_presentation"]


def _day(text: str) -> int | None:
    return int(text) if text else None


@cache
def _start(presentation: str) -> date:
    return date(int(presentation[:4]), {"B": 2, "J": 10}[presentation[4:]], 1)


@cache
def _instant(start: date, day: int) -> str:
    return f"{start + timedelta(days=day)}T00:00:00Z"
