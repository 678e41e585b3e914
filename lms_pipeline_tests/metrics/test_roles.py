"""Which roles the metrics leave out by default, and how roles are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION
from lms_pipeline_tests.support.enrollment_files import compute_rows, enrollments_file, write

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lms_pipeline.metrics.completion import EnrollmentsFile

LEFT_OUT = (
    *("instructor", "Instructor", " INSTRUCTOR ", "teacher", "trainer", "admin", "Administrator", "observer"),
    # TalentLMS
    *("SuperAdmin", "Super admin", "Admin-Type", "Trainer-Type", "Course creator"),
    # Moodle
    *("manager", "coursecreator", "course_creator", "editingteacher", "Non-editing teacher", "guest"),
    # Canvas
    *("TeacherEnrollment", "TaEnrollment", "DesignerEnrollment", "ObserverEnrollment", "StudentViewEnrollment"),
    *("ta", "designer", "student_view", "Test Student", "Account Admin"),
    # Docebo
    *("tutor", "ghost"),
)
LEARNING = ("learner", "Student", " trainee ", "participant", "user", "Learner-Type", "StudentEnrollment")
UNFAMILIAR = ("mentor", "instructors", "co-instructor", "student teacher")


def write_roles(path: Path, roles: Iterable[str], **options: Any) -> EnrollmentsFile:
    """Write an enrollment with each role, in a course whose id is the role."""
    rows = [
        {"user_id": f"u{number}", "course_id": role, "status": "enrolled", "role": role}
        for number, role in enumerate(roles)
    ]
    return enrollments_file(write(path / "data.parquet", rows), **options)


def count_roles(path: Path, *roles: str, **options: Any) -> tuple[int, int, int]:
    """Return how many enrollments with these roles count, are left out, and have a role that is not known."""
    [row] = compute_rows(ACCOUNT_COMPLETION, write_roles(path, roles, **options))
    return read_counts(row)


def read_counts(row: dict[str, Any]) -> tuple[int, int, int]:
    return row["n_all"], row["left_out_by_role"], row["rows_unfamiliar_role"]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, int, int]]:
    """Return by role how many enrollments count, are left out, and have a role that is not known, by default."""
    file = write_roles(tmp_path_factory.mktemp("roles"), (*LEFT_OUT, *LEARNING, *UNFAMILIAR))
    return {row["course_id"]: read_counts(row) for row in compute_rows(COURSE_COMPLETION, file)}


@pytest.mark.parametrize("role", LEFT_OUT)
def test_roles_that_do_not_learn_are_left_out_by_default(role: str, counted: dict[str, tuple[int, int, int]]) -> None:
    assert role not in counted  # a course has no row without an enrollment that counts


@pytest.mark.parametrize("role", LEARNING)
def test_roles_that_learn_stay_in(role: str, counted: dict[str, tuple[int, int, int]]) -> None:
    assert counted[role] == (1, 0, 0)


@pytest.mark.parametrize("role", UNFAMILIAR)
def test_a_role_in_neither_list_stays_in_and_is_reported(role: str, counted: dict[str, tuple[int, int, int]]) -> None:
    assert counted[role] == (1, 0, 1)


def test_the_account_counts_what_is_left_out_and_what_is_not_known(tmp_path: Path) -> None:
    stay = len(LEARNING) + len(UNFAMILIAR)
    assert count_roles(tmp_path, *LEFT_OUT, *LEARNING, *UNFAMILIAR) == (stay, len(LEFT_OUT), len(UNFAMILIAR))


@pytest.mark.parametrize("excluded", ["lead mentor", " LeadMentor "])
def test_case_and_blanks_do_not_matter(excluded: str, tmp_path: Path) -> None:
    served = ("Lead Mentor", "leadmentor", "LEAD  MENTOR", "\tlead\u00a0mentor\n", "lead\x0bmentor\x1f")
    assert count_roles(tmp_path, *served, excluded_roles=(excluded,)) == (0, 5, 0)


def test_other_roles_replace_the_default_ones(tmp_path: Path) -> None:
    assert count_roles(tmp_path, "mentor", "instructor", "learner", excluded_roles=("mentor",)) == (2, 1, 1)


def test_a_capital_i_with_a_dot_is_an_i(tmp_path: Path) -> None:
    assert count_roles(tmp_path, "EĞİTMEN", "eğitmen", excluded_roles=("Eğİtmen",)) == (0, 2, 0)


def test_a_role_that_learns_can_be_left_out(tmp_path: Path) -> None:
    assert count_roles(tmp_path, "participant", "learner", excluded_roles=("participant",)) == (1, 1, 0)
