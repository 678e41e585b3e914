"""Truto's published Python SDK against the sandbox, unchanged.

The SDK needs Python 3.12. These tests use the first Python that has it: `TRUTO_SDK_PYTHON`, the one of `make sdk`,
this one, or one on the PATH.
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

from lms_pipeline.sandbox import Clock, generated_world, running
from lms_pipeline.sandbox.synthetic.world import ACADEMY_ID
from lms_pipeline_tests.support import sdk_session
from lms_pipeline_tests.support.sandbox import fetch_all, open_client

SESSION = Path(sdk_session.__file__)
MADE = Path(__file__).parents[2] / ".venv-sdk" / "bin" / "python"
ON_THE_PATH = ("python3.12", "python3.13", "python3.14")


@cache
def find_python_with_sdk() -> str | None:
    named = [os.environ.get("TRUTO_SDK_PYTHON"), MADE, sys.executable, *map(shutil.which, ON_THE_PATH)]
    return next((str(python) for python in named if python and _has_sdk(str(python))), None)


def _has_sdk(python: str) -> bool:
    try:
        result = subprocess.run([python, "-c", "import truto_python_sdk"], capture_output=True, check=False)
    except OSError:
        return False
    return result.returncode == 0


pytestmark = pytest.mark.skipif(
    find_python_with_sdk() is None, reason="no Python 3.12 or later with truto-python-sdk: `make sdk` makes one"
)


@pytest.fixture(scope="module")
def sandbox():
    with running(generated_world(), clock=Clock(datetime(2026, 3, 1, tzinfo=UTC))) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def results(sandbox):
    """The results of the SDK."""
    python = find_python_with_sdk()
    assert python is not None
    process = subprocess.run(
        [python, str(SESSION), sandbox.url, sandbox.token, ACADEMY_ID],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def client(sandbox):
    with open_client(sandbox) as client:
        yield client


def fetch_resource(client: httpx.Client, resource: str, **parameters):
    path = f"/unified/lms/{resource}"
    return fetch_all(client, path, integrated_account_id=ACADEMY_ID, limit=500, **parameters)


def test_lists_the_integrated_accounts(results, client):
    assert results["accounts"] == fetch_all(client, "/integrated-account")
    assert len(results["accounts"]) == 6
    assert results["account"]["id"] == ACADEMY_ID


def test_lists_the_users_over_several_pages_and_gets_one(results, client):
    assert results["users"] == fetch_resource(client, "users", truto_ignore_remote_data="true")
    assert len(results["users"]) > 60
    assert results["user"] == fetch_resource(client, "users")[0]


def test_lists_the_courses_without_excluded_fields(results, client):
    assert results["courses"] == fetch_resource(client, "courses", truto_exclude_fields="status,remote_data")
    assert set(results["courses"][0]) == {"id", "title", "created_at", "updated_at"}


def test_lists_the_enrollments_by_either_spelling(results, client):
    enrollments = fetch_resource(client, "course-enrollments")
    assert results["enrollments"] == results["enrollments_by_other_spelling"] == enrollments
    assert len(enrollments) > 500


def test_filters_by_a_nested_parameter(results):
    first = results["users"][0]["id"]
    expected = [one for one in results["enrollments"] if one["user"]["id"] == first]
    assert expected
    assert results["enrollments_of_first_user"] == expected
