"""A day flattened again from its kept answers, without a call."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.extract.budget import Limits
from lms_pipeline.extract.checkpoint import Attempt
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import Partition
from lms_pipeline.sandbox import RunningSandbox, running
from lms_pipeline.snapshot.job import TABLES, SnapshotJob
from lms_pipeline.snapshot.run import replay_snapshot
from lms_pipeline.truto.store import NotKeptError
from lms_pipeline_tests.support.portal import FIRST, PORTAL, Portal
from lms_pipeline_tests.support.snapshot_runs import Taker

OPTIONS = AccountOptions(strategy="roster", page_size=5)
LIMITED = Limits(per_snapshot=40)


@pytest.fixture(scope="module")
def portal():
    with running(Portal(learners=20, courses=4, each=2, every=10)) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def three_days(tmp_path_factory, portal) -> Path:
    """One within its budget and one not, and one after them."""
    taker = Taker(tmp_path_factory.mktemp("three"), portal.url, portal.token)
    for number, limits in enumerate([LIMITED, LIMITED, None]):
        take(taker, portal, number, limits=limits)
    return taker.root


@pytest.fixture
def taker(tmp_path, three_days, portal) -> Taker:
    shutil.copytree(three_days, tmp_path, dirs_exist_ok=True)
    portal.clear_counts()
    return Taker(tmp_path, portal.url, portal.token)


def take(taker: Taker, portal: RunningSandbox, number: int, **more) -> None:
    day = FIRST + timedelta(days=number)
    portal.set_clock(datetime.combine(day, time.max, UTC))
    now = datetime.combine(day + timedelta(days=1), time(1), UTC)
    taker.take(account_id=PORTAL, day=day, now=now, identity="pair", **({"options": OPTIONS} | more))


def order(number: int, **more) -> SnapshotJob:
    day = FIRST + timedelta(days=number)
    return SnapshotJob(PORTAL, day, "again", "pair", more.pop("options", OPTIONS), **more)


def told(taker, number: int) -> dict[str, dict[str, str]]:
    day = FIRST + timedelta(days=number)
    return {name: read_metadata(taker.file(name, day, PORTAL)) for name in TABLES}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_gives_the_same_snapshot_without_a_call(taker, portal, number):
    before = told(taker, number)
    report = replay_snapshot(order(number), data=taker.data)
    after = told(taker, number)
    assert portal.stats()["total"] == 0
    assert len(report.published) == 5
    for name in TABLES:
        assert after[name]["digest"] == before[name]["digest"]
        assert after[name]["run_id"] == "again"
        assert after[name]["requests"] == before["unified_enrollments"]["requests"]
    assert after["unified_enrollments"]["pulled_at"] == before["unified_enrollments"]["pulled_at"]


def test_can_be_gone_through_day_by_day(taker):
    days = (0, 1, 2)
    before = [told(taker, number)["unified_enrollments"]["digest"] for number in days]
    for number in days:
        replay_snapshot(order(number), data=taker.data)
    assert [told(taker, number)["unified_enrollments"]["digest"] for number in days] == before


def test_of_a_day_whose_answers_are_gone_is_refused_and_the_snapshot_stays(taker):
    before = told(taker, 1)
    taker.data.answers(Partition(PORTAL, FIRST + timedelta(days=1))).unlink()
    with pytest.raises(NotKeptError, match=r"^No responses of portal on 2026-03-02 are kept"):
        replay_snapshot(order(1), data=taker.data)
    assert told(taker, 1) == before


def test_whose_predecessor_is_gone_is_refused_since_what_was_carried_came_from_it(taker):
    before = told(taker, 2)
    taker.data.details(Partition(PORTAL, FIRST + timedelta(days=1))).unlink()
    with pytest.raises(
        NotKeptError, match=r"^The snapshot of portal on 2026-03-03 carried rows over from the previous one"
    ):
        replay_snapshot(order(2), data=taker.data)
    assert told(taker, 2) == before


@pytest.mark.parametrize("rotation_days", [0, 1, 2])
def test_goes_by_what_was_so_then_whatever_is_set_now(taker, rotation_days):
    before = told(taker, 2)
    options = AccountOptions(strategy="roster", page_size=5, rotation_days=rotation_days)
    report = replay_snapshot(order(2, options=options, may_carry=False), data=taker.data)
    assert report.rows.carried > 0
    assert told(taker, 2)["unified_enrollments"]["digest"] == before["unified_enrollments"]["digest"]


def test_is_possible_where_the_process_died_right_after_the_publishing(taker, portal, monkeypatch):
    monkeypatch.setattr(Attempt, "finish", dies)
    with pytest.raises(KeyboardInterrupt):
        take(taker, portal, 3)
    monkeypatch.undo()
    before = told(taker, 3)
    replay_snapshot(order(3), data=taker.data)
    assert told(taker, 3)["unified_enrollments"]["digest"] == before["unified_enrollments"]["digest"]


def dies(_attempt: Attempt) -> None:
    raise KeyboardInterrupt


def test_is_not_lost_where_a_list_is_pulled_alone(taker, portal):
    take(taker, portal, 2, tables=["learners"])
    assert len(replay_snapshot(order(2), data=taker.data).published) == 5


def test_under_other_options_is_refused(taker):
    with pytest.raises(NotKeptError, match="restore them"):
        replay_snapshot(order(1, options=AccountOptions(strategy="roster", page_size=6)), data=taker.data)
