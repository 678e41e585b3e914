"""What is carried over from the snapshot of the day before, and when nothing is."""

from __future__ import annotations

import pytest

from lms_pipeline_tests.support.pair_account import EACH, LEARNERS, PAIRS, expected, stored


def test_carrying_keeps_the_time_of_the_real_answer_and_the_payload(days):
    days.take(0)
    fetched = {(row["user_id"], row["course_id"]): row["fetched_at"] for row in days.rows(0)}
    days.take(1)
    carried = [row for row in days.rows(1) if row["source"] == "carried"]
    assert carried
    assert all(row["fetched_at"] == fetched[row["user_id"], row["course_id"]] for row in carried)
    assert len(days.raw(1)) == len(days.rows(1))
    assert {row["source"] for row in days.raw(1)} == {"remote_data"}


def test_carrying_is_told_with_its_staleness(days):
    days.take(0)
    report = days.take(1)
    assert report.rows.carried == days.sources(1)["carried"]
    assert report.rows.oldest_fetch == min(row["fetched_at"] for row in days.rows(1))


@pytest.mark.parametrize("strays", [[], [{"id": "trainer", "role": "instructor"}]])
def test_carrying_saves_the_calls_that_asking_for_everything_takes_more(days, portal, strays):
    portal.strays = strays  # which no call finds an enrollment for
    assert days.take(0).pairs.calls_saved == 0
    carrying = days.take(1)
    sent = days.asked().total()
    assert days.take(2, may_carry=False).pairs.calls_saved == 0
    assert carrying.pairs.calls_saved == days.asked().total() - sent > 0


def test_carrying_stops_where_too_much_had_changed_without_a_sign(days, portal):
    portal.hidden = True
    days.take(0)
    report = days.take(1)
    assert report.pairs.planned["changed"] == 0
    assert report.pairs.rotation_fetched == -(-PAIRS // 7)
    # the first of the rotation are the first of the plan; one in twenty of them moved on
    turned = [portal.one(learner, step, 1) for learner in range(LEARNERS) for step in range(EACH)]
    by_course = sorted(range(PAIRS), key=lambda n: (int(turned[n].course_id), n))
    assert report.pairs.rotation_changed == sum(
        turned[n].changed_on == 1 for n in by_course[: report.pairs.rotation_fetched]
    )
    assert report.pairs.stops_carrying is (
        report.pairs.rotation_changed > report.pairs.rotation_fetched * 0.01
    )
    days.take(2, may_carry=False)
    assert stored(days, 2) == expected(portal, 2)
    assert days.sources(2) == {"unified": PAIRS}


def test_carrying_goes_by_the_snapshot_that_was_there_at_the_beginning_whatever_becomes_of_it(days, portal):
    days.take(0)
    days.take(1, report_plan=lambda _told: days.lose(0))
    assert days.sources(1)["carried"] > 0
    assert stored(days, 1) == expected(portal, 1)


@pytest.mark.parametrize("file", ["details", "raw", "unified"])
def test_carrying_from_a_damaged_snapshot_is_none_and_told(days, caplog, file):
    days.take(0)
    days.path(file, 0).write_bytes(b"PAR1 and no more")
    days.take(1)
    assert days.sources(1) == {"unified": PAIRS}
    assert "is damaged: restore it" in caplog.text
    assert "Nothing is carried over from it today" in caplog.text


@pytest.mark.parametrize("trouble", ["details are lost", "another strategy", "another plan"])
def test_carrying_needs_a_snapshot_that_was_taken_the_same_way(days, trouble):
    days.take(0)
    if trouble == "details are lost":
        for path in (days.taker.root / "state" / "details").rglob("*.parquet"):
            path.unlink()
    given = {
        "details are lost": {},
        "another strategy": {"strategy": "learner"},
        "another plan": {"remote_data": "drop"},
    }
    days.take(1, options=given[trouble])
    assert days.sources(1) == {"unified": PAIRS}
