"""A portal of the usual size, and its account with an empty data directory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

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
    portal.with_attempts = False


@pytest.fixture(scope="module")
def data_of_day_0(tmp_path_factory: pytest.TempPathFactory, portal: Portal, serving: RunningSandbox) -> Path:
    """The data directory after a pull of day 0 by rosters: for copies, since a pull takes longer than most tests."""
    root = tmp_path_factory.mktemp("day-0")
    PairAccount(root, portal, serving).run_day(0)
    return root


@pytest.fixture
def pulled(account: PairAccount, data_of_day_0: Path) -> PairAccount:
    """The account after its pull of day 0."""
    shutil.copytree(data_of_day_0, account.runner.root, dirs_exist_ok=True)
    return account
