"""Dagster's event log with open connections: the same files and the same content as Dagster's own storage."""

import logging
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy import event
from sqlalchemy.pool import Pool

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.event_log import CONFIG_LINES, MAX_OPEN_FILES, LocalEventLogStorage, find_missing_config
from lms_pipeline.defs.instance import open_instance, run_partitions
from lms_pipeline.lake.paths import Partition
from lms_pipeline_tests.defs.conftest import DAY

NORTH = Partition("north", DAY)


def build_event(run_id, text="hello"):
    return dg.EventLogEntry(
        error_info=None, level=logging.INFO, user_message=text, run_id=run_id, timestamp=1.0, job_name="job"
    )


def read_texts(storage, run_id):
    return [entry.user_message for entry in storage.get_logs_for_run(run_id)]


def find_open_logs(folder):
    """Return the event log files that this process has open."""
    paths = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return {path.stem for path in paths if path.parent == folder and path.suffix == ".db"}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def storage(folder):
    opened = LocalEventLogStorage(str(folder))
    yield opened
    opened.dispose()


class TestFiles:
    def test_written_here_are_read_by_dagsters_own_storage(self, storage, folder):
        storage.store_event(build_event("run"))
        assert read_texts(SqliteEventLogStorage(str(folder)), "run") == ["hello"]

    def test_written_by_dagsters_own_storage_are_read_here(self, storage, folder):
        SqliteEventLogStorage(str(folder)).store_event(build_event("run"))
        assert read_texts(storage, "run") == ["hello"]

    def test_have_the_tables_and_the_journal_of_dagsters_own(self, storage, tmp_path, folder):
        storage.store_event(build_event("run"))
        SqliteEventLogStorage(str(tmp_path / "own")).store_event(build_event("run"))
        assert read_schema(folder / "run.db") == read_schema(tmp_path / "own" / "run.db")

    def test_are_known_to_dagster_as_those_of_runs_only(self, storage):
        for run_id in ("one", "two"):
            storage.store_event(build_event(run_id))
        assert {*storage.get_all_run_ids()} == {"one", "two"}

    def test_stay_as_they_are_when_dagster_migrates(self, storage, folder):
        storage.store_event(build_event("run"))
        schema = read_schema(folder / "run.db")
        storage.upgrade()
        assert (read_schema(folder / "run.db"), read_texts(storage, "run")) == (schema, ["hello"])

    def test_are_created_without_hard_links_too(self, storage, folder, monkeypatch, tmp_path):
        def refuse(*_paths):
            raise PermissionError

        monkeypatch.setattr(os, "link", refuse)
        storage.store_event(build_event("run"))
        SqliteEventLogStorage(str(tmp_path / "own")).store_event(build_event("run"))
        assert read_schema(folder / "run.db") == read_schema(tmp_path / "own" / "run.db")
        assert list(folder.glob("*.new")) == []

    def test_that_another_process_created_meanwhile_keep_its_events(self, storage, folder, monkeypatch):
        link = os.link

        def be_late(new, path):
            SqliteEventLogStorage(str(folder)).store_event(build_event("run", "first"))
            link(new, path)

        monkeypatch.setattr(os, "link", be_late)
        storage.store_event(build_event("run", "second"))
        assert read_texts(storage, "run") == ["first", "second"]

    def test_that_were_removed_are_empty_when_read_again(self, storage, folder):
        storage.store_event(build_event("run"))
        remove(folder, "run")
        assert read_texts(storage, "run") == []

    def test_that_were_replaced_are_opened_again(self, storage, folder, tmp_path):
        storage.store_event(build_event("run", "old"))
        SqliteEventLogStorage(str(tmp_path / "other")).store_event(build_event("run", "new"))
        remove(folder, "run")
        (tmp_path / "other" / "run.db").replace(folder / "run.db")
        assert read_texts(storage, "run") == ["new"]

    def test_stay_open_up_to_a_number_of_them(self, storage, folder):
        for number in range(MAX_OPEN_FILES + 5):
            storage.store_event(build_event(f"run{number}"))
        storage.get_asset_records()
        assert len(find_open_logs(folder)) <= MAX_OPEN_FILES
        assert [read_texts(storage, f"run{number}") for number in range(MAX_OPEN_FILES + 5)] == [["hello"]] * 13

    def test_are_closed_with_the_storage(self, storage, folder):
        storage.store_event(build_event("run"))
        assert find_open_logs(folder) == {"index", "run"}
        storage.dispose()
        assert find_open_logs(folder) == set()

    def test_show_each_event_to_those_who_watch_them(self, storage, folder):
        storage.store_event(build_event("run", "first"))
        watcher = LocalEventLogStorage(str(folder))
        seen, texts = Event(), []

        def receive(entry, _cursor):
            texts.append(entry.user_message)
            seen.set()

        watcher.watch("run", None, receive)
        storage.store_event(build_event("run", "second"))
        assert seen.wait(20)
        watcher.end_watch("run", receive)
        watcher.dispose()
        assert texts[:2] == ["first", "second"]

    def test_are_complete_after_several_threads_wrote_at_once(self, storage):
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda number: storage.store_event(build_event(f"run{number % 3}")), range(60)))
        assert [len(read_texts(storage, f"run{number}")) for number in range(3)] == [20, 20, 20]


def read_schema(path):
    with sqlite3.connect(path) as connection:
        tables = connection.execute("select name, sql from sqlite_master order by name").fetchall()
        revision = connection.execute("select version_num from alembic_version").fetchall()
        return tables, revision, connection.execute("pragma journal_mode").fetchone()


def remove(folder, run_id):
    for path in folder.glob(f"{run_id}.db*"):
        path.unlink()


def test_a_failed_transaction_does_not_disturb_the_next_one(storage):
    storage.store_event(build_event("run"))
    with pytest.raises(ZeroDivisionError), storage.run_connection("run"):
        raise ZeroDivisionError
    storage.store_event(build_event("run", "again"))
    assert read_texts(storage, "run") == ["hello", "again"]


@pytest.fixture
def connections():
    """Counts the connections of all engines, by file."""
    opened: list[str] = []

    def count(connection, _record):
        ((_, _, path),) = connection.execute("pragma database_list").fetchall()
        opened.append(Path(path).stem)

    event.listen(Pool, "connect", count)
    yield opened
    event.remove(Pool, "connect", count)


@pytest.mark.usefixtures("registry")
def test_a_run_opens_its_log_and_the_index_a_few_times_only(settings, instance, connections):
    assert [run.error for run in run_partitions(build_defs(settings), instance, [NORTH])] == [None]
    run_id = instance.get_runs()[0].run_id
    assert connections.count(run_id) <= 3
    assert connections.count("index") <= 6  # four open the storage, the others check for a table


class TestTheConfig:
    def test_of_a_new_home_selects_the_storage(self, instance):
        assert isinstance(instance.event_log_storage, LocalEventLogStorage)
        assert find_missing_config(instance) is None

    def test_finds_the_files_of_its_home_whatever_the_environment_says(self, tmp_path, make_home, monkeypatch):
        make_home(tmp_path / "home")
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "other"))
        with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
            instance.report_runless_asset_event(dg.AssetMaterialization("a"))
            assert isinstance(instance.event_log_storage, LocalEventLogStorage)
            assert Path(instance.event_log_storage.path_for_shard("")).parent == tmp_path / "home" / "history" / "runs"
        assert not (tmp_path / "other").exists()

    @pytest.fixture
    def old_home(self, settings, make_home):
        """A home whose `dagster.yaml` was written before the storage existed."""
        make_home(settings.dagster_home)
        config = settings.dagster_home / "dagster.yaml"
        text = config.read_text()
        assert CONFIG_LINES in text
        config.write_text(text.replace(CONFIG_LINES, ""))
        return config.read_bytes()

    def test_of_an_existing_home_stays_and_works_as_before(self, settings, old_home, registry):
        with open_instance(settings) as instance:
            runs = run_partitions(build_defs(settings), instance, [NORTH], ["unified_enrollments"])
            assert [run.error for run in runs] == [None]
            assert find_missing_config(instance) == CONFIG_LINES
        assert (settings.dagster_home / "dagster.yaml").read_bytes() == old_home

    def test_with_the_lines_added_keeps_what_was_recorded(self, settings, old_home, registry):
        with open_instance(settings) as instance:
            runs = run_partitions(build_defs(settings), instance, [NORTH], ["unified_enrollments"])
            assert [run.error for run in runs] == [None]
            entries = len(instance.all_logs(instance.get_runs()[0].run_id))
        (settings.dagster_home / "dagster.yaml").write_text(old_home.decode() + CONFIG_LINES)
        with open_instance(settings) as instance:
            assert isinstance(instance.event_log_storage, LocalEventLogStorage)
            assert len(instance.all_logs(instance.get_runs()[0].run_id)) == entries
            assert instance.get_materialized_partitions(dg.AssetKey("unified_enrollments")) == {f"north|{DAY}"}
