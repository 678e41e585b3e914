"""The names of roles, and the form in which Python and SQL compare them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.lake.engine import duckdb_session, load_sql
from lms_pipeline.tables.roles import EXCLUDED_ROLES, LEARNER_ROLES, normalize_role

ODD_CHARACTERS = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2003\u2028\u2029\u200b\u202f\u3000İ\u0131iIΣ\u03c3ςßẞ\u0307\x00"
)


def normalize_in_sql(*roles: str) -> list[str]:
    with duckdb_session() as connection:
        connection.execute(load_sql("lms_pipeline.tables", "normalize_role.sql"))
        rows = connection.execute("SELECT normalize_role(unnest($roles))", {"roles": list(roles)}).fetchall()
        return [role for (role,) in rows]


@pytest.mark.parametrize(
    ("role", "form"),
    [
        ("Course Creator", "coursecreator"),
        ("\tLEAD\x0bMentor\u00a0", "leadmentor"),
        ("lead\x1fmentor", "leadmentor"),
        ("\x85mentor\x1c", "mentor"),
        ("EĞİTMEN", "eğitmen"),
        ("ΚΑΘΗΓΗΤΗΣ", "καθηγητησ"),
        ("student_view", "student_view"),
        ("", ""),
    ],
)
def test_case_and_blanks_do_not_matter(role, form):
    assert (normalize_role(role), normalize_in_sql(role)) == (form, [form])


def test_python_and_sql_have_the_same_form_of_every_character():
    characters = [chr(number) for number in range(0x110000) if not 0xD800 <= number < 0xE000]
    assert [normalize_role(one) for one in characters] == normalize_in_sql(*characters)


@given(st.lists(st.text(st.sampled_from(ODD_CHARACTERS) | st.characters(codec="utf-8")), max_size=8))
def test_python_and_sql_have_the_same_form_of_every_text(roles):
    assert [normalize_role(role) for role in roles] == normalize_in_sql(*roles)


def test_each_role_is_in_the_lists_once():
    forms = [normalize_role(role) for role in (*EXCLUDED_ROLES, *LEARNER_ROLES)]
    assert sorted(forms) == sorted(set(forms))
