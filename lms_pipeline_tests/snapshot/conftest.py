"""A portal of the usual size, and its days."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lms_pipeline.sandbox import RunningSandbox, running
from lms_pipeline_tests.support.pair_account import COURSES, EACH, LEARNERS, Days
from lms_pipeline_tests.support.portal import Portal


@pytest.fixture(scope="module")
def portal() -> Portal:
    return Portal(LEARNERS, COURSES, EACH, every=20)


@pytest.fixture(scope="module")
def serving(portal) -> Iterator[RunningSandbox]:
    with running(portal) as sandbox:
        yield sandbox


@pytest.fixture
def days(tmp_path, portal, serving) -> Iterator[Days]:
    yield Days(tmp_path, portal, serving)
    serving.clear_faults()
    portal.hidden = False
    portal.strays = []
    portal.with_rosters = portal.with_courses = True
