"""OULAD as records: they give the same figures as the CSVs and as the data's README.

Belongs here: the records against the recomputation. Not here: the pipeline.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from datetime import date, timedelta
from itertools import pairwise
from math import isclose
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

import msgspec
import pytest

from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.oulad_expected import DAYS, Figures, compute_expected, find_last_day
from lms_pipeline_tests.support.oulad_records import OULAD, OULAD_MISSING, write_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

pytestmark = pytest.mark.skipif(not OULAD.is_dir(), reason=OULAD_MISSING)

T = TypeVar("T")
ENROLLMENTS = 32_593
AT_THE_END = {  # enrollments, learners, Pass + Distinction, Fail, Withdrawn: the README's table, copied by hand
    "AAA": (748, 712, 531, 91, 126),
    "BBB": (7909, 7692, 3754, 1767, 2388),
    "CCC": (4434, 4251, 1678, 781, 1975),
    "DDD": (6272, 5848, 2610, 1412, 2250),
    "EEE": (2934, 2859, 1650, 562, 722),
    "FFF": (7762, 7397, 3648, 1711, 2403),
    "GGG": (2534, 2525, 1514, 728, 292),
}


class Enrollment(msgspec.Struct, frozen=True):
    id: str
    user: dict[str, str]
    course: dict[str, str]
    status: str
    progress_percent: float
    updated_at: str
    enrolled_at: str | None = None
    completed_at: str | None = None
    last_activity_at: str | None = None
    score: float | None = None


class Version(msgspec.Struct, frozen=True):
    account: str
    valid_from: str
    enrollment: Enrollment
    raw: dict[str, int | str | None]


@pytest.fixture(scope="module")
def versions(oulad_records: Path) -> list[Version]:
    decoder = msgspec.json.Decoder(Version)
    with oulad_records.open("rb") as file:
        return [decoder.decode(line) for line in file]


@pytest.fixture(scope="module")
def histories(versions: list[Version]) -> dict[str, list[Version]]:
    return group_by(versions, lambda version: version.enrollment.id)


def select_current(versions: Iterable[Version], day: date) -> dict[str, Enrollment]:
    """Return the latest version of each enrollment before the day's end."""
    as_of = f"{day + timedelta(days=1)}T00:00:00Z"
    return {version.enrollment.id: version.enrollment for version in versions if version.valid_from < as_of}


def is_started(enrollment: Enrollment) -> bool:
    submitted = enrollment.progress_percent > 0 or enrollment.completed_at is not None
    return submitted or enrollment.status in {"passed", "failed", "in_progress"}


def compute_mean(values: list[float]) -> float | None:
    return fmean(values) if values else None


def compute_figures(enrollments: list[Enrollment]) -> Figures:
    statuses = Counter(enrollment.status for enrollment in enrollments)
    names = ("enrolled", "in_progress", "passed", "failed", "withdrawn")
    progress = [
        enrollment.progress_percent for enrollment in enrollments if enrollment.status in {"enrolled", "in_progress"}
    ]
    started = sum(is_started(enrollment) for enrollment in enrollments)
    dropped = sum(enrollment.status == "withdrawn" and not is_started(enrollment) for enrollment in enrollments)
    n, completed = len(enrollments), statuses["passed"]
    denominators = {"": n, "_eligible": n - dropped, "_started": started}
    return {
        "n_all": n,
        "learners": len({enrollment.user["id"] for enrollment in enrollments}),
        **{f"status_{status}": statuses[status] for status in names},
        "n_completed": completed,
        "n_started": started,
        "n_open": len(progress),
        "n_dropped_early": dropped,
        **{f"completion_rate{kind}": completed / whole if whole else None for kind, whole in denominators.items()},
        "progress_mean": compute_mean(progress),
    }


def group_by(items: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def is_same(one: float | None, other: float | None) -> bool:
    """Whether counts are equal, and means equal except for rounding by the order of summation."""
    return one == other if one is None or other is None else isclose(one, other, rel_tol=1e-12)


def find_differences(found: Figures, expected: Figures) -> dict[str, tuple[float | None, float | None]]:
    return {name: (found[name], expected[name]) for name in found if not is_same(found[name], expected[name])}


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_the_records_give_the_figures_of_the_files(versions: list[Version], day: date) -> None:
    expected = compute_expected(OULAD, day)
    current = select_current(versions, day).values()
    accounts = group_by(current, lambda enrollment: enrollment.course["id"].split("/")[0])
    courses = group_by(current, lambda enrollment: enrollment.course["id"])
    assert accounts.keys() <= expected.accounts.keys() == AT_THE_END.keys()
    assert courses.keys() == expected.courses.keys()
    for module, row in expected.accounts.items():
        assert find_differences(compute_figures(accounts.get(module, [])), row) == {}, module
    for course, row in expected.courses.items():
        scores = [enrollment.score for enrollment in courses[course] if enrollment.score is not None]
        assert find_differences(compute_figures(courses[course]) | {"score_mean": compute_mean(scores)}, row) == {}, (
            course
        )


def test_the_final_figures_are_those_of_the_datas_readme(versions: list[Version]) -> None:
    assert DAYS[-1] == find_last_day(OULAD)
    accounts = compute_expected(OULAD, DAYS[-1]).accounts
    names = ("n_all", "learners", "status_passed", "status_failed", "status_withdrawn")
    assert {module: tuple(row[name] for name in names) for module, row in accounts.items()} == AT_THE_END
    assert len(select_current(versions, DAYS[-1])) == ENROLLMENTS


def test_the_file_is_sorted(versions: list[Version]) -> None:
    keys = [(version.account, version.valid_from, version.enrollment.id) for version in versions]
    assert keys == sorted(set(keys))


@pytest.mark.parametrize("modules", choose([("AAA",)], [("AAA",), tuple(AT_THE_END)]), ids=" ".join)
def test_the_file_is_reproducible_from_the_csvs_of_its_modules(
    modules: tuple[str, ...], oulad_records: Path, tmp_path: Path
) -> None:
    prefixes = tuple(f'{{"account":"{module}",'.encode() for module in modules)
    with oulad_records.open("rb") as file:
        expected = [line for line in file if line.startswith(prefixes)]
    assert write_records(copy_csvs(modules, tmp_path / "csvs"), tmp_path / "again.ndjson") == len(expected)
    with (tmp_path / "again.ndjson").open("rb") as file:
        assert list(file) == expected


def copy_csvs(modules: tuple[str, ...], folder: Path) -> Path:
    """Write the rows of some modules, as the data has them, into CSVs of the same names."""
    folder.mkdir()
    assessments = set[str]()
    for name in ("courses", "assessments", "studentInfo", "studentRegistration", "studentAssessment"):
        with (
            gzip.open(OULAD / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as source,
            gzip.open(folder / f"{name}.csv.gz", "wt", 1, encoding="utf-8", newline="") as target,
        ):
            reader = csv.DictReader(source)
            writer = csv.DictWriter(target, reader.fieldnames or ())
            writer.writeheader()
            for row in reader:
                if row.get("code_module") in modules or row.get("id_assessment") in assessments:
                    writer.writerow(row)
                    assessments |= {row["id_assessment"]} if name == "assessments" else set()
    return folder


def test_every_version_changes_something_and_no_enrollment_reopens(histories: dict[str, list[Version]]) -> None:
    assert len(histories) == ENROLLMENTS
    for history in histories.values():
        states = [msgspec.structs.replace(version.enrollment, updated_at="") for version in history]
        assert all(previous != following for previous, following in pairwise(states))
        statuses = [enrollment.status for enrollment in states]
        order = ["enrolled", "in_progress", statuses[-1]]
        assert [order.index(status) for status in statuses] == sorted(map(order.index, statuses))


def test_histories_computed_by_hand(histories: dict[str, list[Version]]) -> None:
    def read_history(enrollment_id: str) -> list[tuple[str, str, float, float | None]]:
        history = [(version.valid_from[:10], version.enrollment) for version in histories[enrollment_id]]
        return [(day, enrollment.status, enrollment.progress_percent, enrollment.score) for day, enrollment in history]

    # 78, 85, 80, 85, 82 in assessments of 10, 20, 20, 20, 30 of 200
    assert read_history("AAA/2013J/11391") == [
        ("2013-04-25", "enrolled", 0, None),
        ("2013-10-19", "in_progress", 5, 78),
        ("2013-11-23", "in_progress", 15, 81.5),
        ("2014-01-24", "in_progress", 25, 81),
        ("2014-03-14", "in_progress", 35, 82),
        ("2014-05-01", "in_progress", 50, 82),
        ("2014-06-26", "passed", 50, 82),
    ]
    assert read_history("FFF/2014B/535460") == [("2013-02-01", "withdrawn", 0, None)]


def test_ids_roles_and_dates_are_consistent(versions: list[Version], histories: dict[str, list[Version]]) -> None:
    for version in versions:
        enrollment, raw = version.enrollment, version.raw
        course = f"{raw['code_module']}/{raw['code_presentation']}"
        assert enrollment.id == f"{enrollment.course['id']}/{enrollment.user['id']}" == f"{course}/{raw['id_student']}"
        assert (version.account, raw["role"], version.valid_from) == (course[:3], "learner", enrollment.updated_at)
        assert (enrollment.completed_at is None) == (enrollment.status != "passed")
    assert sum(history[-1].enrollment.enrolled_at is None for history in histories.values()) == 45
