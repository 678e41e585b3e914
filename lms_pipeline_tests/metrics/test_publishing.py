"""Publishing the metric tables of a snapshot."""

import shutil
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from lms_pipeline.accounts.rules import Rule, hash_rules
from lms_pipeline.days import Calendar
from lms_pipeline.errors import LakeError
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.metrics.completion import publish_metrics
from lms_pipeline.metrics.options import MetricOptions
from lms_pipeline.metrics.source import NoSnapshotError
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COMPLETION_TABLES, COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import SCHEMA_VERSION
from lms_pipeline_tests.support.damages import damage_pages
from lms_pipeline_tests.support.lake_files import FIRST, NOON, PROVENANCE, enrollment, publish, write
from lms_pipeline_tests.support.parquet_damage import change_value

ACME = Partition("acme", FIRST)
UTC_DAYS = Calendar(ZoneInfo("UTC"))


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


ROWS = (
    enrollment("u1", "c1", status="completed"),
    enrollment("u1", "c2", status="withdrawn", started_at=datetime(2026, 2, 1, tzinfo=UTC)),
    enrollment("u2", "c1", status="completed"),
    enrollment("u2", "c2", status="in_progress"),
)
"""Two learners in two courses: two completed, one withdrawn, one in progress."""


def publish_one(data, table, *, integration="records", run_id="run-9", partition=ACME, calendar=UTC_DAYS):
    (published,) = publish_metrics(data, [table], partition, calendar, integration=integration, run_id=run_id)
    return published


@pytest.fixture
def snapshot(data):
    return publish(data, "acme", FIRST, *ROWS)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Publish every table of one snapshot, for tests that only read."""
    data = DataDir(tmp_path_factory.mktemp("published"))
    publish(data, "acme", FIRST, *ROWS)
    published = publish_metrics(data, METRIC_TABLES, ACME, UTC_DAYS, integration="records", run_id="run-9")
    return {one.table: one for one in published}


def read_row(published):
    [row] = pq.ParquetFile(published.path).read().to_pylist()
    return row


def test_the_account_is_one_row(tables):
    published = tables[ACCOUNT_COMPLETION]
    row = read_row(published)
    assert (row["learners"], row["n_all"], row["n_completed"], row["completion_rate"]) == (2, 4, 2, 0.5)
    assert published.path.parts[-4:] == (
        "account_completion",
        "account_id=acme",
        "snapshot_date=2026-03-01",
        "data.parquet",
    )
    assert published.rows == 1


@pytest.mark.parametrize(
    ("table", "key", "found"),
    [
        (COURSE_COMPLETION, "course_id", [("c1", 2, 1.0), ("c2", 2, 0.0)]),
        (LEARNER_COMPLETION, "user_id", [("u1", 2, 0.5), ("u2", 2, 0.5)]),
    ],
    ids=["courses", "learners"],
)
def test_each_course_and_each_learner_is_a_row(tables, table, key, found):
    rows = pq.read_table(tables[table].path).to_pylist()
    assert [(row[key], row["n_all"], row["completion_rate"]) for row in rows] == found


@pytest.mark.parametrize("table", METRIC_TABLES, ids=lambda table: table.name)
def test_a_metric_file_names_its_snapshot_in_its_metadata(tables, table):
    path = tables[table].path
    source = read_metadata(path.parents[3] / "unified_enrollments" / path.relative_to(path.parents[2]))
    metadata = read_metadata(path)
    assert metadata.keys() >= {"digest", "checksum"}
    del metadata["digest"], metadata["checksum"]
    assert (metadata.pop("idle_unknown", None) is not None) is (table == ATTENTION)
    assert metadata == {
        "schema_version": str(SCHEMA_VERSION),
        "run_id": "run-9",
        "pulled_at": NOON.isoformat(),
        "strategy": "sweep",
        "requests": "7",
        "complete": "true",
        "source_run_id": "run-1",
        "source_digest": source["digest"],
    }


def test_publishing_again_replaces_the_file_and_gives_the_same_digest(data, tables):
    path = tables[COURSE_COMPLETION].path
    shutil.copytree(path.parents[3], data.lake)
    first = read_metadata(path)
    again = read_metadata(publish_one(data, COURSE_COMPLETION, run_id="run-10").path)
    assert (first["run_id"], again["run_id"]) == ("run-9", "run-10")
    assert first["digest"] == again["digest"]


@pytest.mark.parametrize(("integration", "rate", "count"), [("docebo", 0.25, 1), ("talentlms", None, None)])
@pytest.mark.usefixtures("snapshot")
def test_the_withdrawal_rate_is_not_known_if_the_lms_never_reports_withdrawn(data, integration, rate, count):
    row = read_row(publish_one(data, ACCOUNT_COMPLETION, integration=integration))
    assert (row["withdrawal_rate"], row["withdrawal_rate_num"]) == (rate, count)
    assert row["status_withdrawn"] == 1


@pytest.mark.parametrize(("strategy", "rate"), [("roster", None), ("learner", None), ("pairs", 0.25)])
def test_the_withdrawal_rate_is_not_known_of_rosters_without_an_integration(data, strategy, rate):
    """The registry knows no integration of an account that was added by hand."""
    write(
        data.file(UNIFIED_ENROLLMENTS, ACME), UNIFIED_ENROLLMENTS, *ROWS, metadata=PROVENANCE | {"strategy": strategy}
    )
    assert read_row(publish_one(data, ACCOUNT_COMPLETION, integration=""))["withdrawal_rate"] == rate


def test_a_snapshot_without_rows_has_metrics(data):
    publish(data, "acme", FIRST)
    published = publish_metrics(data, COMPLETION_TABLES, ACME, UTC_DAYS, integration="records", run_id="run-9")
    of_table = {one.table: one for one in published}
    row = read_row(of_table[ACCOUNT_COMPLETION])
    assert (row["learners"], row["n_all"], row["completion_rate"]) == (0, 0, None)
    assert of_table[COURSE_COMPLETION].rows == of_table[LEARNER_COMPLETION].rows == 0


def test_the_day_ends_in_the_time_zone_of_the_calendar(data):
    """23:30 UTC on 1 March is 2 March in Athens, and its enrollment had not begun yet."""
    late = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    publish(data, "acme", FIRST, enrollment("u1", status="enrolled", enrolled_at=late))
    counts = [
        read_row(publish_one(data, ACCOUNT_COMPLETION, calendar=Calendar(ZoneInfo(zone))))["n_all"]
        for zone in ("UTC", "Europe/Athens")
    ]
    assert counts == [1, 0]


@pytest.mark.usefixtures("snapshot")
@pytest.mark.parametrize("partition", [Partition("acme", date(2026, 3, 2)), Partition("other", FIRST)])
def test_a_day_that_was_not_pulled_is_one_sentence(data, partition):
    with pytest.raises(NoSnapshotError) as caught:
        publish_one(data, ACCOUNT_COMPLETION, partition=partition)
    assert str(caught.value) == (
        f"There is no snapshot of {partition}: materialize unified_enrollments of that day first."
    )
    assert not data.file(ACCOUNT_COMPLETION, partition).exists()


def test_a_snapshot_of_a_newer_version_is_one_sentence(data, snapshot):
    newer = SCHEMA_VERSION + 1
    rows = pq.read_table(snapshot.path).replace_schema_metadata({"lms_pipeline.schema_version": str(newer)})
    pq.write_table(rows, snapshot.path)
    message = rf"was written by a newer lms_pipeline \(schema {newer}, this one reads up to {SCHEMA_VERSION}\)"
    with pytest.raises(LakeError, match=message):
        publish_one(data, ACCOUNT_COMPLETION)


def test_a_snapshot_with_damaged_pages_is_one_sentence(data, snapshot):
    damage_pages(snapshot.path)
    with pytest.raises(LakeError, match="is damaged: restore it, or run `lms-pipeline replay` for its day"):
        publish_one(data, ACCOUNT_COMPLETION)


def test_a_snapshot_with_a_changed_value_is_one_sentence(data, snapshot):
    change_value(snapshot.path, "status")
    with pytest.raises(LakeError, match="is damaged: restore it, or run `lms-pipeline replay` for its day"):
        publish_one(data, ACCOUNT_COMPLETION)


def test_a_snapshot_that_is_damaged_is_one_sentence(data, snapshot):
    snapshot.path.write_bytes(snapshot.path.read_bytes()[:-50])
    with pytest.raises(LakeError, match="is damaged: restore it, or run `lms-pipeline replay` for its day"):
        publish_one(data, ACCOUNT_COMPLETION)


def test_only_unified_enrollments_are_read(data, snapshot):
    """The account has no other table."""
    assert [path.name for path in data.lake.iterdir()] == [UNIFIED_ENROLLMENTS.name]
    assert publish_one(data, ACCOUNT_COMPLETION).rows == 1


class TestRules:
    DUE = Rule(account="acme", course="c2", due_on=date(2026, 2, 1))

    @staticmethod
    def publish_with(data, *rules, run_id="run-9", tables=METRIC_TABLES):
        """Publish the metrics under rules, and return the metadata of each table."""
        options = MetricOptions(rules=dict(enumerate(rules, 1)))
        published = publish_metrics(data, tables, ACME, UTC_DAYS, integration="records", run_id=run_id, options=options)
        return {one.table: read_metadata(one.path) for one in published}

    @pytest.fixture(scope="class")
    @classmethod
    def ruled(cls, tmp_path_factory):
        """A data directory, its snapshot before, and its metrics under a rule: published once."""
        data = DataDir(tmp_path_factory.mktemp("ruled"))
        stored = publish(data, "acme", FIRST, *ROWS).path.read_bytes()
        return data, stored, cls.publish_with(data, cls.DUE)

    def test_are_in_the_metadata_of_every_table_by_their_digest(self, ruled):
        """Without any they are not: see `test_a_metric_file_names_its_snapshot_in_its_metadata`."""
        digests = {metadata.get("rules") for metadata in ruled[2].values()}
        assert digests == {hash_rules({1: self.DUE})}

    def test_twice_give_the_same_figures(self, ruled):
        data, _, one = ruled
        other = self.publish_with(data, self.DUE, run_id="run-10")
        assert {table: found["digest"] for table, found in one.items()} == {
            table: found["digest"] for table, found in other.items()
        }

    def test_change_the_figures_and_no_stored_row(self, ruled, tables):
        data, stored, after = ruled
        before = {table: read_metadata(tables[table].path)["digest"] for table in COMPLETION_TABLES}
        assert {table for table in COMPLETION_TABLES if before[table] != after[table]["digest"]} == set(before)
        assert data.file(UNIFIED_ENROLLMENTS, ACME).read_bytes() == stored
        again = self.publish_with(data, tables=[ACCOUNT_COMPLETION])
        assert again[ACCOUNT_COMPLETION]["digest"] == before[ACCOUNT_COMPLETION]
