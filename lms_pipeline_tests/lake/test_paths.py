"""What becomes a path, and which paths are partitions."""

from datetime import date

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lms_pipeline.lake.paths import BadIdError, DataDir, Partition
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS


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
def test_a_folder_that_is_not_named_like_a_partition_is_none(tmp_path, day):
    file = (
        tmp_path
        / "lake"
        / UNIFIED_ENROLLMENTS.name
        / "account_id=a"
        / f"snapshot_date={day}"
        / "data.parquet"
    )
    file.parent.mkdir(parents=True)
    file.touch()
    assert list(DataDir(tmp_path).partitions(UNIFIED_ENROLLMENTS)) == []
