"""Dictionaries of a file: for columns whose values repeat, and for no others."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from lms_pipeline.lake import dictionaries, files
from lms_pipeline.lake.files import TableFile
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.lake_files import batch, enrollment


@pytest.fixture
def find_dictionaries(tmp_path, monkeypatch):
    """Write batches of enrollments with few rows a group; returns the columns with a dictionary in each row group."""
    monkeypatch.setattr(dictionaries, "SAMPLED_ROWS", 4)
    monkeypatch.setattr(files, "ROWS_PER_GROUP", 6)

    def write_and_find(*rows):
        with TableFile(UNIFIED_ENROLLMENTS, tmp_path / "a.parquet") as file:
            file.write(batch(UNIFIED_ENROLLMENTS, *rows))
            file.close({})
        footer = pq.read_metadata(file.path)
        groups = map(footer.row_group, range(footer.num_row_groups))
        assert pq.read_table(file.path)["user_id"].to_pylist() == [row["user_id"] for row in rows]
        return [{c["path_in_schema"] for c in g.to_dict()["columns"] if c["has_dictionary_page"]} for g in groups]

    return write_and_find


def build_rows(count, **repeated):
    return [enrollment(f"u{number}", f"c{number % 2}", score=float(number), **repeated) for number in range(count)]


def test_are_those_of_columns_whose_values_repeat_in_the_first_rows(find_dictionaries):
    [found] = find_dictionaries(*build_rows(5, status="passed"))
    assert {"course_id", "status"} <= found
    assert found.isdisjoint({"enrollment_id", "user_id", "score"})


def test_are_not_made_for_columns_without_values(find_dictionaries):
    [found] = find_dictionaries(*build_rows(5))
    assert found.isdisjoint({"user_name", "attempt_number", "urls.list.element.url"})


def test_are_chosen_for_each_field_of_a_list(find_dictionaries):
    rows = [row | {"urls": [{"type": "web", "url": f"/{number}"}]} for number, row in enumerate(build_rows(4))]
    [found] = find_dictionaries(*rows)
    assert "urls.list.element.type" in found
    assert "urls.list.element.url" not in found


def test_are_the_same_in_all_row_groups(find_dictionaries):
    first, *others = find_dictionaries(*build_rows(20, status="passed"))
    assert len(others) == 3
    assert all(group == first for group in others)


def test_are_made_for_all_values_of_a_small_file(find_dictionaries):
    [found] = find_dictionaries(*build_rows(3))
    assert {"enrollment_id", "user_id", "score"} <= found
