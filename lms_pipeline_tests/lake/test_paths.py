"""Which ids become paths, which folders are partitions, and which snapshot is the latest."""

from datetime import date

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lms_pipeline.lake.paths import BadIdError, DataDir, Partition
from lms_pipeline.tables.pulled import COURSES, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.lake_files import FIRST, SECOND, THIRD, publish


@settings(max_examples=300, deadline=None)
@example("a\n")
@example("..")
@given(st.text() | st.from_regex(r"\A[A-Za-z0-9_./=%-]{1,70}\Z"))
def test_no_text_that_is_not_an_id_becomes_a_partition(text):
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    is_id = 0 < len(text) <= 64 and text[0] in letters and set(text) <= {*letters, "-", "_"}
    try:
        folder = Partition(text, date(2026, 3, 2)).folder
    except BadIdError:
        assert not is_id
    else:
        assert is_id
        assert folder.parts == (f"account_id={text}", "snapshot_date=2026-03-02")


@pytest.mark.parametrize("day", ["20260302", "2026-W10-1", "2026-3-2", "2026-02-30", "today", ""])
def test_a_folder_with_another_name_is_no_partition(tmp_path, day):
    file = tmp_path / "lake" / UNIFIED_ENROLLMENTS.name / "account_id=a" / f"snapshot_date={day}" / "data.parquet"
    file.parent.mkdir(parents=True)
    file.touch()
    assert list(DataDir(tmp_path).find_partitions(UNIFIED_ENROLLMENTS)) == []


@pytest.mark.parametrize(
    ("before", "latest"), [(FIRST, None), (SECOND, FIRST), (THIRD, FIRST), (date(2027, 1, 1), THIRD)]
)
def test_the_latest_snapshot_is_that_of_the_last_published_day_before(tmp_path, before, latest):
    data = DataDir(tmp_path)
    for account_id, day in (("acme", FIRST), ("acme", THIRD), ("other", SECOND)):
        publish(data, account_id, day)
    publish(data, "acme", SECOND, table=COURSES)
    found = data.find_latest_snapshot("acme", before=before)
    assert found == (latest and Partition("acme", latest))
