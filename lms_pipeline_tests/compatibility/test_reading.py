"""Rows of a data directory that commit a4277a4 wrote."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline import lake
from lms_pipeline_tests.support.older_data import EXPECTED, KNOWN_COLUMNS, PUBLISHED, TABLES, hash_rows, read_digest


@pytest.mark.parametrize("table", TABLES)
def test_every_row_is_read_as_it_was_written(written, table):
    expected = EXPECTED["read"][table]
    rows = lake.read(table, data_dir=written.root)
    assert written.count_rows(table) == expected["rows"]
    assert hash_rows(rows.select(expected["columns"])) == expected["hash"]


@pytest.mark.parametrize(("account_id", "day"), PUBLISHED)
def test_every_file_has_the_digest_that_was_written(written, account_id, day):
    assert written.read_digests(account_id, day) == EXPECTED["published"][f"{account_id} {day}"]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(("account_id", "day"), PUBLISHED)
def test_a_digest_is_the_same_without_a_column_that_was_added_later(written, tmp_path, account_id, day, table):
    with pq.ParquetFile(written.path(table, account_id, day)) as file:
        rows = file.read()
    added = pa.array([f"value {number}" for number in range(rows.num_rows)], pa.string())
    pq.write_table(rows.add_column(1, "added_later", added), tmp_path / "newer.parquet")
    digest = EXPECTED["published"][f"{account_id} {day}"][table]
    assert read_digest(tmp_path / "newer.parquet", KNOWN_COLUMNS[table]) == digest
