"""Whole pulls with a record that is too large to be read: the others are published, and nothing is lost in silence."""

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.snapshot.job import TABLES
from lms_pipeline.truto import response
from lms_pipeline_tests.snapshot.test_raw_format_sweep import OPTIONS
from lms_pipeline_tests.support.scripted_api import page
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner, record, respond_by_path, respond_with_raw_list

LARGE = "x" * 3_000
REASON = "the record is larger than 8 MB"


@pytest.fixture(autouse=True)
def _small_limit(monkeypatch):
    monkeypatch.setattr(response, "MAX_RECORD_BYTES", 2_000)


@pytest.mark.parametrize(
    "large",
    [
        {"remote_data": {"text": LARGE}},
        {"custom_fields": {"a": LARGE}},
        {"user": {"id": "u0", "name": LARGE}},
        {f"key{number}": "x" for number in range(300)},
        {LARGE: 1},
        {"id": LARGE},
    ],
    ids=["raw", "custom fields", "name", "keys", "key", "id"],
)
def test_a_sweep_publishes_the_others_and_rejects_it(tmp_path, large):
    with serve(respond_by_path([page(record("u1"), record("u0", **large), record("u2"))])) as server:
        runner = SnapshotRunner(tmp_path, server.url)
        result = runner.run(options=AccountOptions(page_size=500))
    assert (result.rows.served, result.rows.rejected) == (3, 1)
    assert runner.read_rows("unified_enrollments", "user_id") == [("u1",), ("u2",)]
    ((reason, field),) = runner.read_rows("rejected_enrollments", "reason", "field")
    assert (reason, field) == (REASON, None)


def test_the_list_of_users_counts_it(tmp_path):
    with serve(respond_by_path([page(record("u1"))], [page({"id": "u1"}, {"id": "u2", "bio": LARGE})])) as server:
        runner = SnapshotRunner(tmp_path, server.url)
        result = runner.run(options=AccountOptions(page_size=500))
    assert runner.read_rows("learners", "user_id") == [("u1",)]
    assert result.reading["learners"]["rejected"] == 1


def test_a_raw_list_without_it_is_incomplete(tmp_path):
    raw = page({"id": "u1-c1"}, {"id": "u2-c1", "text": LARGE})
    with serve(respond_with_raw_list([record("u1"), record("u2")], [raw])) as server:
        runner = SnapshotRunner(tmp_path, server.url)
        result = runner.run(options=OPTIONS)
    assert result.raw_gaps == "1 enrollment of account acme has no raw record."
    assert {name: runner.read_metadata(name)["complete"] for name in TABLES} == {
        name: "false" if name == "raw_enrollments" else "true" for name in TABLES
    }
    assert len(runner.read_rows("unified_enrollments", "user_id")) == 2
