"""The roles that LMSs give to people in a course: which of them learn, and which do not, unless the settings say otherwise.

Belongs here: the names, and how they are compared. Settings, metrics and checks share them. Not here: the settings
(`LMS_EXCLUDED_ROLES`, `excluded_roles`).
"""

from __future__ import annotations

EXCLUDED_ROLES = (
    # in any LMS
    *("instructor", "teacher", "trainer", "tutor", "teaching assistant", "ta", "admin", "administrator", "observer"),
    # TalentLMS: the types of users
    *("superadmin", "admin-type", "trainer-type"),
    # Moodle: short names, and the names that it shows for them
    *(
        "manager",
        "coursecreator",
        "course_creator",
        "editingteacher",
        "non-editing teacher",
        "noneditingteacher",
        "guest",
    ),
    # Canvas: types of enrollments, and what they are called in other fields; its test student is `StudentView`
    *("TeacherEnrollment", "TaEnrollment", "DesignerEnrollment", "ObserverEnrollment", "StudentViewEnrollment"),
    *("designer", "student_view", "student view", "test student", "account admin"),
    # Docebo: levels in a course
    *("ghost",),
)
"""Roles that are enrolled in a course without learning in it, by default."""
LEARNER_ROLES = (
    *("learner", "student", "trainee", "participant", "user"),  # in any LMS; Moodle's and Docebo's is `student`
    "Learner-Type",  # TalentLMS: the type of users
    "StudentEnrollment",  # Canvas: the type of enrollments
)
"""Roles that learn. A role that is in neither list counts as a learner, and is reported."""


def normalize_role(role: str) -> str:
    """Return the form in which roles are compared: case and blanks do not matter. `normalize_role.sql` is the same in SQL.

    Each character is lowered for itself: `str.lower` has another sigma at the end of a word than DuckDB.
    """
    return "".join(character.lower() for character in "".join(role.split())).replace("i\u0307", "i")
