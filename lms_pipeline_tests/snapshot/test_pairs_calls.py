"""Which calls a snapshot of pairs costs."""

from __future__ import annotations

import pytest

from lms_pipeline_tests.support.pair_account import COURSES, LEARNERS, LISTS, PAIRS, expected, stored


@pytest.mark.parametrize(("strategy", "details"), [("roster", COURSES), ("learner", LEARNERS)])
def test_calls_are_spent_on_what_is_new_or_changed_or_in_turn(days, portal, strategy, details):
    assert days.take(0, options={"strategy": strategy}).requests == LISTS + details + PAIRS
    changed = portal.changed(1)
    assert changed == 6
    days.take(1, options={"strategy": strategy})
    in_turn = -(-(PAIRS - changed) // 7)
    assert days.asked().total() == LISTS + details + changed + in_turn
    for day in (0, 1):
        assert stored(days, day) == expected(portal, day)
    assert days.sources(1) == {"unified": changed + in_turn, "carried": PAIRS - changed - in_turn}


def test_calls_are_spent_on_changes_alone_where_nothing_is_asked_in_turn(days, portal):
    for day in (0, 1, 2):
        days.take(day, options={"rotation_days": 0})
    assert days.asked().total() == LISTS + COURSES + portal.changed(2)
    assert stored(days, 2) == expected(portal, 2)


def test_calls_come_round_within_the_rotation(days):
    for day in range(4):
        days.take(day, options={"rotation_days": 3})
    oldest = min(row["fetched_at"] for row in days.rows(3))
    assert oldest.date() >= days.date(1)


def test_calls_are_not_spent_every_day_on_what_a_detail_lists_and_is_no_enrollment(days, portal):
    portal.strays = [{"id": "trainer", "role": "instructor"}]
    assert days.take(0).pairs.not_enrolled == COURSES
    again = [days.take(day).pairs.not_enrolled for day in range(1, 9)]
    assert max(again) < COURSES <= sum(again)  # they come round like all that seems unchanged
    assert stored(days, 8) == expected(portal, 8)


def test_calls_are_not_spent_on_entries_without_an_id_which_are_told(days, portal):
    portal.strays = [{"role": "learner"}, {"id": None}]
    report = days.take(0)
    assert (report.pairs.unusable, report.complete, report.requests) == (
        2 * COURSES,
        False,
        LISTS + COURSES + PAIRS,
    )
    assert stored(days, 0) == expected(portal, 0)


def test_calls_of_pairs_are_all_learners_in_all_courses(days, portal):
    report = days.take(0, options={"strategy": "pairs"})
    assert days.asked()["course-enrollments"] == LEARNERS * COURSES
    assert report.pairs.not_enrolled == LEARNERS * COURSES - PAIRS
    assert stored(days, 0) == expected(portal, 0)


def test_calls_of_pairs_are_those_of_a_file(days, tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text("course_id,user_id,more\n101,1,x\n999,1,x\n", encoding="utf-8")
    report = days.take(0, options={"strategy": "pairs", "pairs_file": str(file)})
    assert [(row["user_id"], row["course_id"]) for row in days.rows(0)] == [("1", "101")]
    assert (days.asked()["course-enrollments"], report.pairs.not_enrolled) == (2, 1)
