"""The locked dependencies: production has no development tools, and all locks agree."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCTION, DEVELOPMENT, DISTRIBUTED = "requirements.lock", "requirements-dev.lock", "requirements-distributed.lock"


def read_pins(lock):
    """Return the requirement lines of a lock by name: version, markers and hashes, without comments."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
    requirements = text.replace("\\\n", " ").splitlines()
    return {re.split(r"[\[=]", line)[0]: " ".join(line.split()) for line in requirements if line.strip()}


def read_names(*keys):
    """Return the names of a list of requirements in `pyproject.toml`."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for key in keys:
        found = found[key]
    return {re.split(r"[<>=\[ ]", requirement)[0] for requirement in found}


def find_version(pin):
    """Return the version of a requirement line, without markers and hashes, of which a lock has its own."""
    return pin.split(" ")[0].partition("==")[2]


def test_production_has_every_dependency_and_no_development_tool():
    pins = read_pins(PRODUCTION)
    assert read_names("project", "dependencies") <= pins.keys()
    assert read_names("dependency-groups", "dev") & pins.keys() == set()


def test_development_adds_the_tools_to_the_same_versions():
    production, development = read_pins(PRODUCTION), read_pins(DEVELOPMENT)
    assert read_names("dependency-groups", "dev") <= development.keys()
    assert {name: development.get(name) for name in production} == production


def test_the_extra_adds_to_the_same_versions():
    production, development, distributed = (read_pins(lock) for lock in (PRODUCTION, DEVELOPMENT, DISTRIBUTED))
    assert read_names("project", "optional-dependencies", "distributed") <= distributed.keys()
    assert production.keys() <= distributed.keys()
    shared = distributed.keys() & development.keys()
    assert {name: find_version(distributed[name]) for name in shared} == {
        name: find_version(development[name]) for name in shared
    }


@pytest.mark.parametrize("lock", [PRODUCTION, DEVELOPMENT, DISTRIBUTED])
def test_a_lock_has_a_hash_for_every_pin_and_no_address(lock):
    assert [line for line in read_pins(lock).values() if "==" not in line or "--hash=sha256:" not in line] == []
    assert (
        re.findall(r"https?:|file:|--(?:extra-)?index|--find-links|/", (ROOT / lock).read_text(encoding="utf-8")) == []
    )


@pytest.mark.parametrize("page", ["docs/operations.md", "docs/deploy/Containerfile"])
def test_production_is_installed_from_its_own_lock(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for default in re.findall(r"^ARG LOCK=(\S+)$", text, re.MULTILINE):
        text = text.replace("$LOCK", default)
    installs = re.findall(r"(/opt/\S+)/bin/pip install .*-r (\S+)", text)
    found = {lock for folder, lock in installs if folder == "/opt/lms-pipeline"}
    assert found - {DISTRIBUTED} == {PRODUCTION}


def test_make_setup_installs_the_lock_with_the_tools():
    assert "--require-hashes -r requirements-dev.lock" in (ROOT / "Makefile").read_text(encoding="utf-8")
