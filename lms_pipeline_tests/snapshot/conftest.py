"""A portal of the usual size, and its account with an empty data directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lms_pipeline.sandbox import RunningSandbox, running
from lms_pipeline_tests.support.pair_account import COURSES, COURSES_PER_LEARNER, LEARNERS, PairAccount
from lms_pipeline_tests.support.portal import Portal


@pytest.fixture(scope="module")
def portal() -> Portal:
    return Portal(LEARNERS, COURSES, COURSES_PER_LEARNER, every=20)


@pytest.fixture(scope="module")
def serving(portal) -> Iterator[RunningSandbox]:
    with running(portal) as sandbox:
        yield sandbox


@pytest.fixture
def account(tmp_path, portal, serving) -> Iterator[PairAccount]:
    yield PairAccount(tmp_path, portal, serving)
    serving.clear_faults()
    portal.hidden = False
    portal.strays = []
    portal.with_rosters = portal.with_courses = True
