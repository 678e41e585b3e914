"""Truto's published Python SDK against the sandbox, unchanged.

The SDK needs Python 3.12, so a Python that has it runs it: `TRUTO_SDK_PYTHON`, the one that `make sdk` makes, this one,
or one on the PATH.
"""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import httpx
import pytest

from lms_pipeline.sandbox.clock import Clock
from lms_pipeline.sandbox.server import running
from lms_pipeline.sandbox.synthetic.world import ACADEMY_ID, generated_world
from lms_pipeline_tests.sandbox.worlds import client_of, sweep

SESSION = Path(__file__).with_name("sdk_session.py")
MADE = Path(__file__).parents[2] / ".venv-sdk" / "bin" / "python"
ON_THE_PATH = ("python3.12", "python3.13", "python3.14")


@cache
def python_with_the_sdk() -> str | None:
    named = [os.environ.get("TRUTO_SDK_PYTHON"), MADE, sys.executable, *map(shutil.which, ON_THE_PATH)]
    return next((str(python) for python in named if python and _has_the_sdk(str(python))), None)


def _has_the_sdk(python: str) -> bool:
    try:
        found = subprocess.run([python, "-c", "import truto_python_sdk"], capture_output=True, check=False)
    except OSError:
        return False
    return found.returncode == 0


pytestmark = pytest.mark.skipif(
    python_with_the_sdk() is None,
    reason="no Python 3.12 or later with truto-python-sdk: `make sdk` makes one",
)


@pytest.fixture(scope="module")
def sandbox():
    with running(generated_world(), clock=Clock(datetime(2026, 3, 1, tzinfo=UTC))) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def told(sandbox):
    """What the SDK brought."""
    python = python_with_the_sdk()
    assert python is not None
    done = subprocess.run(
        [python, str(SESSION), sandbox.url, sandbox.token, ACADEMY_ID],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def http(sandbox):
    with client_of(sandbox) as client:
        yield client


def swept(http: httpx.Client, resource: str, **more):
    return sweep(http, f"/unified/lms/{resource}", integrated_account_id=ACADEMY_ID, limit=500, **more)


def test_lists_the_integrated_accounts(told, http):
    assert told["accounts"] == sweep(http, "/integrated-account")
    assert len(told["accounts"]) == 6
    assert told["account"]["id"] == ACADEMY_ID


def test_lists_the_users_over_several_pages_and_gets_one(told, http):
    assert told["users"] == swept(http, "users", truto_ignore_remote_data="true")
    assert len(told["users"]) > 60
    assert told["user"] == swept(http, "users")[0]


def test_lists_the_courses_without_excluded_fields(told, http):
    assert told["courses"] == swept(http, "courses", truto_exclude_fields="status,remote_data")
    assert set(told["courses"][0]) == {"id", "title", "created_at", "updated_at"}


def test_lists_the_enrollments_by_either_spelling(told, http):
    assert told["enrollments"] == told["as_in_the_snippet"] == swept(http, "course-enrollments")
    assert len(told["enrollments"]) > 500


def test_filters_by_a_nested_parameter(told):
    first = told["users"][0]["id"]
    expected = [one for one in told["enrollments"] if one["user"]["id"] == first]
    assert expected
    assert told["of_one_user"] == expected
