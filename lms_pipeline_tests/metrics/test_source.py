"""Metrics of enrollments that another run publishes again meanwhile: no figures of two snapshots, and none of the old one."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from lms_pipeline.days import Calendar
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.metrics import completion, source
from lms_pipeline.metrics.completion import publish_metrics
from lms_pipeline.storage.store import PublishedByAnotherError
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.metrics import COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket
from lms_pipeline_tests.support.lake_files import FIRST, PROVENANCE, enrollment, write

ACME = Partition("acme", FIRST)
TABLES = (COURSE_COMPLETION, LEARNER_COMPLETION)
SENTENCE = (
    r"data\.parquet was published by another run meanwhile, or removed: this run publishes no more metrics of it\.$"
)


def pull(data, run_id, *users):
    """Publish enrollments as a run does: a new file in the place of the one before."""
    path = data.file(UNIFIED_ENROLLMENTS, ACME)
    rows = [enrollment(user, enrolled_at=datetime(2026, 1, 1, tzinfo=UTC)) for user in users]
    new = write(path.with_name("new"), UNIFIED_ENROLLMENTS, *rows, metadata={**PROVENANCE, "run_id": run_id})
    data.store.send(new, data.get_key(path))


def compute(data, run_id, tables=TABLES):
    return publish_metrics(data, tables, ACME, Calendar(ZoneInfo("UTC")), integration="records", run_id=run_id)


def find_runs(data, table):
    """Return the run that computed a table, and the run whose enrollments it read."""
    metadata = read_metadata(data.file(table, ACME))
    return metadata["run_id"], metadata["source_run_id"]


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


@pytest.fixture
def open_machine(tmp_path):
    """Opens the data directory of a machine; all have the same bucket."""

    def opened(name):
        return open_in_bucket(tmp_path / name, FolderBucket(tmp_path / name, tmp_path / "bucket"))

    return opened


def test_metrics_of_the_new_enrollments_are_not_replaced(data):
    pull(data, "run-1", "u1")
    old = compute(data, "run-1")
    next(old)
    pull(data, "run-2", "u1", "u2")
    list(compute(data, "run-2"))
    with pytest.raises(PublishedByAnotherError, match=SENTENCE) as error:
        next(old)
    assert not error.value.may_pass  # another try would pull the account again
    assert {find_runs(data, table) for table in TABLES} == {("run-2", "run-2")}


def test_nothing_is_published_of_enrollments_that_are_replaced_while_they_are_read(data, monkeypatch):
    pull(data, "run-1", "u1")
    execute = completion._execute

    def pull_before_classifying(connection, *names):
        if "classify.sql" in names:
            pull(data, "run-2", *(f"u{number}" for number in range(9)))
        execute(connection, *names)

    monkeypatch.setattr(completion, "_execute", pull_before_classifying)
    with pytest.raises(PublishedByAnotherError, match=SENTENCE):
        list(compute(data, "run-1"))
    assert [table for table in METRIC_TABLES if data.file(table, ACME).exists()] == []


def test_a_query_that_fails_since_they_were_replaced_is_the_same_sentence(data, monkeypatch):
    pull(data, "run-1", "u1")
    execute = completion._execute

    def damage_before_classifying(connection, *names):
        if "classify.sql" in names:
            path = data.file(UNIFIED_ENROLLMENTS, ACME)
            path.with_name("new").write_bytes(b"PAR1")
            path.with_name("new").replace(path)
        execute(connection, *names)

    monkeypatch.setattr(completion, "_execute", damage_before_classifying)
    with pytest.raises(PublishedByAnotherError, match=SENTENCE):
        list(compute(data, "run-1"))


def test_removed_enrollments_have_no_metrics(data):
    pull(data, "run-1", "u1")
    old = compute(data, "run-1")
    next(old)
    data.file(UNIFIED_ENROLLMENTS, ACME).unlink()
    with pytest.raises(PublishedByAnotherError, match=SENTENCE):
        next(old)


class TestInABucket:
    def test_enrollments_that_another_machine_publishes_are_found(self, open_machine, monkeypatch):
        monkeypatch.setattr(source, "CHECK_SECONDS", 0)
        data, other = open_machine("one"), open_machine("other")
        pull(data, "run-1", "u1")
        old = compute(data, "run-1")
        next(old)
        pull(other, "run-2", "u2")
        with pytest.raises(PublishedByAnotherError, match=rf"^s3://bucket/lake/unified_enrollments/.*{SENTENCE}"):
            next(old)

    def test_a_copy_that_another_run_of_the_machine_replaces_is_found(self, open_machine):
        data, same = open_machine("one"), open_machine("one")
        pull(data, "run-1", "u1")
        old = compute(data, "run-1")
        next(old)
        pull(same, "run-2", "u2")
        with pytest.raises(PublishedByAnotherError, match=SENTENCE):
            next(old)

    def test_the_metrics_of_a_small_account_need_no_further_request(self, open_machine):
        data = open_machine("one")
        pull(data, "run-1", "u1")
        data.store.log.clear()
        list(compute(data, "run-1"))
        assert [method for method, key in data.store.log if UNIFIED_ENROLLMENTS.name in key] == ["GET"]
