"""Which calls a snapshot of pairs makes, and how many."""

from __future__ import annotations

import inspect

import pytest

from lms_pipeline.extract import plan
from lms_pipeline.extract.strategies import RosterStrategy
from lms_pipeline.lake.files import RowGroupWriter
from lms_pipeline.sandbox import Listing, Record
from lms_pipeline_tests.support.pair_account import (
    COURSES,
    LEARNERS,
    LIST_PAGES,
    PAIRS,
    build_expected_rows,
    read_stored_rows,
)
from lms_pipeline_tests.support.portal import PortalView


@pytest.mark.parametrize(("strategy", "roster_calls"), [("roster", COURSES), ("learner", LEARNERS)])
def test_calls_fetch_pairs_that_are_new_or_changed_or_next_in_the_rotation(account, portal, strategy, roster_calls):
    assert account.run_day(0, options={"strategy": strategy}).requests == LIST_PAGES + roster_calls + PAIRS
    changed = portal.changed(1)
    assert changed == 3
    account.run_day(1, options={"strategy": strategy})
    rotation = -(-(PAIRS - changed) // 7)
    assert account.count_calls().total() == LIST_PAGES + roster_calls + changed + rotation
    for day in (0, 1):
        assert read_stored_rows(account, day) == build_expected_rows(portal, day)
    assert account.count_sources(1) == {"unified": changed + rotation, "carried": PAIRS - changed - rotation}


def test_calls_on_their_way_are_waited_for_if_an_interrupt_comes_while_pairs_are_found(account, monkeypatch):
    """Otherwise their responses are stored after the last copy of the checkpoint was sent, and another machine repeats them."""
    find_pairs, found = RosterStrategy.find_pairs, []

    def find(self, learners, courses):
        found.append(find_pairs(self, learners, courses))
        return found[-1]

    class Interrupted(RowGroupWriter):
        def write(self, _batch):
            raise KeyboardInterrupt

    monkeypatch.setattr(RosterStrategy, "find_pairs", find)
    monkeypatch.setattr(plan, "RowGroupWriter", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        account.run_day(0)
    assert [inspect.getgeneratorstate(one) for one in found] == [inspect.GEN_CLOSED]


def test_calls_fetch_only_changes_without_a_rotation(pulled, portal):
    for day in (1, 2):
        pulled.run_day(day, options={"rotation_days": 0})
    assert pulled.count_calls().total() == LIST_PAGES + COURSES + portal.changed(2)
    assert read_stored_rows(pulled, 2) == build_expected_rows(portal, 2)


def test_calls_refresh_every_pair_within_the_days_of_the_rotation(pulled):
    for day in (1, 2, 3):
        pulled.run_day(day, options={"rotation_days": 3})
    oldest = min(row["fetched_at"] for row in pulled.read_rows(3))
    assert oldest.date() >= pulled.date(1)


def test_calls_do_not_repeat_every_day_for_roster_entries_without_an_enrollment(account, portal):
    portal.strays = [{"id": "trainer", "role": "instructor"}]
    rotation = {"rotation_days": 3}
    assert account.run_day(0, options=rotation).pairs.not_enrolled == COURSES
    not_enrolled = [account.run_day(day, options=rotation).pairs.not_enrolled for day in range(1, 5)]
    assert max(not_enrolled) < COURSES <= sum(not_enrolled)  # they rotate like unchanged pairs
    assert read_stored_rows(account, 4) == build_expected_rows(portal, 4)


def test_calls_skip_roster_entries_without_an_id_and_the_result_counts_them(account, portal):
    portal.strays = [{"role": "learner"}, {"id": None}]
    result = account.run_day(0)
    assert (result.pairs.unusable, result.complete, result.requests) == (
        2 * COURSES,
        False,
        LIST_PAGES + COURSES + PAIRS,
    )
    assert read_stored_rows(account, 0) == build_expected_rows(portal, 0)


@pytest.mark.parametrize(("strategy", "route"), [("roster", "courses"), ("learner", "users"), ("pairs", "users")])
def test_a_record_without_an_id_in_a_list_makes_the_snapshot_incomplete(account, monkeypatch, strategy, route):
    listed = getattr(PortalView, route)
    without_id = Record(b'{"id":null,"name":"Forklift"}', None)
    monkeypatch.setattr(PortalView, route, lambda view: Listing.of([*listed(view).read(0, 500).records, without_id]))
    result = account.run_day(0, options={"strategy": strategy})
    assert (result.pairs.unusable, result.complete) == (1, False)


def test_calls_of_the_pairs_strategy_cover_all_learners_in_all_courses(account, portal):
    result = account.run_day(0, options={"strategy": "pairs"})
    assert account.count_calls()["course-enrollments"] == LEARNERS * COURSES
    assert result.pairs.not_enrolled == LEARNERS * COURSES - PAIRS
    assert read_stored_rows(account, 0) == build_expected_rows(portal, 0)


def test_calls_of_the_pairs_strategy_cover_only_the_pairs_of_its_file(account, tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text("course_id,user_id,more\n 101,1 ,x\n999,1,x\n", encoding="utf-8")
    result = account.run_day(0, options={"strategy": "pairs", "pairs_file": str(file)})
    assert [(row["user_id"], row["course_id"]) for row in account.read_rows(0)] == [("1", "101")]
    assert (account.count_calls()["course-enrollments"], result.pairs.not_enrolled) == (2, 1)
