"""The warehouse with roll-ups: views alone, with the rows, columns and comments of the warehouse without them."""

import shutil

import pyarrow.parquet as pq
import pytest

from lms_pipeline.lake import files, warehouse_file_views, warehouse_views
from lms_pipeline.lake.index import PublicationIndex
from lms_pipeline.lake.index_sync import begin_changes, read_index, rebuild_index
from lms_pipeline.lake.paths import DataDir, Partition, parse_folder
from lms_pipeline.lake.roll_up import find_outdated_days, roll_up_day
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse
from lms_pipeline.tables.catalog import TABLES, VIEWS
from lms_pipeline.tables.metrics import COURSE_COMPLETION, LEARNER_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.lake_files import (
    FIRST,
    PROVENANCE,
    SECOND,
    THIRD,
    enrollment,
    publish,
    publish_each_table,
    publish_small_lake,
    write,
)
from lms_pipeline_tests.support.old_duckdb import needs_old_duckdb, read_warehouse
from lms_pipeline_tests.support.parquet_damage import truncate
from lms_pipeline_tests.support.warehouse_builds import leaving_out_comments, read_content


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A data directory for copies: to publish one takes longer than most tests."""
    return publish_small_lake(DataDir(tmp_path_factory.mktemp("published"))).root


@pytest.fixture(scope="module")
def rolled_up(published, tmp_path_factory):
    """The same with roll-ups, for copies: of those, only what has changed since is written again."""
    data = copy_data(published, tmp_path_factory.mktemp("rolled up"))
    roll_up(data)
    return data.root


def copy_data(root, new):
    return DataDir(shutil.copytree(root, new, dirs_exist_ok=True))


@pytest.fixture
def data(rolled_up, tmp_path):
    return copy_data(rolled_up, tmp_path)


def roll_up(data):
    for day in find_outdated_days(data):
        roll_up_day(data, day)


def build(data):
    roll_up(data)
    return build_warehouse(data, is_rolled_up=True)


def count_rows(data, table):
    with open_warehouse(data) as connection:
        return len(connection.table(table.name))


def find_published(data):
    return read_index(data, lambda index: index.find())


@pytest.fixture(scope="class")
def without_comments():
    with leaving_out_comments():
        yield


@pytest.fixture(scope="class")
def content(published, tmp_path_factory, without_comments):
    """The content of the warehouse of the published lake without roll-ups. Read-only."""
    return build_without(copy_data(published, tmp_path_factory.mktemp("without")))


def build_without(data):
    """Return the content of a warehouse without roll-ups."""
    build_warehouse(data)
    return read_content(data)


def read_both(data):
    """Return the tables and the comments of the warehouse with roll-ups, and of one without them."""
    build(data)
    with_them = read_content(data)
    names = (*TABLES, "comments of columns")
    return [{name: content[name] for name in names} for content in (with_them, build_without(data))]


def test_it_has_the_content_of_one_without(data):
    with_them, without = read_both(data)
    assert with_them == without


def test_it_has_the_content_of_one_without_after_changes(data):
    build(data)
    publish_each_table(data, "acme", THIRD)
    publish(data, "beta", SECOND, enrollment("u9"))
    publish(data, "acme", THIRD, table=LEARNER_COMPLETION)  # no learner is left on the latest day
    shutil.rmtree(data.file(COURSE_COMPLETION, Partition("gamma", FIRST)).parent)
    with_them, without = read_both(data)
    assert with_them == without


def test_it_has_the_content_of_one_without_in_an_empty_lake(tmp_path):
    with_them, without = read_both(DataDir(tmp_path))
    assert with_them == without


def test_it_has_only_views(data):
    build(data)
    with open_warehouse(data) as connection:
        assert connection.sql("SELECT count(*) FROM duckdb_tables() WHERE NOT internal").fetchall() == [(0,)]
        views = connection.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    assert {name for (name,) in views} == {*TABLES, *VIEWS}


@needs_old_duckdb
def test_the_oldest_duckdb_reads_every_view(data):
    build(data)
    assert set(read_warehouse(data)) >= set(TABLES)


@pytest.mark.usefixtures("without_comments")
def test_a_day_that_is_rolled_up_later_is_shown_without_a_build(data):
    build(data)
    publish_each_table(data, "acme", THIRD)
    roll_up(data)
    assert count_rows(data, COURSE_COMPLETION) == 6


@pytest.mark.usefixtures("without_comments")
def test_a_file_of_an_unfinished_pull_is_not_shown(data):
    path = data.file(RAW_ENROLLMENTS, Partition("acme", FIRST))
    begin_changes(data, Partition("acme", FIRST), "a run that died")
    write(path, RAW_ENROLLMENTS, {"payload": "{}"}, {"payload": "[]"}, metadata={**PROVENANCE, "run_id": "run-2"})
    build(data)
    assert count_rows(data, RAW_ENROLLMENTS) == 4


@pytest.mark.usefixtures("without_comments")
@pytest.mark.parametrize("table", [RAW_ENROLLMENTS, PORTFOLIO_COMPLETION], ids=lambda table: table.name)
def test_a_damaged_first_file_does_not_stop_the_build(data, table):
    path = min((data.lake / table.name).rglob("data.parquet"))
    truncate(path)
    [sentence] = build(data).left_out
    assert str(path) in sentence
    assert count_rows(data, table) == (4 if table == RAW_ENROLLMENTS else 1)


def refuse_to_look_at_all(*_, **_options):
    pytest.fail("The files of all days are looked at.")


@pytest.mark.usefixtures("without_comments")
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("table", [RAW_ENROLLMENTS, PORTFOLIO_COMPLETION], ids=lambda table: table.name)
def test_a_damaged_sample_is_left_out_without_a_look_at_the_files_of_all_days(table, is_first, data, monkeypatch):
    if not table.per_account:
        is_first = True  # only all of its files are samples
    path = (min if is_first else max)((data.lake / table.name).rglob("data.parquet"))
    samples = [one for one in find_published(data) if data.file(RAW_ENROLLMENTS, one.partition) == path]
    monkeypatch.setattr(warehouse_file_views, "find_days", refuse_to_look_at_all)
    if samples:
        find = PublicationIndex.find_schema_samples
        monkeypatch.setattr(PublicationIndex, "find_schema_samples", lambda *most: [*samples, *find(*most)])
    truncate(path)
    [sentence] = build(data).left_out
    assert str(path) in sentence
    assert count_rows(data, table) == (4 if table == RAW_ENROLLMENTS else 1)


@pytest.mark.usefixtures("without_comments")
def test_a_view_without_a_damaged_sample_shows_files_that_are_published_later(data, monkeypatch):
    truncate(min((data.lake / RAW_ENROLLMENTS.name).rglob("data.parquet")))
    monkeypatch.setattr(warehouse_file_views, "find_days", refuse_to_look_at_all)
    build(data)
    publish(data, "acme", THIRD, {"payload": "{}"}, table=RAW_ENROLLMENTS)
    assert count_rows(data, RAW_ENROLLMENTS) == 5


@pytest.mark.usefixtures("without_comments")
def test_a_view_without_a_damaged_sample_hides_an_unfinished_pull(data, monkeypatch):
    first, *_, last = sorted((data.lake / RAW_ENROLLMENTS.name).rglob("data.parquet"))
    truncate(first)
    partition = parse_folder(last.parent.relative_to(data.lake / RAW_ENROLLMENTS.name))
    assert partition is not None
    begin_changes(data, partition, "a run that died")
    write(last, RAW_ENROLLMENTS, {"payload": "{}"}, metadata={**PROVENANCE, "run_id": "run-2"})
    monkeypatch.setattr(warehouse_file_views, "find_days", refuse_to_look_at_all)
    build(data)
    assert count_rows(data, RAW_ENROLLMENTS) == 3


@pytest.mark.usefixtures("without_comments")
def test_if_all_samples_are_damaged_all_files_are_looked_at(data, monkeypatch):
    monkeypatch.setattr(warehouse_views, "MAX_SAMPLES", 1)
    paths = sorted((data.lake / RAW_ENROLLMENTS.name).rglob("data.parquet"))
    for path in (paths[0], paths[2]):
        truncate(path)
    assert len(build(data).left_out) == 2
    assert count_rows(data, RAW_ENROLLMENTS) == 3


@pytest.mark.usefixtures("without_comments")
def test_an_account_that_a_roll_up_lacks_is_shown_with_its_latest_other_day(data):
    truncate(data.file(LEARNER_COMPLETION, Partition("acme", SECOND)))
    assert build(data).left_out
    with open_warehouse(data) as connection:
        rows = connection.sql("SELECT account_id, snapshot_date FROM learner_completion ORDER BY ALL").fetchall()
    assert rows == [("acme", FIRST), ("beta", SECOND), ("gamma", FIRST)]


@pytest.mark.usefixtures("without_comments")
def test_an_account_that_publishes_during_the_build_is_shown_with_its_day_before(data, monkeypatch):
    row = {"user_id": "u1", "n_all": 1}
    publish(data, "beta", THIRD, row, table=LEARNER_COMPLETION)
    roll_up(data)
    find_unrolled = warehouse_views._find_unrolled

    def find_and_publish(*arguments):
        publish(data, "acme", THIRD, row, table=LEARNER_COMPLETION)
        return find_unrolled(*arguments)

    monkeypatch.setattr(warehouse_views, "_find_unrolled", find_and_publish)
    build_warehouse(data, is_rolled_up=True)
    with open_warehouse(data) as connection:
        rows = connection.sql(
            "SELECT DISTINCT account_id, snapshot_date FROM learner_completion ORDER BY ALL"
        ).fetchall()
    assert rows == [("acme", SECOND), ("beta", THIRD), ("gamma", FIRST)]


@pytest.mark.usefixtures("without_comments")
def test_the_next_build_without_roll_ups_is_a_full_one(data):
    build_warehouse(data)
    build(data)
    assert not (data.state / "warehouse" / "record.msgpack").exists()
    publish(data, "acme", FIRST, {"course_id": "c9"}, table=COURSE_COMPLETION)
    build_warehouse(data)
    assert count_rows(data, COURSE_COMPLETION) == 5


@pytest.mark.usefixtures("without_comments")
def test_a_build_opens_no_file_of_an_account_but_one_of_each_schema_version(data, monkeypatch):
    roll_up(data)
    opened = []
    read_footer = files.read_footer

    def read(path):
        opened.append(path)
        return read_footer(path)

    monkeypatch.setattr(warehouse_file_views, "read_footer", read)
    build_warehouse(data, is_rolled_up=True)
    assert len([path for path in opened if "account_id=" in str(path)]) == 1
    assert UNIFIED_ENROLLMENTS.name not in {path.parts[-4] for path in opened}


@pytest.mark.usefixtures("without_comments")
class TestWithoutACurrentRollUp:
    """Days whose roll-up is missing or out of date are shown with the rows of the accounts' files."""

    @pytest.fixture
    def unrolled(self, published, tmp_path):
        """The lake without roll-ups."""
        return copy_data(published, tmp_path)

    def check(self, data, content=None):
        """Compare the warehouse with roll-ups, none of which is written first, with one without them."""
        assert build_warehouse(data, is_rolled_up=True).left_out == []
        with_them = read_content(data)
        without = content or build_without(data)
        for name in TABLES:
            assert with_them[name] == without[name], name

    def test_all_days_are_shown(self, unrolled, content):
        self.check(unrolled, content)

    def test_one_day_is_shown(self, unrolled, content):
        roll_up_day(unrolled, FIRST)
        self.check(unrolled, content)

    def test_a_latest_day_is_shown(self, unrolled, content):
        roll_up_day(unrolled, SECOND)
        self.check(unrolled, content)

    def test_a_day_that_changed_is_shown_as_it_is_now(self, data):
        build(data)
        publish_each_table(data, "delta", SECOND)
        publish(data, "beta", SECOND, enrollment("u9"))
        publish(data, "acme", SECOND, table=LEARNER_COMPLETION)  # no learner is left on the latest day
        self.check(data)

    def test_all_days_are_shown_after_the_index_was_built_again(self, data, content):
        build(data)
        rebuild_index(data)
        self.check(data, content)

    @pytest.mark.parametrize("table", [COURSE_COMPLETION, LEARNER_COMPLETION], ids=lambda table: table.name)
    def test_a_day_whose_roll_up_was_deleted_is_shown(self, data, content, table):
        build(data)
        data.roll_up(table, SECOND).unlink()
        self.check(data, content)

    def test_all_days_are_shown_if_the_folder_of_roll_ups_is_a_file(self, unrolled, content):
        unrolled.roll_ups.write_bytes(b"")
        self.check(unrolled, content)

    def test_a_day_whose_roll_up_was_cut_short_is_shown(self, data, content):
        build(data)
        truncate(data.roll_up(COURSE_COMPLETION, FIRST))
        self.check(data, content)

    def test_files_of_older_versions_are_shown(self, unrolled):
        path = unrolled.file(COURSE_COMPLETION, Partition("acme", FIRST))
        pq.write_table(pq.read_table(path, partitioning=None).select(["course_id"]).replace_schema_metadata(None), path)
        roll_up_day(unrolled, SECOND)
        self.check(unrolled)

    @pytest.mark.parametrize("table", [COURSE_COMPLETION, LEARNER_COMPLETION], ids=lambda table: table.name)
    def test_only_a_damaged_file_is_left_out(self, unrolled, table):
        path = unrolled.file(table, Partition("acme", SECOND))
        truncate(path)
        roll_up_day(unrolled, FIRST)
        [sentence] = build_warehouse(unrolled, is_rolled_up=True).left_out
        assert str(path) in sentence
        with open_warehouse(unrolled) as connection:
            rows = connection.table(table.name).project("account_id, snapshot_date").order("ALL").fetchall()
        if table == LEARNER_COMPLETION:
            assert rows == [("acme", FIRST), ("beta", SECOND), ("gamma", FIRST)]
        else:
            assert rows == [("acme", FIRST), ("beta", FIRST), ("beta", SECOND), ("gamma", FIRST)]

    def test_the_log_says_how_many(self, unrolled, caplog):
        roll_up_day(unrolled, FIRST)
        build_warehouse(unrolled, is_rolled_up=True)
        assert "1 day has no current roll-up" in caplog.text

    def test_a_day_that_left_the_lake_is_not_shown(self, data):
        build(data)
        for table in TABLES.values():
            for account in ("acme", "beta"):
                shutil.rmtree(data.file(table, Partition(account, SECOND)).parent, ignore_errors=True)
        self.check(data)
