"""Publication: all files or none pass the audit, each is renamed in one step, the enrollments last."""

import pyarrow.parquet as pq
import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import BadIdError, DataDir, Partition
from lms_pipeline.lake.publishing import AuditError, Publication, publish_table, remove_leftovers
from lms_pipeline.tables.metrics import COURSE_COMPLETION
from lms_pipeline.tables.pulled import COURSES, LEARNERS, PULLED_TABLES, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import SCHEMA_VERSION, arrow_schema
from lms_pipeline_tests.support.lake_files import FIRST, SECOND, batch, enrollment, publish

ACME = Partition("acme", FIRST)


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


def visible(data):
    return {path.relative_to(data.lake).as_posix() for path in data.lake.rglob("data.parquet")}


def hidden(data):
    return {path.name for path in data.lake.rglob(".*")}


def fill(publication, table, *rows):
    file = publication.open(table)
    with file:
        file.write(batch(table, *rows))
        file.close({})
    return file


def test_nothing_is_visible_before_it_is_published(data):
    with Publication(data, ACME, "run-1") as publication:
        files = [(fill(publication, table), table.key) for table in (COURSES, UNIFIED_ENROLLMENTS)]
        assert visible(data) == set()
        assert hidden(data) == {".data.parquet.run-1"}
        published = publication.publish(files)
    assert visible(data) == {
        "courses/account_id=acme/snapshot_date=2026-03-01/data.parquet",
        "unified_enrollments/account_id=acme/snapshot_date=2026-03-01/data.parquet",
    }
    assert hidden(data) == set()
    assert [(one.table, one.rows, one.path.exists()) for one in published] == [
        (COURSES, 0, True),
        (UNIFIED_ENROLLMENTS, 0, True),
    ]


def test_files_that_are_not_published_are_removed(data):
    with Publication(data, ACME, "run-1") as publication:
        fill(publication, COURSES, {"course_id": "c1"})
    assert (visible(data), hidden(data)) == (set(), set())


def test_nothing_is_published_if_one_file_fails_its_audit(data):
    publish(data, "acme", FIRST, {"course_id": "old"}, table=COURSES)
    with Publication(data, ACME, "run-2") as publication:
        courses = fill(publication, COURSES, {"course_id": "new"})
        learners = fill(publication, LEARNERS, {"user_id": "u1"}, {"user_id": "u1"})
        with pytest.raises(AuditError, match="1 row of learners"):
            publication.publish([(courses, COURSES.key), (learners, LEARNERS.key)])
    assert visible(data) == {"courses/account_id=acme/snapshot_date=2026-03-01/data.parquet"}
    assert pq.read_table(data.file(COURSES, ACME), columns=["course_id"]).to_pylist() == [{"course_id": "old"}]
    assert hidden(data) == set()


def test_files_are_renamed_in_order_until_a_rename_fails(data):
    """There is a folder in the place of the last file: the files before it are visible, and it isn't."""
    data.file(UNIFIED_ENROLLMENTS, ACME).mkdir(parents=True)
    with Publication(data, ACME, "run-1") as publication:
        files = [(fill(publication, table), table.key) for table in (COURSES, UNIFIED_ENROLLMENTS)]
        with pytest.raises(LakeError, match=r"data\.parquet can't be written: Is a directory; "):
            publication.publish(files)
    assert data.file(COURSES, ACME).is_file()
    assert not data.file(UNIFIED_ENROLLMENTS, ACME).is_file()
    assert hidden(data) == set()


def test_files_after_a_rename_that_fails_are_not_published(data):
    data.file(COURSES, ACME).mkdir(parents=True)
    with Publication(data, ACME, "run-1") as publication:
        files = [(fill(publication, table), table.key) for table in (COURSES, UNIFIED_ENROLLMENTS)]
        with pytest.raises(LakeError):
            publication.publish(files)
    assert not data.file(UNIFIED_ENROLLMENTS, ACME).exists()


def test_unified_enrollments_are_the_last_of_the_pulled_tables():
    assert PULLED_TABLES[-1] == UNIFIED_ENROLLMENTS


def test_a_rerun_replaces_a_file_and_its_readers_keep_the_old_one(data):
    publish(data, "acme", FIRST, enrollment("u1"), enrollment("u2"))
    with pq.ParquetFile(data.file(UNIFIED_ENROLLMENTS, ACME)) as old:
        assert publish(data, "acme", FIRST, enrollment("u3")).rows == 1
        assert old.read(columns=["user_id"]).column("user_id").to_pylist() == ["u1", "u2"]
    assert pq.read_table(data.file(UNIFIED_ENROLLMENTS, ACME)).column("user_id").to_pylist() == ["u3"]


class TestLeftovers:
    def test_of_dead_runs_are_removed_and_nothing_else(self, data):
        publish(data, "acme", FIRST, {"course_id": "c1"}, table=COURSES)
        dead = [data.unpublished_file(COURSES, ACME, "run-0"), data.second_unpublished_file(LEARNERS, ACME, "run-0")]
        others = [data.unpublished_file(COURSES, Partition("acme", SECOND), "run-0")]
        for path in (*dead, *others):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"PAR1")
        remove_leftovers(data, (COURSES, LEARNERS), ACME)
        assert [path.exists() for path in dead] == [False, False]
        assert others[0].exists()
        assert data.file(COURSES, ACME).exists()

    def test_no_folder_is_created_if_there_are_none(self, data):
        remove_leftovers(data, PULLED_TABLES, ACME)
        assert not data.lake.exists()


def test_files_of_other_accounts_and_days_stay(data):
    for account, day in (("acme", FIRST), ("acme", SECOND), ("other", FIRST)):
        publish(data, account, day, enrollment(f"{account}-{day}"))
    publish(data, "acme", FIRST)
    rows = {
        partition: pq.read_metadata(data.file(UNIFIED_ENROLLMENTS, partition)).num_rows
        for partition in data.find_partitions(UNIFIED_ENROLLMENTS)
    }
    assert rows == {ACME: 0, Partition("acme", SECOND): 1, Partition("other", FIRST): 1}


@pytest.mark.parametrize("run_id", ["../x", "a/b", "", ".", "x" * 65, "a b"])
def test_a_run_id_that_is_no_path_is_refused(data, run_id):
    with Publication(data, ACME, run_id) as publication, pytest.raises(BadIdError, match="can't be a run id"):
        publication.open(COURSES)


def test_a_single_table_is_published_with_its_metadata(data):
    rows = batch(COURSE_COMPLETION, {"course_id": "c1", "n_all": 3})
    reader = rows.schema.empty_table().to_reader()
    published = publish_table(
        data, COURSE_COMPLETION, ACME, run_id="run-9", batches=reader, metadata={"source_run_id": "run-1"}
    )
    assert published.rows == 0
    metadata = read_metadata(published.path)
    assert (metadata["run_id"], metadata["source_run_id"]) == ("run-9", "run-1")
    assert metadata["schema_version"] == str(SCHEMA_VERSION)
    assert pq.read_schema(published.path).remove_metadata() == arrow_schema(COURSE_COMPLETION)


def test_a_single_table_is_audited(data):
    repeated = batch(COURSE_COMPLETION, {"course_id": "c1"}, {"course_id": "c1"})
    with pytest.raises(AuditError, match="1 row of course_completion repeats"):
        publish_table(data, COURSE_COMPLETION, ACME, run_id="run-9", batches=[repeated], metadata={})
    assert (visible(data), hidden(data)) == (set(), set())
