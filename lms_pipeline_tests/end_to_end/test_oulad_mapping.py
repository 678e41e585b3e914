"""OULAD as records: folded by hand they give what the CSVs give, and what the README of the data says.

What belongs here: the records against the recomputation, without the pipeline.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta
from itertools import pairwise
from math import isclose
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

import msgspec
import pytest

from lms_pipeline_tests.support.oulad_expected import DAYS, Figures, expected, last_day
from lms_pipeline_tests.support.oulad_records import OULAD, OULAD_MISSING, write_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

pytestmark = pytest.mark.skipif(not OULAD.is_dir(), reason=OULAD_MISSING)

T = TypeVar("T")
ENROLLMENTS = 32_593
AT_THE_END = {  # enrollments, learners, Pass + Distinction, Fail, Withdrawn: the README's table, typed by hand
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
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    path = tmp_path_factory.mktemp("oulad") / "records.ndjson"
    return path, write_records(OULAD, path)


@pytest.fixture(scope="module")
def versions(written: tuple[Path, int]) -> list[Version]:
    decoder = msgspec.json.Decoder(Version)
    with written[0].open("rb") as file:
        return [decoder.decode(line) for line in file]


@pytest.fixture(scope="module")
def histories(versions: list[Version]) -> dict[str, list[Version]]:
    return by(versions, lambda version: version.enrollment.id)


def standing(versions: Iterable[Version], day: date) -> dict[str, Enrollment]:
    """The latest version of each enrollment that is true before the day's end."""
    as_of = f"{day + timedelta(days=1)}T00:00:00Z"
    return {version.enrollment.id: version.enrollment for version in versions if version.valid_from < as_of}


def is_started(one: Enrollment) -> bool:
    submitted = one.progress_percent > 0 or one.completed_at is not None
    return submitted or one.status in {"passed", "failed", "in_progress"}


def mean(values: list[float]) -> float | None:
    return fmean(values) if values else None


def figures(enrollments: list[Enrollment]) -> Figures:
    statuses = Counter(one.status for one in enrollments)
    told = ("enrolled", "in_progress", "passed", "failed", "withdrawn")
    progress = [one.progress_percent for one in enrollments if one.status in {"enrolled", "in_progress"}]
    started = sum(is_started(one) for one in enrollments)
    dropped = sum(one.status == "withdrawn" and not is_started(one) for one in enrollments)
    n, completed = len(enrollments), statuses["passed"]
    wholes = {"": n, "_eligible": n - dropped, "_started": started}
    return {
        "n_all": n,
        "learners": len({one.user["id"] for one in enrollments}),
        **{f"status_{status}": statuses[status] for status in told},
        "n_completed": completed,
        "n_started": started,
        "n_open": len(progress),
        "n_dropped_early": dropped,
        **{f"completion_rate{of}": completed / whole if whole else None for of, whole in wholes.items()},
        "progress_mean": mean(progress),
    }


def by(things: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = defaultdict(list)
    for one in things:
        groups[key(one)].append(one)
    return groups


def is_same(one: float | None, other: float | None) -> bool:
    """Counts to the unit; means but for what the order of a sum can do."""
    return one == other if one is None or other is None else isclose(one, other, rel_tol=1e-12)


def differing(found: Figures, wanted: Figures) -> dict[str, tuple[float | None, float | None]]:
    assert found.keys() == wanted.keys()
    return {name: (found[name], wanted[name]) for name in wanted if not is_same(found[name], wanted[name])}


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_the_records_give_the_figures_of_the_files(versions: list[Version], day: date) -> None:
    wanted = expected(OULAD, day)
    stand = standing(versions, day).values()
    accounts = by(stand, lambda one: one.course["id"].split("/")[0])
    courses = by(stand, lambda one: one.course["id"])
    assert accounts.keys() <= wanted.accounts.keys() == AT_THE_END.keys()
    assert courses.keys() == wanted.courses.keys()
    for module, row in wanted.accounts.items():
        assert differing(figures(accounts.get(module, [])), row) == {}, module
    for course, row in wanted.courses.items():
        scores = [one.score for one in courses[course] if one.score is not None]
        assert differing(figures(courses[course]) | {"score_mean": mean(scores)}, row) == {}, course


def test_at_the_end_all_are_there_as_published(versions: list[Version]) -> None:
    assert DAYS[-1] == last_day(OULAD)
    accounts = expected(OULAD, DAYS[-1]).accounts
    names = ("n_all", "learners", "status_passed", "status_failed", "status_withdrawn")
    assert {module: tuple(row[name] for name in names) for module, row in accounts.items()} == AT_THE_END
    assert len(standing(versions, DAYS[-1])) == ENROLLMENTS


def test_the_file_is_in_order_and_always_the_same(
    written: tuple[Path, int], versions: list[Version], tmp_path: Path
) -> None:
    keys = [(version.account, version.valid_from, version.enrollment.id) for version in versions]
    assert keys == sorted(set(keys))
    path, lines = written
    assert lines == len(keys) == write_records(OULAD, tmp_path / "again.ndjson")
    assert (tmp_path / "again.ndjson").read_bytes() == path.read_bytes()


def test_every_version_is_news_and_what_ended_stays_ended(histories: dict[str, list[Version]]) -> None:
    assert len(histories) == ENROLLMENTS
    for history in histories.values():
        said = [msgspec.structs.replace(version.enrollment, updated_at="") for version in history]
        assert all(before != after for before, after in pairwise(said))
        statuses = [one.status for one in said]
        order = ["enrolled", "in_progress", statuses[-1]]
        assert [order.index(status) for status in statuses] == sorted(map(order.index, statuses))


def test_histories_worked_out_by_hand(histories: dict[str, list[Version]]) -> None:
    def told(enrollment_id: str) -> list[tuple[str, str, float, float | None]]:
        history = [(version.valid_from[:10], version.enrollment) for version in histories[enrollment_id]]
        return [(day, one.status, one.progress_percent, one.score) for day, one in history]

    # 78, 85, 80, 85, 82 in assessments of 10, 20, 20, 20, 30 of 200
    assert told("AAA/2013J/11391") == [
        ("2013-04-25", "enrolled", 0, None),
        ("2013-10-19", "in_progress", 5, 78),
        ("2013-11-23", "in_progress", 15, 81.5),
        ("2014-01-24", "in_progress", 25, 81),
        ("2014-03-14", "in_progress", 35, 82),
        ("2014-05-01", "in_progress", 50, 82),
        ("2014-06-26", "passed", 50, 82),
    ]
    assert told("FFF/2014B/535460") == [("2013-02-01", "withdrawn", 0, None)]


def test_what_the_figures_do_not_show(versions: list[Version], histories: dict[str, list[Version]]) -> None:
    for version in versions:
        one, raw = version.enrollment, version.raw
        course = f"{raw['code_module']}/{raw['code_presentation']}"
        assert one.id == f"{one.course['id']}/{one.user['id']}" == f"{course}/{raw['id_student']}"
        assert (version.account, raw["role"], version.valid_from) == (course[:3], "learner", one.updated_at)
        assert (one.completed_at is None) == (one.status != "passed")
    assert sum(history[-1].enrollment.enrolled_at is None for history in histories.values()) == 45
