"""Roll-ups: they equal the union of the accounts' files, are written when an account changed, and readers use current ones."""

import os
import shutil
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from lms_pipeline.errors import LakeError
from lms_pipeline.lake import files, reading, roll_up
from lms_pipeline.lake.files import check_unchanged
from lms_pipeline.lake.index_sync import begin_changes, rebuild_index
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.reading import read
from lms_pipeline.lake.roll_up import find_outdated_days, remove_roll_ups, roll_up_day
from lms_pipeline.lake.roll_up_reading import find_current_roll_ups
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.metrics import COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.tables.pulled import LEARNERS, RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.generated_lakes import lakes, publish_lake
from lms_pipeline_tests.support.lake_files import FIRST, SECOND, THIRD, enrollment, publish
from lms_pipeline_tests.support.parquet_damage import damage_pages, truncate

ACME = Partition("acme", FIRST)


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Two accounts with two days each, and their roll-ups. Read-only."""
    return publish_and_roll_up(DataDir(tmp_path_factory.mktemp("shared")))


@pytest.fixture
def rolled(shared, tmp_path):
    """A copy for a test that changes it."""
    data = DataDir(shutil.copytree(shared.root, tmp_path, dirs_exist_ok=True))
    refresh(data)
    return data


def publish_and_roll_up(data):
    for account in ("acme", "beta"):
        for day in (FIRST, SECOND):
            publish(data, account, day, enrollment("u1"), enrollment("u2"))
            publish(data, account, day, {"course_id": "c1", "n_all": day.day}, table=COURSE_COMPLETION)
    refresh(data)
    return data


def refresh(data):
    """Roll up the days that changed, and return those of which a file was written."""
    return [day for day in find_outdated_days(data) if roll_up_day(data, day).written]


def read_files(data, table, **more):
    """Read a table as if there were no roll-ups."""
    if not data.roll_ups.exists():
        return read(table, data_dir=data.root, **more)
    aside = data.root / "aside"
    data.roll_ups.rename(aside)
    try:
        return read(table, data_dir=data.root, **more)
    finally:
        aside.rename(data.roll_ups)


def read_rolled(data, table, day):
    return pq.read_table(data.roll_up(table, day), partitioning=None).to_pylist()


class TestRows:
    @settings(max_examples=choose(5, 15), deadline=None)
    @given(lakes())
    def test_are_those_of_the_accounts(self, lake):
        with TemporaryDirectory() as folder:
            data = DataDir(Path(folder))
            publish_lake(data, lake)
            refresh(data)
            for table in (UNIFIED_ENROLLMENTS, COURSE_COMPLETION, LEARNERS):
                current = find_current_roll_ups(data, table, FIRST, SECOND)
                assert not current.others
                expected = read_files(data, table.name)
                assert set(current.files) == set(expected["snapshot_date"].to_pylist()) | {
                    day
                    for (_, day), files in lake.items()
                    if files[table == COURSE_COMPLETION] is not None and table != LEARNERS
                }
                assert repr(read(table.name, data_dir=data.root).to_pylist()) == repr(expected.to_pylist())

    def test_are_in_the_order_of_accounts_with_the_account_as_a_column(self, shared):
        rows = read_rolled(shared, UNIFIED_ENROLLMENTS, FIRST)
        assert [(row["account_id"], row["user_id"]) for row in rows] == [
            ("acme", "u1"), ("acme", "u2"), ("beta", "u1"), ("beta", "u2"),
        ]  # fmt: skip

    def test_of_an_older_version_have_null_in_columns_that_it_lacks(self, data):
        publish(data, "acme", FIRST, {"course_id": "c1", "n_all": 1}, table=COURSE_COMPLETION)
        publish(data, "beta", FIRST, {"course_id": "c1", "n_all": 2}, table=COURSE_COMPLETION)
        path = data.file(COURSE_COMPLETION, ACME)
        older = pq.read_table(path, partitioning=None).select(["course_id"]).replace_schema_metadata(None)
        pq.write_table(older, path)
        refresh(data)
        assert [row["n_all"] for row in read_rolled(data, COURSE_COMPLETION, FIRST)] == [None, 2]

    def test_come_in_groups_of_32768(self, data):
        rows = [{"user_id": f"u{number}"} for number in range(20_000)]
        for account in ("acme", "beta"):
            publish(data, account, FIRST, *rows, table=LEARNERS)
        refresh(data)
        footer = pq.read_metadata(data.roll_up(LEARNERS, FIRST))
        assert [footer.row_group(number).num_rows for number in range(footer.num_row_groups)] == [32_768, 7_232]

    def test_of_providers_are_not_rolled_up(self, data):
        publish(data, "acme", FIRST, enrollment("u1"))
        publish(data, "acme", FIRST, {"payload": "{}"}, table=RAW_ENROLLMENTS)
        publish(data, "acme", FIRST, table=REJECTED_ENROLLMENTS)
        refresh(data)
        assert [folder.name for folder in data.roll_ups.iterdir()] == ["unified_enrollments"]

    def test_pass_by_row_group_whose_bytes_have_a_limit(self, data, monkeypatch):
        rows = [{"user_id": f"u{number}"} for number in range(100)]
        monkeypatch.setattr(files, "ROWS_PER_GROUP", 10)
        publish(data, "acme", FIRST, *rows, table=LEARNERS)
        sizes = []
        conform = files.conform

        def note(stored, table):
            sizes.append(len(stored))
            return conform(stored, table)

        monkeypatch.setattr(roll_up, "conform", note)
        refresh(data)
        assert sizes == [10] * 10


class TestChanges:
    def test_of_an_account_roll_that_day_up_again(self, rolled):
        publish(rolled, "acme", FIRST, enrollment("u7"))
        assert refresh(rolled) == [FIRST]
        assert [row["user_id"] for row in read_rolled(rolled, UNIFIED_ENROLLMENTS, FIRST)] == ["u7", "u1", "u2"]

    def test_of_one_table_write_that_table_only(self, rolled):
        publish(rolled, "acme", FIRST, {"course_id": "c1", "n_all": 9}, table=COURSE_COMPLETION)
        assert roll_up_day(rolled, FIRST).written == ["course_completion"]

    def test_by_a_new_day_roll_up_that_day_only(self, rolled):
        publish(rolled, "acme", THIRD, enrollment("u1"))
        assert refresh(rolled) == [THIRD]

    def test_that_are_none_write_nothing(self, rolled):
        assert refresh(rolled) == []
        assert roll_up_day(rolled, FIRST).written == []

    def test_that_publish_equal_rows_write_nothing(self, rolled):
        publish(rolled, "acme", FIRST, enrollment("u1"), enrollment("u2"))
        assert refresh(rolled) == []
        assert find_outdated_days(rolled) == []

    def test_that_remove_an_account_remove_its_rows(self, rolled):
        for table in (UNIFIED_ENROLLMENTS, COURSE_COMPLETION):
            shutil.rmtree(rolled.file(table, ACME).parent)
        assert refresh(rolled) == [FIRST]
        assert {row["account_id"] for row in read_rolled(rolled, UNIFIED_ENROLLMENTS, FIRST)} == {"beta"}

    def test_that_remove_all_accounts_remove_the_roll_up(self, rolled):
        for account in ("acme", "beta"):
            for table in (UNIFIED_ENROLLMENTS, COURSE_COMPLETION):
                shutil.rmtree(rolled.file(table, Partition(account, FIRST)).parent)
        for day in find_outdated_days(rolled):
            roll_up_day(rolled, day)
        assert not rolled.roll_up(UNIFIED_ENROLLMENTS, FIRST).exists()
        assert find_outdated_days(rolled) == []

    def test_that_remove_a_day_remove_its_roll_up_although_the_index_was_built_again(self, rolled):
        for account in ("acme", "beta"):
            for table in (UNIFIED_ENROLLMENTS, COURSE_COMPLETION):
                shutil.rmtree(rolled.file(table, Partition(account, FIRST)).parent)
        rebuild_index(rolled)
        assert find_outdated_days(rolled) == [FIRST, SECOND]
        refresh(rolled)
        assert not list(rolled.roll_ups.glob(f"*/snapshot_date={FIRST}"))
        assert find_outdated_days(rolled) == []

    def test_of_the_pages_of_a_roll_up_write_it_again(self, rolled):
        path = rolled.roll_up(COURSE_COMPLETION, FIRST)
        damage_pages(path)
        assert refresh(rolled) == [FIRST]
        check_unchanged(path)

    def test_that_remove_all_accounts_remove_what_a_killed_roll_up_left(self, rolled):
        new = rolled.roll_up(COURSE_COMPLETION, FIRST).with_name("data.parquet.new")
        new.write_bytes(b"PAR1")
        remove_roll_ups(rolled, FIRST)
        assert not new.parent.exists()

    def test_of_the_roll_up_itself_write_it_again(self, rolled):
        rolled.roll_up(UNIFIED_ENROLLMENTS, FIRST).unlink()
        truncate(rolled.roll_up(COURSE_COMPLETION, SECOND))
        assert refresh(rolled) == [FIRST, SECOND]
        assert find_outdated_days(rolled) == []

    def test_of_nothing_but_the_index_write_nothing(self, rolled):
        for path in rolled.state.glob("index.sqlite*"):
            path.unlink()
        assert find_outdated_days(rolled) == [FIRST, SECOND]
        assert refresh(rolled) == []

    def test_during_the_roll_up_make_the_day_outdated(self, rolled, monkeypatch):
        publish(rolled, "acme", FIRST, enrollment("u7"))
        write = roll_up._write

        def write_and_publish(*arguments):
            publish(rolled, "beta", FIRST, enrollment("u8"))
            return write(*arguments)

        monkeypatch.setattr(roll_up, "_write", write_and_publish)
        roll_up_day(rolled, FIRST)
        monkeypatch.undo()
        assert find_outdated_days(rolled) == [FIRST]

    def test_after_a_loss_of_the_index_during_the_roll_up_make_the_day_outdated(self, rolled, monkeypatch):
        for _ in range(20):  # the revisions of the lost index are larger than those of the new one
            publish(rolled, "acme", FIRST, enrollment("u7"))
        write = roll_up._write

        def write_and_lose_the_index(*arguments):
            for path in rolled.state.glob("index.sqlite*"):
                path.unlink()
            return write(*arguments)

        monkeypatch.setattr(roll_up, "_write", write_and_lose_the_index)
        roll_up_day(rolled, FIRST)
        monkeypatch.undo()
        publish(rolled, "acme", FIRST, enrollment("u8"))
        assert FIRST in find_outdated_days(rolled)


class TestDamage:
    def test_of_an_account_leaves_it_out_and_says_so(self, data):
        for account in ("acme", "beta"):
            publish(data, account, FIRST, enrollment("u1"))
        path = data.file(UNIFIED_ENROLLMENTS, ACME)
        truncate(path)
        [sentence] = roll_up_day(data, FIRST).left_out
        assert str(path) in sentence
        assert [row["account_id"] for row in read_rolled(data, UNIFIED_ENROLLMENTS, FIRST)] == ["beta"]

    def test_of_pages_in_a_file_without_a_checksum_leaves_the_account_out(self, data):
        for account in ("acme", "beta"):
            publish(data, account, FIRST, {"user_id": "u1", "n_all": 1}, table=LEARNER_COMPLETION)
        path = data.file(LEARNER_COMPLETION, ACME)
        pq.write_table(pq.read_table(path, partitioning=None).replace_schema_metadata(None), path)
        damage_pages(path)
        assert len(roll_up_day(data, FIRST).left_out) == 1
        assert [row["account_id"] for row in read_rolled(data, LEARNER_COMPLETION, FIRST)] == ["beta"]
        assert roll_up_day(data, FIRST).written == []

    def test_that_has_passed_without_a_change_of_the_file_rolls_the_day_up_again(self, data, monkeypatch):
        for account in ("acme", "beta"):
            publish(data, account, FIRST, enrollment("u1"))
        path = data.file(UNIFIED_ENROLLMENTS, ACME)

        def refuse(file):
            if file == path:
                raise LakeError(f"{file} can't be read: check who owns it.")
            return files.read_footer(file)

        with monkeypatch.context() as another_user:
            another_user.setattr(roll_up, "read_footer", refuse)
            assert len(roll_up_day(data, FIRST).left_out) == 1
            assert refresh(data) == []
        assert refresh(data) == [FIRST]
        assert [row["account_id"] for row in read_rolled(data, UNIFIED_ENROLLMENTS, FIRST)] == ["acme", "beta"]
        assert find_outdated_days(data) == []

    def test_that_was_repaired_rolls_the_day_up_again(self, data):
        publish(data, "acme", FIRST, enrollment("u1"))
        truncate(data.file(UNIFIED_ENROLLMENTS, ACME))
        refresh(data)
        publish(data, "acme", FIRST, enrollment("u1"))
        assert refresh(data) == [FIRST]
        assert roll_up_day(data, FIRST).left_out == []

    def test_of_a_roll_up_does_not_reach_readers(self, rolled):
        path = rolled.roll_up(UNIFIED_ENROLLMENTS, FIRST)
        content = bytearray(path.read_bytes())
        content[40] ^= 0xFF
        status = path.stat()
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert read("unified_enrollments", data_dir=rolled.root).num_rows == 8


class TestReaders:
    @pytest.fixture
    def opened(self, monkeypatch):
        """The number of files of accounts that are read."""
        counts = []
        list_files = reading._list_files

        def note(data, table, partitions):
            counts.append(len(partitions))
            return list_files(data, table, partitions)

        monkeypatch.setattr(reading, "_list_files", note)
        return counts

    @pytest.mark.parametrize("table", TABLES)
    def test_get_the_same_with_and_without_roll_ups(self, shared, table):
        with_them, without = read(table, data_dir=shared.root), read_files(shared, table)
        assert with_them.schema.equals(without.schema)
        assert with_them.to_pylist() == without.to_pylist()

    def test_read_no_file_of_an_account_if_all_roll_ups_are_current(self, shared, opened):
        read("unified_enrollments", data_dir=shared.root)
        assert opened == [0]

    def test_read_the_files_of_a_day_that_changed(self, rolled, opened):
        publish(rolled, "acme", FIRST, enrollment("u7"))
        assert read("unified_enrollments", data_dir=rolled.root)["user_id"].to_pylist() == [
            "u7", "u1", "u2", "u1", "u2", "u1", "u2",
        ]  # fmt: skip
        assert opened == [2]

    def test_read_the_files_of_a_few_accounts(self, shared, opened):
        assert read("unified_enrollments", ["beta"], data_dir=shared.root).num_rows == 4
        assert opened == [2]

    def test_get_the_rows_of_chosen_accounts_from_roll_ups(self, shared, opened):
        ids = ["beta", *(f"other-{number}" for number in range(20))]
        assert read("unified_enrollments", ids, data_dir=shared.root)["account_id"].to_pylist() == ["beta"] * 4
        assert opened == [0]

    def test_get_chosen_days(self, shared):
        assert read("course_completion", first=SECOND, data_dir=shared.root)["n_all"].to_pylist() == [2, 2]
        assert read("course_completion", last=FIRST - timedelta(days=1), data_dir=shared.root).num_rows == 0

    def test_need_no_index(self, rolled):
        for path in rolled.state.glob("index.sqlite*"):
            path.unlink()
        assert read("unified_enrollments", data_dir=rolled.root).num_rows == 8
        assert not rolled.index.exists()

    def test_do_not_use_a_day_in_which_a_run_is_publishing(self, rolled):
        begin_changes(rolled, ACME, "a run")
        current = find_current_roll_ups(rolled, UNIFIED_ENROLLMENTS, FIRST, SECOND)
        assert list(current.files) == [SECOND]
        assert list(current.others) == [ACME, Partition("beta", FIRST)]


def test_the_schema_of_a_roll_up_is_that_of_the_table_after_the_account(shared):
    schema = pq.read_schema(shared.roll_up(COURSE_COMPLETION, FIRST))
    assert schema.names == ["account_id", *COURSE_COMPLETION.column_names]
    assert schema.field("account_id").type == pa.string()
