"""The docs name every setting, option, command, check and error sentence of the code."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import click
import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.checks.fleet import FLEET_CHECKS
from lms_pipeline.checks.metrics import METRIC_CHECKS
from lms_pipeline.checks.snapshot import PULL_CHECKS
from lms_pipeline.cli import COMMANDS, lms_pipeline
from lms_pipeline.lake.warehouse_sql import OLDEST_READER
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import render_tables_page

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def test_the_page_of_the_tables_matches_the_schema():
    assert read("docs/tables.md") == render_tables_page(), "run `make docs`"


@pytest.mark.parametrize("name", [field.alias for field in Settings.model_fields.values()])
def test_every_setting_is_explained(name):
    assert f"`{name}`" in read("docs/settings.md")


FILES = [path for path in sorted((ROOT / "docs").rglob("*")) if path.is_file() and path.suffix not in {".png", ".html"}]


@pytest.mark.parametrize("page", ["README.md", *(str(path.relative_to(ROOT)) for path in FILES)])
def test_every_setting_that_a_page_names_exists(page):
    named = set(re.findall(r"\bLMS_[A-Z0-9_]+\b", read(page)))
    assert named <= {field.alias for field in Settings.model_fields.values()}


@pytest.mark.parametrize("name", AccountOptions.__struct_fields__)
def test_every_option_of_an_account_is_explained(name):
    assert re.search(rf"^(\| `)?{name}\b", read("docs/settings.md"), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_named_in_the_readme(command):
    assert f"lms-pipeline {command}" in read("README.md")


def list_options(command, name=""):
    if isinstance(command, click.Group):
        context = click.Context(command)
        for member in command.list_commands(context):
            yield from list_options(command.get_command(context, member), f"{name} {member}")
    yield from (f"{name} {option.opts[-1]}" for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("option", list(list_options(lms_pipeline)))
def test_every_option_is_named_in_the_docs(option):
    name = option.rpartition(" ")[2]
    assert any(
        re.search(rf"{name}\b", read(path.relative_to(ROOT))) for path in [README, *(ROOT / "docs").glob("*.md")]
    )


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_every_page_is_linked_from_the_readme(page):
    assert f"(docs/{page}" in read("README.md")


def test_every_link_between_pages_leads_to_a_page_and_a_heading():
    broken = []
    for page in ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]:
        for link, anchor in re.findall(r"\]\(([\w./-]*\.md)?(#[\w-]+)?\)", read(page)):
            target = (ROOT / page).parent / link if link else ROOT / page
            if not target.exists():
                broken.append(f"{page}: {link}")
            elif anchor and anchor[1:] not in find_anchors(target):
                broken.append(f"{page}: {link}{anchor}")
    assert broken == []


def find_anchors(page):
    """Return the anchors of the headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_names_the_oldest_duckdb_that_is_tested():
    assert f"DuckDB {OLDEST_READER}" in read("README.md")
    assert f"duckdb=={OLDEST_READER}" in read("Makefile")


def test_both_workspaces_name_the_same_code_location():
    assert read("workspace.yaml") == read("lms_pipeline/defs/workspace.yaml")


def test_every_check_is_explained():
    explained = set(re.findall(r"^\| `(\w+)` \|", read("docs/checks.md"), re.MULTILINE))
    snapshot_checks = {check.name for check in (*PULL_CHECKS, *METRIC_CHECKS)}
    assert explained == snapshot_checks | {check.name for check in FLEET_CHECKS}


@cache
def read_code_texts() -> str:
    """Return every string constant of the code, one on each line."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "lms_pipeline").rglob("*.py")]
    constants = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return "\n".join(node.value for node in constants if isinstance(node.value, str))


def read_documented_errors():
    """Return the error sentences on the page of operations; X stands for the variable parts."""
    table = read("docs/operations.md").partition("| it says | may pass | what to do |\n|---|---|---|\n")[2]
    rows = table.partition("\n\n")[0].splitlines()
    return [sentence.strip() for row in rows for sentence in row.split("|")[1].split(";")]


@pytest.mark.parametrize("sentence", read_documented_errors())
def test_every_documented_error_is_in_the_code(sentence):
    assert [part for part in re.split(r"\bX\b", sentence) if part.strip() not in read_code_texts()] == []


def read_rows(page, header):
    """Return the cells of every table with this header, row by row."""
    tables = read(page).split(f"{header}\n")[1:]
    rows = [row for table in tables for row in table.partition("\n\n")[0].splitlines()[1:]]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def find_functions(path):
    """Return the functions of a module, those of a class as `Class.function`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    scopes = [("", tree), *((f"{node.name}.", node) for node in tree.body if isinstance(node, ast.ClassDef))]
    return {
        f"{prefix}{node.name}" for prefix, scope in scopes for node in scope.body if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize(
    "file", sorted(set(re.findall(r"`((?:\w+/)*\w+\.(?:py|sql|md|toml))`", read("docs/architecture.md"))))
)
def test_every_file_of_the_architecture_exists(file):
    in_package = ROOT / "lms_pipeline" / file
    assert in_package.exists() or (ROOT / file).exists()


@pytest.mark.parametrize(
    ("file", "function"),
    [(file, function) for file, function, _ in read_rows("docs/architecture.md", "| file | function | what |")],
)
def test_every_function_on_the_path_of_a_page_is_defined_in_its_file(file, function):
    path = ROOT / "lms_pipeline" / file.strip("`")
    assert function.strip("`") in find_functions(path)


@pytest.mark.parametrize("method", [row[0] for row in read_rows("docs/truto.md", "| method | what it returns |")])
def test_every_method_of_the_client_on_the_page_exists(method):
    name = method.strip("`").partition("(")[0]
    assert f"TrutoClient.{name}" in find_functions(ROOT / "lms_pipeline" / "truto" / "client.py")


def test_the_picture_of_the_packages_is_the_enforced_one():
    picture = read("docs/architecture.md").split("```")[1]
    lines = [re.split(r"  +", line.strip())[0] for line in picture.splitlines() if re.match(r" +\w", line)]
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    assert lines == next(contract["layers"] for contract in contracts if contract["type"] == "layers")
