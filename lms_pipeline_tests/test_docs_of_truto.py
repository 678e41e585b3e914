"""`docs/truto.md` names everything on the vendor's page, and only code and tests that exist."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from lms_pipeline.transform.shapes import ENROLLMENT, Array, Field, Object

ROOT = Path(__file__).parent.parent
PAGE = ROOT.parent / "shared" / "reference" / "course-enrollments-page.txt"
QUERY_NAMES = [
    "user",
    "id",
    "emails",
    "email",
    "is_primary",
    "type",
    "name",
    "course",
    "id",
    "title",
    "integrated_account_id",
    "truto_response_format",
    "truto_key_by",
    "truto_ignore_limit",
    "truto_ignore_remote_data",
    "truto_exclude_fields",
    "remote_query",
]
RESPONSE_NAMES = [
    "next_cursor",
    "result",
    "id",
    "assigned_at",
    "assigned_by",
    "id",
    "name",
    "attempt_number",
    "attempts_count",
    "completed_at",
    "course",
    "id",
    "title",
    "created_at",
    "custom_fields",
    "due_at",
    "enrolled_at",
    "is_mandatory",
    "last_activity_at",
    "progress_percent",
    "remote_data",
    "score",
    "started_at",
    "status",
    "time_spent_seconds",
    "updated_at",
    "urls",
    "type",
    "url",
    "user",
    "emails",
    "email",
    "is_primary",
    "type",
    "id",
    "name",
]
"""In the order of the page, fields by the last part of their names."""
NOT_ON_THE_PAGE = ["limit", "next_cursor"]

_NAMED = re.compile(r"([a-z_]+?)(string|object|boolean|integer|number|Record<string, any>)(\[\])?( · [a-z-]+)?")
"""A line of the page that names a parameter or field: its type follows without a space."""


def rows(section: str) -> list[list[str]]:
    """Return the cells of the tables below a heading."""
    text = (ROOT / "docs" / "truto.md").read_text(encoding="utf-8").split(f"## {section}\n")[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line] for line in lines]


def names(section: str) -> list[str]:
    return [row[0].strip("`") for row in rows(section)]


PARAMETERS, FIELDS = rows("Query parameters"), rows("Response")


def test_every_parameter_and_field_of_the_page_has_a_row_in_the_order_of_the_page():
    named = names("Query parameters")[: -len(NOT_ON_THE_PAGE)], names("Response")
    assert tuple([name.rpartition(".")[2] for name in one] for one in named) == (QUERY_NAMES, RESPONSE_NAMES)


@pytest.mark.skipif(not PAGE.exists(), reason="the vendor's page is not here: ../shared/reference")
def test_the_names_are_those_of_the_page():
    query, _, response = PAGE.read_text(encoding="utf-8").partition("Response Body")
    on_the_page = (
        [named[1] for line in part.splitlines() if (named := _NAMED.fullmatch(line))]
        for part in (query, response.partition("curl -X")[0])
    )
    assert tuple(on_the_page) == (QUERY_NAMES, RESPONSE_NAMES)


def test_every_field_that_is_read_has_a_row():
    assert set(_paths(ENROLLMENT.record)) == set(names("Response")) - {"next_cursor", "result"}


def _paths(of: Field, name: str = "") -> list[str]:
    match of:
        case Array(items):
            return _paths(items, name)
        case Object(fields):
            inner = [path for key, field in fields.items() for path in _paths(field, f"{name}.{key}" if name else key)]
            return [name, *inner] if name else inner
        case _:
            return [name]


@pytest.mark.parametrize("row", [*PARAMETERS, *FIELDS], ids=lambda row: row[0])
def test_a_row_names_code_and_a_test_that_exist(row):
    _, handler, _, tested = row
    module, _, member = handler.strip("`").partition("::")
    code = import_module(f"lms_pipeline.{module.removesuffix('.py').replace('/', '.')}")
    assert not member or hasattr(code, member)
    path, _, test = tested.strip("`").partition("::")
    text = (ROOT / "lms_pipeline_tests" / path).read_text(encoding="utf-8")
    assert re.search(rf"^ *(def|class) {test}\b", text, re.MULTILINE)


def test_every_test_and_bound_on_the_page_exists():
    text = (ROOT / "docs" / "truto.md").read_text(encoding="utf-8")
    mentioned = re.findall(r"`((?:\w+/)+\w+\.py)::(\w+)`", text)
    assert len(mentioned) > 60
    for path, name in mentioned:
        folder = "lms_pipeline_tests" if path.rpartition("/")[2].startswith("test_") else "lms_pipeline"
        assert re.search(rf"\b{name}\b", (ROOT / folder / path).read_text(encoding="utf-8")), (path, name)
