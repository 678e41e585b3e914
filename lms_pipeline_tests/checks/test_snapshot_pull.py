"""Checks of how a snapshot was pulled."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from lms_pipeline.checks.snapshot import (
    few_are_told_by_others,
    has_rows_of_others,
    pulled_in_time,
    row_drop,
    there_is_room,
)
from lms_pipeline.lake.space import MIN_FREE_BYTES
from lms_pipeline_tests.support.lake_files import NOON, enrollment


def many(count, **more):
    return [enrollment(f"u{number}", **more) for number in range(count)]


class TestRowDrop:
    def test_passes_if_a_tenth_is_gone(self, files):
        files.put(*many(100))
        files.put(*many(90), days=1)
        found = files.run(row_drop, days=1)
        assert found.passed
        assert found.figures == {"rows": 90, "rows_before": 100, "change": -10, "share_gone": 0.1}

    def test_fails_if_more_is_gone(self, files):
        files.put(*many(100))
        files.put(*many(89), days=3)
        found = files.run(row_drop, days=3)
        assert not found.passed
        assert found.message == (
            "89 enrollments, -11 since 2026-03-01: 11.0 % are gone; up to 10.0 % pass, and more than 50.0 % are refused, as "
            "is a drop to none."
        )

    def test_fails_at_the_accounts_max_drop_if_it_is_lower(self, files):
        files.put(*many(100))
        files.put(*many(94), days=1)
        assert files.run(row_drop, days=1).passed
        assert not files.run(row_drop, days=1, max_drop=0.05).passed

    def test_compares_neither_the_first_snapshot_nor_a_small_one(self, files):
        files.put(*many(4))
        assert files.run(row_drop).message == "4 enrollments; there is no previous snapshot."
        files.put(*many(1), days=1)
        found = files.run(row_drop, days=1)
        assert (found.passed, found.message) == (
            True,
            "1 enrollment, -3 since 2026-03-01; fewer than 5 are not compared.",
        )

    def test_fails_if_none_of_few_is_left(self, files):
        files.put(*many(4))
        files.put(days=1)
        found = files.run(row_drop, days=1)
        assert (found.passed, found.figures["share_gone"]) == (False, 1)


class TestPulledInTime:
    @pytest.mark.parametrize(("hours", "passed"), [(0.5, True), (6, True), (6.1, False), (23.5, False)])
    def test_is_within_six_hours_of_the_end_of_the_day(self, files, hours, passed):
        midnight = NOON.replace(hour=0)  # the end of the first day
        files.put(pulled_at=(midnight + timedelta(hours=hours)).isoformat())
        found = files.run(pulled_in_time)
        assert (found.passed, found.figures) == (passed, {"hours": hours})

    def test_explains_a_late_snapshot(self, files):
        files.put()
        assert files.run(pulled_in_time).message == (
            "It was pulled 12.0 hours after the end of 2026-03-01: what learners did since then is in it, and "
            "enrollments that were removed since then are not."
        )


class TestFromOtherSources:
    def test_passes_if_a_tenth_is_from_rosters(self, files):
        files.put_pulled(*many(9, source="unified"), enrollment("x", source="roster"))
        found = files.run(few_are_told_by_others)
        assert found.passed
        assert (found.figures["roster"], found.figures["share_roster"]) == (1, 0.1)

    def test_fails_if_more_is(self, files):
        files.put_pulled(*many(8, source="unified"), *many(1, course_id="c2", source="roster"))
        assert not files.run(few_are_told_by_others).passed

    @pytest.mark.parametrize(("days", "passed"), [(8, True), (8.5, False)])
    def test_fails_if_a_carried_enrollment_is_older_than_its_rotation(self, files, days, passed):
        old = enrollment("u1", source="carried", fetched_at=NOON - timedelta(days=days))
        files.put_pulled(old, enrollment("u2", source="unified"))
        found = files.run(few_are_told_by_others)
        assert (found.passed, found.figures["oldest_days"]) == (passed, days)
        assert files.run(few_are_told_by_others, rotation_days=0).passed

    def test_passes_without_enrollments(self, files):
        files.put_pulled()
        assert files.run(few_are_told_by_others).passed

    @pytest.mark.parametrize(
        ("counts", "applies"),
        [({}, False), ({"carried": 1}, True), ({"roster": 1}, True), ({"carried": 0, "roster": 2}, True)],
    )
    def test_applies_to_an_account_with_such_enrollments(self, files, counts, applies):
        files.put_pulled(enrollment("u1"), **counts)
        assert files.run(has_rows_of_others) is applies

    def test_applies_to_a_file_that_does_not_count_them(self, files):
        files.put(enrollment("u1"))
        assert files.run(has_rows_of_others)


class TestFreeSpace:
    """A small account needs no more than `MIN_FREE_BYTES`."""

    @pytest.mark.parametrize(("free", "passed"), [(7 * MIN_FREE_BYTES, True), (7 * MIN_FREE_BYTES - 1, False)])
    def test_is_enough_for_seven_pulls(self, files, monkeypatch, free, passed):
        files.put(enrollment("u1"))
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
        found = files.run(there_is_room)
        assert (found.passed, found.figures) == (passed, {"bytes_free": free, "bytes_needed": 200_000_000})
