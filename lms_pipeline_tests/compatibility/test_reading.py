"""Rows of a data directory that commit a4277a4 wrote."""

from __future__ import annotations

import pytest

from lms_pipeline import lake
from lms_pipeline_tests.support.older_data import EXPECTED, PUBLISHED, TABLES, hash_rows


@pytest.mark.parametrize("table", TABLES)
def test_every_row_is_read_as_it_was_written(written, table):
    expected = EXPECTED["read"][table]
    rows = lake.read(table, data_dir=written.root)
    assert written.count_rows(table) == expected["rows"]
    assert hash_rows(rows.select(expected["columns"])) == expected["hash"]


@pytest.mark.parametrize(("account_id", "day"), PUBLISHED)
def test_every_file_has_the_digest_that_was_written(written, account_id, day):
    assert written.read_digests(account_id, day) == EXPECTED["published"][f"{account_id} {day}"]
