"""Files of a publication that was killed are not read, from Python or from SQL."""

import pyarrow.parquet as pq
import pytest

from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.reading import read
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION
from lms_pipeline.tables.pulled import LEARNERS, RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.lake_files import FIRST, PROVENANCE, SECOND, enrollment, publish, write


@pytest.fixture
def data(tmp_path):
    """Raw enrollments of two days; those of the second day are of a pull that was killed before its commit mark."""
    data = DataDir(tmp_path)
    for day in (FIRST, SECOND):
        publish(data, "acme", day, {"payload": "{}"}, table=RAW_ENROLLMENTS)
        publish(data, "acme", day, enrollment("u1"))
    other = {**PROVENANCE, "run_id": "run-2"}
    write(data.file(RAW_ENROLLMENTS, Partition("acme", SECOND)), RAW_ENROLLMENTS, {"payload": "[]"}, metadata=other)
    return data


def days(data, table):
    with open_warehouse(data) as connection:
        return [day for (day,) in connection.table(table).select("snapshot_date").order("1").fetchall()]


def test_python_leaves_it_out_with_a_warning(data, caplog):
    assert read("raw_enrollments", data_dir=data.root).column("snapshot_date").to_pylist() == [FIRST]
    assert "raw_enrollments of acme on 2026-03-02 is left out: its pull did not finish." in caplog.text


def test_the_warehouse_leaves_it_out(data):
    build_warehouse(data)
    assert days(data, "raw_enrollments") == [FIRST]
    assert days(data, "unified_enrollments") == [FIRST, SECOND]


def test_raw_enrollments_without_a_commit_mark_are_not_read(data):
    data.file(UNIFIED_ENROLLMENTS, Partition("acme", FIRST)).unlink()
    assert read("raw_enrollments", data_dir=data.root).num_rows == 0


def test_a_list_is_read_without_enrollments_of_its_run(data):
    publish(data, "acme", FIRST, {"user_id": "u1"}, table=LEARNERS)
    other = {**PROVENANCE, "run_id": "run-9"}
    write(data.file(LEARNERS, Partition("acme", FIRST)), LEARNERS, {"user_id": "u1"}, metadata=other)
    assert read("learners", data_dir=data.root).num_rows == 1


def test_a_file_of_a_newer_version_is_not_built_into_the_warehouse(data):
    path = data.file(UNIFIED_ENROLLMENTS, Partition("acme", FIRST))
    pq.write_table(pq.read_table(path).replace_schema_metadata({"lms_pipeline.schema_version": "99"}), path)
    [reason] = build_warehouse(data).left_out
    assert "was written by a newer lms_pipeline" in reason
    assert days(data, "unified_enrollments") == [SECOND]


def test_a_metric_file_that_is_still_written_does_not_replace_the_published_one(data):
    """The run of the pull writes it, so that its name has the id of the commit mark."""
    publish(data, "acme", FIRST, {"n_all": 3}, table=ACCOUNT_COMPLETION)
    data.unpublished_file(ACCOUNT_COMPLETION, Partition("acme", FIRST), PROVENANCE["run_id"]).write_bytes(b"PAR1")
    assert read("account_completion", data_dir=data.root)["n_all"].to_pylist() == [3]
    assert build_warehouse(data).left_out == []
