"""The index in PostgreSQL: it does what the one in a file does, and its tables are made when they are missing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from pydantic import SecretStr

from lms_pipeline.lake import index_postgres
from lms_pipeline.lake.index import DamagedIndexError, PublishedDay
from lms_pipeline.lake.index_file import open_index
from lms_pipeline.lake.index_postgres import IndexPostgres
from lms_pipeline.lake.index_sync import begin_changes, noting_changes, read_index, rebuild_index
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.storage.opening import open_local_storage
from lms_pipeline.storage.postgres import Database
from lms_pipeline_tests.lake.test_index import scan
from lms_pipeline_tests.support.bucket import FolderBucket
from lms_pipeline_tests.support.index_behaviour import ACME, BETA, FIRST, IndexBehaviour, put, sign
from lms_pipeline_tests.support.lake_files import enrollment, publish

pytestmark = pytest.mark.distributed
TABLES = ["published", "published_days", "pending_publications", "roll_ups", "index_marks", "index_state"]


@pytest.fixture
def state(state_url):
    """The database of an installation, without tables."""
    return Database(SecretStr(state_url))


def make_tables(state):
    with pytest.raises(DamagedIndexError) as missing, IndexPostgres(state) as index:
        index.read_state()
    missing.value.set_aside()


class TestIndexPostgres(IndexBehaviour):
    @pytest.fixture
    def open_index(self, state):
        make_tables(state)
        return partial(IndexPostgres, state)

    def test_looks_at_other_partitions_at_the_same_time(self, open_index):
        both = threading.Barrier(2, timeout=30)

        def observe(one, _stored):
            both.wait()
            return PublishedDay(one, sign("courses"))

        with ThreadPoolExecutor(2) as threads:
            updates = [threads.submit(open_index().update, [one], observe) for one in (ACME, BETA)]
            assert [update.result() for update in updates] == [1, 1]

    def test_makes_its_tables_once_however_many_processes_begin(self, state, open_index):
        with open_index() as index:
            put(index, ACME)
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(lambda _: index._make_tables(), range(8)))
            assert len(index.find()) == 1


class TestPlans:
    """No query of a reader passes over all rows."""

    @pytest.fixture
    def plans(self, state, monkeypatch):
        """The plan of each query, over 300 accounts with 100 days each."""
        make_tables(state)
        with state.transaction() as cursor:
            cursor.execute(
                "INSERT INTO lms.published SELECT '2026-01-01'::date + day, 'a' || account, day * 300 + account, 255, "
                "convert_to(repeat('x', 192), 'UTF8'), 4 FROM generate_series(1, 100) AS day, generate_series(1, 300) AS account"
            )
            cursor.execute("ANALYZE lms.published")
        plans: list[str] = []
        read = index_postgres._CursorStatements.read

        def explain_and_read(statements, query, values=()):
            plans.extend(line for (line,) in read(statements, f"EXPLAIN {query}", values))
            return read(statements, query, values)

        monkeypatch.setattr(index_postgres._CursorStatements, "read", explain_and_read)
        return plans

    @pytest.mark.parametrize(
        "read",
        [
            lambda index: index.find(day=FIRST),
            lambda index: index.find(account_id="a7"),
            lambda index: index.find(since=29_900),
            lambda index: index.find_account_days("courses", "a7"),
            lambda index: index.find_latest_days("courses"),
            lambda index: index.find_next_accounts("a7", 100),
            lambda index: index.find_tables(),
        ],
        ids=["day", "account", "since", "account's days", "latest days", "next accounts", "tables"],
    )
    def test_use_an_index(self, plans, state, read):
        with IndexPostgres(state) as index:
            assert read(index)
        assert any("published_" in line for line in plans)
        assert [line for line in plans if "Seq Scan on published" in line] == []


class TestOfABucket:
    @pytest.fixture
    def data(self, tmp_path, state):
        return open_data(tmp_path, "scratch", state)

    @pytest.fixture
    def published(self, data, tmp_path):
        """A snapshot in the bucket, published by a run of this machine."""
        with noting_changes(data, ACME, "a run"):
            publish(DataDir(tmp_path / "bucket"), "acme", FIRST, enrollment("u1"))

    @pytest.mark.usefixtures("published")
    def test_is_in_the_database(self, data):
        assert isinstance(open_index(data), IndexPostgres)
        assert find(data) == scan(data) != {}
        assert not data.index.exists()

    @pytest.mark.usefixtures("published")
    def test_is_seen_by_a_machine_that_never_pulled(self, data, tmp_path, state):
        assert find(open_data(tmp_path, "other", state)) == find(data) != {}

    @pytest.mark.usefixtures("published")
    @pytest.mark.parametrize("table", TABLES)
    def test_is_built_again_without_one_of_its_tables(self, data, state, table):
        with state.transaction() as cursor:
            cursor.execute(f"DROP TABLE lms.{table}")
        assert find(data) == scan(data) != {}

    @pytest.mark.usefixtures("published")
    def test_is_built_again_without_a_column(self, data, state):
        with state.transaction() as cursor:
            cursor.execute("ALTER TABLE lms.published DROP COLUMN schema_version")
        assert find(data) == scan(data) != {}

    @pytest.mark.usefixtures("published")
    def test_is_built_again_by_the_command(self, data):
        begin_changes(data, BETA, "a run")
        assert rebuild_index(data) == 1
        assert [one.owner for one in read_index(data, lambda index: index.find_pending(), is_compared=False)] == [
            "a run"
        ]
        assert find(data) == scan(data)

    def test_of_a_lake_on_a_disk_is_on_that_disk(self, tmp_path, state):
        data = DataDir(tmp_path, replace(open_local_storage(tmp_path), database=state))
        publish(data, "acme", FIRST, enrollment("u1"))
        assert find(data) == scan(data) != {}
        assert data.index.exists()


def open_data(folder, scratch, state):
    """Open the data directory of a machine."""
    storage = replace(
        open_local_storage(folder / scratch), store=FolderBucket(folder / scratch, folder / "bucket"), database=state
    )
    return DataDir(folder / scratch, storage)


def find(data):
    """Return the signatures in the index by folder."""
    days = read_index(data, lambda index: index.find())
    return {day.partition.folder.as_posix(): day.signatures for day in days}
