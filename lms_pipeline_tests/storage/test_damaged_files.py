"""Damaged files of the state folder: those that cost nothing to lose are begun again, the registry is not."""

from __future__ import annotations

import logging
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from lms_pipeline.accounts.registry import AccountDropError, Registry
from lms_pipeline.accounts.sync import read_refusal, sync_with_truto
from lms_pipeline.alerts import Alerts, RunFailure
from lms_pipeline.connection import RefusedTokenFlag, TokenRefusedError
from lms_pipeline.defs.run_locks import LockState, hold_run_lock, probe_run_lock, run_lock
from lms_pipeline.errors import LakeError, LmsPipelineError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse, read_left_out
from lms_pipeline.settings import Settings
from lms_pipeline.storage.damaged_files import DamagedDatabaseError, is_database_damage, set_aside
from lms_pipeline.storage.file_state import FileState
from lms_pipeline.storage.state import read_json_note
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.damages import TEXT_DAMAGES, put_folder
from lms_pipeline_tests.support.lake_files import FIRST, enrollment, publish
from lms_pipeline_tests.support.scripted_api import ScriptedClient, page
from lms_pipeline_tests.support.warehouse_builds import leaving_out_comments

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
damages = pytest.mark.parametrize("damage", TEXT_DAMAGES.values(), ids=TEXT_DAMAGES)


@pytest.fixture
def data(tmp_path):
    data = DataDir(tmp_path)
    data.state.mkdir()
    return data


def spoil(path, damage):
    path.write_text('{"a": "file of this name"}')
    damage(path)


def list_warnings(caplog, path):
    return [one for one in caplog.records if str(path) in one.getMessage() and one.levelno == logging.WARNING]


@damages
def test_a_damaged_record_of_alerts_sends_each_failure_once_more(data, caplog, monkeypatch, damage):
    sent = []
    monkeypatch.setattr(Alerts, "_send", lambda _self, text: sent.append(text))
    failure = RunFailure("acme", "acme on 2026-03-01", "The disk is full.", "run-1")
    assert Alerts(data, "http://127.0.0.1/").send_once(failure)
    spoil(data.sent_alerts, damage)
    assert [Alerts(data, "http://127.0.0.1/").send_once(failure) for _ in range(2)] == [True, False]
    assert len(list_warnings(caplog, data.sent_alerts)) == 1


@damages
def test_a_damaged_flag_refuses_no_token_and_can_be_set_again(data, caplog, damage):
    flag = RefusedTokenFlag(data, "token", "https://api.example.org")
    spoil(data.token_refused, damage)
    flag.check()
    flag.check()
    assert len(list_warnings(caplog, data.token_refused)) == 1
    flag.set()
    with pytest.raises(TokenRefusedError):
        flag.check()
    flag.clear()
    flag.check()


@pytest.mark.parametrize("use", [RefusedTokenFlag.set, RefusedTokenFlag.clear])
def test_a_folder_in_place_of_the_flag_stops_nobody(data, use):
    put_folder(data.token_refused)
    use(RefusedTokenFlag(data, "token", "https://api.example.org"))
    assert not data.token_refused.is_dir()


@pytest.fixture(scope="class")
def without_comments():
    with leaving_out_comments():
        yield


@pytest.mark.usefixtures("without_comments")
@damages
def test_a_damaged_list_of_left_out_files_is_written_again(data, caplog, damage):
    publish(data, "acme", FIRST, enrollment("u1"), table=UNIFIED_ENROLLMENTS)
    spoil(data.left_out, damage)
    assert [read_left_out(data) for _ in range(2)] == [[], []]
    assert len(list_warnings(caplog, data.left_out)) == 1
    put_folder(data.left_out)
    build_warehouse(data)
    assert msgspec.json.decode(data.left_out.read_bytes()) == []


@pytest.mark.usefixtures("without_comments")
@damages
@pytest.mark.parametrize(
    "name", ["lms.duckdb", "lms.duckdb.wal", "state/warehouse/lms-old.duckdb", "state/warehouse/lock"]
)
def test_a_damaged_warehouse_is_built_again(data, damage, name):
    publish(data, "acme", FIRST, enrollment("u1"), table=UNIFIED_ENROLLMENTS)
    (data.state / "warehouse").mkdir()
    spoil(data.root / name, damage)
    build_warehouse(data)
    build_warehouse(data)
    with open_warehouse(data) as connection:
        assert len(connection.table("unified_enrollments")) == 1


@pytest.mark.usefixtures("without_comments")
@damages
def test_a_damaged_warehouse_is_one_sentence_for_a_reader(data, damage):
    publish(data, "acme", FIRST, enrollment("u1"), table=UNIFIED_ENROLLMENTS)
    build_warehouse(data)
    damage(data.warehouse.resolve())
    with pytest.raises(LmsPipelineError, match=r"can't be opened|was built for another folder"), open_warehouse(data):
        pass


@damages
def test_a_damaged_refusal_stops_no_list_of_accounts(data, damage):
    settings = Settings(data_dir=data.root, frozen_now=NOW)
    spoil(data.accounts_refused, damage)
    assert read_refusal(data) is not None
    with pytest.raises(AccountDropError):
        sync_with_truto(lambda: ScriptedClient(page()), Registry(data), settings)
    refusal = read_refusal(data)
    assert refusal is not None
    assert "Truto lists no account" in refusal.sentence
    spoil_folder(data.accounts_refused)
    sync_with_truto(lambda: ScriptedClient(page()), Registry(data), settings, allow_drop=True)
    assert read_refusal(data) is None


def spoil_folder(path):
    path.unlink(missing_ok=True)
    put_folder(path)


@damages
def test_a_lock_may_hold_anything(tmp_path, damage):
    instance: Any = SimpleNamespace(root_directory=str(tmp_path), get_run_by_id=lambda _run_id: None)
    path = tmp_path / "run_locks" / "run-1.lock"
    path.parent.mkdir()
    spoil(path, damage)
    assert probe_run_lock(instance, "run-1") is LockState.FREE
    spoil_folder(path)
    with run_lock(instance, "run-1"):
        hold_run_lock(instance, "run-1")


@damages
def test_a_damaged_registry_is_one_sentence_and_stays(data, damage):
    spoil(data.registry, damage)
    before = None if data.registry.is_dir() else data.registry.read_bytes()
    for use in (Registry.read_accounts, lambda one: one.add("acme", name=None, first_day=FIRST)):
        with pytest.raises(
            LmsPipelineError, match=rf"^The registry {data.registry} (is damaged: restore it|can't be read)"
        ):
            use(Registry(data))
    assert data.registry.is_dir() or data.registry.read_bytes() == before


def test_the_registry_does_without_its_lock_file(data):
    put_folder(data.registry.with_suffix(".lock"))
    assert Registry(data).add("acme", name=None, first_day=FIRST).id == "acme"


def test_one_copy_is_kept_and_it_keeps_its_mode(tmp_path):
    path = tmp_path / "state.json"
    for content in (b"1", b"2"):
        path.write_bytes(content)
        path.chmod(0o600)
        set_aside(path, "it is odd", "it is written again")
    assert [one.name for one in tmp_path.iterdir()] == ["state.json.damaged"]
    assert (tmp_path / "state.json.damaged").read_bytes() == b"2"
    assert stat.S_IMODE((tmp_path / "state.json.damaged").stat().st_mode) == 0o600


def test_a_file_that_another_process_set_aside_is_no_error(tmp_path, caplog):
    set_aside(tmp_path / "state.json", "it is odd", "it is written again")
    assert caplog.records == []


def test_a_file_that_can_not_be_read_is_not_damaged(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    path.write_bytes(b"[]")

    def refuse(_self):
        raise PermissionError

    monkeypatch.setattr(type(path), "read_bytes", refuse)
    with pytest.raises(LakeError):
        read_json_note(FileState(tmp_path), "state.json", list[str], "it is written again")
    assert path.exists()


def use_closed(database):
    database.close()
    database.execute("SELECT 1")


def read_text(database):
    database.execute("SELECT CAST(x'ff' AS TEXT)").fetchall()


def check_content(_database):
    raise DamagedDatabaseError


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (use_closed, False),
        (lambda database: database.execute("SELECT ?", []), False),
        (lambda database: database.execute("SELECT 1; SELECT 2"), False),
        (lambda database: database.execute("SELECT ?", [object()]), False),
        (lambda database: database.execute("SELECT 1 FROM missing"), True),
        (read_text, True),
        (check_content, True),
    ],
)
def test_a_wrong_use_of_a_database_is_no_damage(tmp_path, use, expected):
    database = sqlite3.connect(":memory:")
    with closing(database), pytest.raises(sqlite3.Error) as caught:
        use(database)
    assert is_database_damage(caught.value, tmp_path / "calls.sqlite") is expected
