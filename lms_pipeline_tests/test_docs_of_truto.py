"""`docs/truto.md` names all that the vendor's page names, and nothing that isn't there."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from lms_pipeline.enrollments.shapes import ENROLLMENT, Array, Field, Object

ROOT = Path(__file__).parent.parent
PAGE = ROOT.parent / "shared" / "reference" / "course-enrollments-page.txt"
NOT_ON_THE_PAGE = ["limit", "next_cursor"]

_NAMED = re.compile(
    r"([a-z_]+?)(string|object|boolean|integer|number|Record<string, any>)(\[\])?( · [a-z-]+)?"
)
"""A line of the page that names a parameter or field: its type follows without a space."""


def rows(section: str) -> list[list[str]]:
    """The cells of the tables below a heading."""
    text = (
        (ROOT / "docs" / "truto.md").read_text(encoding="utf-8").split(f"## {section}\n")[1].split("\n## ")[0]
    )
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line] for line in lines]


def names(section: str) -> list[str]:
    return [row[0].strip("`") for row in rows(section)]


PARAMETERS, FIELDS = rows("Query parameters"), rows("Response")


@pytest.mark.skipif(not PAGE.exists(), reason="the vendor's page is not here: ../shared/reference")
def test_every_parameter_and_field_of_the_page_has_a_row_in_the_order_of_the_page():
    text = PAGE.read_text(encoding="utf-8")
    query, _, response = text.partition("Response Body")
    for part, told in [
        (query, names("Query parameters")[: -len(NOT_ON_THE_PAGE)]),
        (response.partition("curl -X")[0], names("Response")),
    ]:
        on_the_page = [named[1] for line in part.splitlines() if (named := _NAMED.fullmatch(line))]
        assert [name.rpartition(".")[2] for name in told] == on_the_page


def test_every_field_that_is_read_has_a_row():
    assert set(_paths(ENROLLMENT.record)) == set(names("Response")) - {"next_cursor", "result"}


def _paths(of: Field, name: str = "") -> list[str]:
    match of:
        case Array(items):
            return _paths(items, name)
        case Object(fields):
            inner = [
                path
                for key, field in fields.items()
                for path in _paths(field, f"{name}.{key}" if name else key)
            ]
            return [name, *inner] if name else inner
        case _:
            return [name]


@pytest.mark.parametrize("row", [*PARAMETERS, *FIELDS], ids=lambda row: row[0])
def test_a_row_names_code_and_a_test_that_are_there(row):
    _, handled, _, tested = row
    module, _, member = handled.strip("`").partition("::")
    code = import_module(f"lms_pipeline.{module.removesuffix('.py').replace('/', '.')}")
    assert not member or hasattr(code, member)
    path, _, test = tested.strip("`").partition("::")
    text = (ROOT / "lms_pipeline_tests" / path).read_text(encoding="utf-8")
    assert re.search(rf"^ *(def|class) {test}\b", text, re.MULTILINE)


def test_every_test_and_bound_that_the_page_mentions_is_there():
    text = (ROOT / "docs" / "truto.md").read_text(encoding="utf-8")
    mentioned = re.findall(r"`((?:\w+/)+\w+\.py)::(\w+)`", text)
    assert len(mentioned) > 60
    for path, name in mentioned:
        folder = "lms_pipeline_tests" if path.rpartition("/")[2].startswith("test_") else "lms_pipeline"
        assert re.search(rf"\b{name}\b", (ROOT / folder / path).read_text(encoding="utf-8")), (path, name)
