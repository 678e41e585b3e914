"""A pull of a published day that dies between two renames: readers see the old files, the next start puts them back."""

import errno
import os
from pathlib import Path

import pytest

from lms_pipeline.housekeeping.cleanup import find_expired, load_policy, remove
from lms_pipeline.lake import reading
from lms_pipeline.lake.commit_mark import find_kept_file, restore_interrupted
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Publication, remove_leftovers
from lms_pipeline.lake.reading import read
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse
from lms_pipeline.lake.warehouse_build import find_days
from lms_pipeline.settings import Settings
from lms_pipeline.storage import local_store
from lms_pipeline.storage.disk import replace_file
from lms_pipeline.tables.pulled import COURSES, LEARNERS, PULLED_TABLES, RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.lake_files import FIRST, PROVENANCE, batch, enrollment
from lms_pipeline_tests.support.warehouse_builds import leaving_out_comments

ACME = Partition("acme", FIRST)
OLD, NEW = "run-1", "run-2"
ROWS = {RAW_ENROLLMENTS: {"payload": "{}"}, LEARNERS: {"user_id": "u"}, COURSES: {"course_id": "c"}}
TABLES = [*ROWS, UNIFIED_ENROLLMENTS]


class DiedError(Exception):
    """Stands for the end of the process: nothing after it runs."""


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


def publish(data, run_id, monkeypatch=None, renames=None):
    """Publish one row in each table; die before a rename if a number of `renames` is given."""
    publication = Publication(data, ACME, run_id)
    files = []
    for table in TABLES:
        file = publication.open(table)
        with file:
            file.write(batch(table, ROWS.get(table, enrollment(run_id))))
            file.close({**PROVENANCE, "run_id": run_id})
        files.append((file, table.key))
    if monkeypatch is not None:
        done: list[Path] = []

        def replace(new, path):
            if len(done) == renames:
                raise DiedError
            done.append(path)
            replace_file(new, path)

        monkeypatch.setattr(local_store, "replace_file", replace)
        with pytest.raises(DiedError):
            publication.publish(files)
        monkeypatch.undo()
    else:
        publication.publish(files)


def find_runs(data):
    return {read_metadata(data.file(table, ACME))["run_id"] for table in TABLES}


def find_hidden(data):
    return [path.name for path in data.lake.rglob(".data*")]


@pytest.fixture(params=range(len(TABLES)), ids=lambda renames: f"{renames} renames")
def interrupted(data, monkeypatch, request):
    """The data directory after a second pull that died before the rename of this number."""
    publish(data, OLD)
    publish(data, NEW, monkeypatch, request.param)
    return data


def test_python_reads_the_old_rows(interrupted):
    counts = {table.name: read(table.name, data_dir=interrupted.root).num_rows for table in TABLES}
    assert counts == dict.fromkeys(counts, 1)
    assert read("unified_enrollments", data_dir=interrupted.root)["user_id"].to_pylist() == [OLD]


@pytest.fixture(scope="class")
def without_comments():
    with leaving_out_comments():
        yield


@pytest.mark.usefixtures("without_comments")
def test_the_warehouse_shows_the_old_rows(interrupted):
    build_warehouse(interrupted)
    with open_warehouse(interrupted) as connection:
        assert [len(connection.table(table.name)) for table in TABLES] == [1] * len(TABLES)


def test_the_old_files_are_put_back_and_logged_once(interrupted, caplog, request):
    renames = int(request.node.callspec.id.split()[0])
    for _ in range(2):
        restore_interrupted(interrupted, PULLED_TABLES, ACME)
    logged = [record.message for record in caplog.records if "is again as it was" in record.message]
    assert logged == [
        f"{table.name} of {ACME} is again as it was before an interrupted pull." for table in TABLES[:renames]
    ]
    assert find_runs(interrupted) == {OLD}


def test_the_next_start_puts_the_old_files_back(interrupted):
    restore_interrupted(interrupted, PULLED_TABLES, ACME)
    remove_leftovers(interrupted, PULLED_TABLES, ACME)
    assert find_runs(interrupted) == {OLD}
    assert find_hidden(interrupted) == []


def test_the_next_pull_replaces_all(interrupted):
    restore_interrupted(interrupted, PULLED_TABLES, ACME)
    remove_leftovers(interrupted, PULLED_TABLES, ACME)
    publish(interrupted, "run-3")
    assert find_runs(interrupted) == {"run-3"}
    assert find_hidden(interrupted) == []


def test_housekeeping_puts_the_old_files_back(interrupted):
    for path in interrupted.lake.rglob(".data*"):
        os.utime(path, (0, 0))  # long ago
    expired = find_expired(interrupted, load_policy(Settings(data_dir=interrupted.root)))
    assert remove(interrupted, expired) == expired
    assert find_runs(interrupted) == {OLD}
    assert find_hidden(interrupted) == []


def test_a_published_pull_leaves_nothing(data):
    publish(data, OLD)
    publish(data, NEW)
    assert find_runs(data) == {NEW}
    assert find_hidden(data) == []


def test_a_damaged_commit_mark_does_not_stop_the_next_pull(data):
    publish(data, OLD)
    data.file(UNIFIED_ENROLLMENTS, ACME).write_bytes(b"PAR1")
    restore_interrupted(data, PULLED_TABLES, ACME)
    publish(data, NEW)
    assert find_runs(data) == {NEW}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_damaged_file_is_repaired_by_the_next_pull(data, table):
    publish(data, OLD)
    data.file(table, ACME).write_bytes(b"PAR1")
    restore_interrupted(data, PULLED_TABLES, ACME)
    publish(data, NEW)
    assert find_runs(data) == {NEW}
    assert find_hidden(data) == []


def test_a_file_system_without_hard_links_keeps_copies(data, monkeypatch):
    def refuse(_self, _target):
        raise PermissionError(errno.EPERM, "no hard links")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    publish(data, OLD)
    publish(data, NEW)
    assert find_runs(data) == {NEW}
    assert find_hidden(data) == []


@pytest.mark.usefixtures("without_comments")
def test_a_view_still_works_after_the_next_pull(interrupted):
    build_warehouse(interrupted)
    restore_interrupted(interrupted, PULLED_TABLES, ACME)
    remove_leftovers(interrupted, PULLED_TABLES, ACME)
    publish(interrupted, "run-3")
    with open_warehouse(interrupted) as connection:
        assert [len(connection.table(table.name)) for table in TABLES] == [1] * len(TABLES)


def test_a_death_after_the_commit_mark_leaves_the_new_rows(data, monkeypatch):
    publish(data, OLD)
    kept = data.unpublished_file(LEARNERS, ACME, OLD)
    publish(data, NEW)
    kept.write_bytes(b"PAR1")  # as if it was not removed any more
    assert read("learners", data_dir=data.root).num_rows == 1
    restore_interrupted(data, PULLED_TABLES, ACME)
    assert find_runs(data) == {NEW}


class TestAPullThatPublishesDuringARead:
    """Raw and rejected enrollments are of the old pull or of the new one: none are left out."""

    @pytest.fixture
    def do_at_looks(self, monkeypatch):
        """Does the one after the other, each once a look has found whether an old file is kept."""

        def do_at_looks(*actions):
            left = list(actions)

            def find_and_do(*arguments):
                found = find_kept_file(*arguments)
                if left:
                    left.pop(0)()
                return found

            monkeypatch.setattr(reading, "find_kept_file", find_and_do)

        return do_at_looks

    def replace_raw(self, data):
        publish(data, NEW, pytest.MonkeyPatch(), renames=1)

    def replace_all(self, data):
        restore_interrupted(data, PULLED_TABLES, ACME)
        remove_leftovers(data, PULLED_TABLES, ACME)
        publish(data, NEW)

    def test_hides_no_rows_before_its_mark(self, data, do_at_looks, caplog):
        publish(data, OLD)
        do_at_looks(lambda: self.replace_raw(data))
        assert read("raw_enrollments", data_dir=data.root).num_rows == 1
        assert "is left out" not in caplog.text

    def test_hides_no_rows_from_a_build_of_the_warehouse(self, data, do_at_looks, caplog):
        publish(data, OLD)
        do_at_looks(lambda: self.replace_raw(data), lambda: self.replace_all(data))
        [day] = find_days(data, None, tables=[RAW_ENROLLMENTS]).values()
        assert day.readable == {RAW_ENROLLMENTS.name}
        assert "is left out" not in caplog.text

    def test_hides_no_rows_between_two_looks(self, data, do_at_looks, caplog):
        publish(data, OLD)
        do_at_looks(lambda: self.replace_raw(data), lambda: self.replace_all(data))
        assert read("raw_enrollments", data_dir=data.root).num_rows == 1
        assert "is left out" not in caplog.text
