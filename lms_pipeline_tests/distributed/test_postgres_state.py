"""The state in PostgreSQL: it does what the one in files does, and its locks end with their processes."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.errors import SettingsError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.storage.file_state import FileState
from lms_pipeline.storage.opening import open_storage
from lms_pipeline.storage.postgres import Database
from lms_pipeline.storage.postgres_state import PostgresState
from lms_pipeline.storage.rate_limit import RateLimit
from lms_pipeline.storage.state import HeldError, LostLockError
from lms_pipeline_tests.support.state_behaviour import FIRST, StateBehaviour, read_ids, sync

pytestmark = pytest.mark.distributed
ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from pydantic import SecretStr
from lms_pipeline.storage.opening import open_storage
from lms_pipeline.storage.state import LostLockError
state = open_storage(Path(sys.argv[1]), None, SecretStr(sys.argv[2])).state
with state.hold("pulls/a", "run-1") as held:
    print("holds", flush=True)
    for _ in sys.stdin:
        try:
            held.check()
            print("holds", flush=True)
        except LostLockError as error:
            print(error, flush=True)
"""
"""Holds a lock, and says at each line of stdin whether it still does."""
REMEMBER = """
import sys
from pathlib import Path
from pydantic import SecretStr
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.errors import SettingsError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.storage.opening import open_storage
root = Path(sys.argv[1])
registry = Registry(DataDir(root, open_storage(root, None, SecretStr(sys.argv[2]))))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3]), 1_000, 16):
    registry.remember_strategy(f"a{number}", "sweep", f"why {number}")
"""
"""Stores the strategies of every sixteenth account."""


class TestPostgresState(StateBehaviour):
    @pytest.fixture
    def open_state(self, state_url, tmp_path):
        numbers = iter(range(1_000))

        def opened():  # each is of another machine
            return PostgresState(Database(SecretStr(state_url)), FileState(tmp_path / f"machine{next(numbers)}"), None)

        return opened


@pytest.fixture
def state(state_url, tmp_path):
    return open_storage(tmp_path / "here", None, SecretStr(state_url)).state


@pytest.fixture
def holder(state_url, tmp_path):
    """A process on another machine that holds the lock `pulls/a`."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "there"), state_url]
    process: Any = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "holds\n"
    yield process
    process.kill()
    process.communicate()


def ask(holder):
    holder.stdin.write("\n")
    holder.stdin.flush()
    return holder.stdout.readline().strip()


def end_session(state_url, name):
    """End the connection with this name on the server, as an administrator or a restart does, and wait for it."""
    watcher = Database(SecretStr(state_url))
    find = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
    [(pid,)] = watcher.query(find, [name])
    watcher.query("SELECT pg_terminate_backend(%s, 10000)", [pid])


@contextmanager
def hold_in_time(state):
    """Hold the lock once the server has noticed the end of its holder."""
    for _ in range(1_000):
        try:
            with state.hold("pulls/a") as held:
                yield held
                return
        except HeldError:
            os.sched_yield()
    pytest.fail("the lock is not given back")


def test_a_killed_holder_gives_its_lock_back(state, holder):
    with pytest.raises(HeldError), state.hold("pulls/a"):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with hold_in_time(state):
        pass


def test_a_stopped_holder_keeps_its_lock_until_the_server_ends_its_connection(state, holder, state_url):
    os.kill(holder.pid, signal.SIGSTOP)
    with pytest.raises(HeldError), state.hold("pulls/a"):
        pass
    end_session(state_url, "lms run-1")
    with state.hold("pulls/a") as held:
        os.kill(holder.pid, signal.SIGCONT)
        assert ask(holder).startswith(
            "The lock pulls/a is lost, since the database of LMS_STATE_URL ended the connection"
        )
        held.check()


def test_a_lost_lock_is_one_sentence_and_stays_lost(state, state_url):
    with state.hold("pulls/a", "run-2") as held:
        held.check()
        end_session(state_url, "lms run-2")
        for _ in range(2):
            with pytest.raises(
                LostLockError, match=r"^The lock pulls/a is lost, .*: nothing was published, run it again\.$"
            ):
                held.check()
    with state.hold("pulls/a"):
        pass


def test_a_lock_that_was_checked_a_short_time_ago_is_not_checked_again(state, state_url):
    with state.hold("pulls/a", "run-2") as held:
        end_session(state_url, "lms run-2")
        held.check(after_seconds=60)


def test_the_end_of_a_lock_is_not_late(state):
    is_held = []
    for _ in range(50):
        with state.hold("pulls/a"):
            pass
        is_held.append(state.is_held("pulls/a"))
    assert is_held == [False] * 50


def test_a_machine_holds_its_scratch_folder_while_its_lock_is_lost(state, state_url, tmp_path):
    with state.hold("pulls/a", "run-2"):
        end_session(state_url, "lms run-2")
        with pytest.raises(HeldError), state.hold("pulls/a"):
            pass
        elsewhere = open_storage(tmp_path / "there", None, SecretStr(state_url)).state
        with elsewhere.hold("pulls/a"):
            pass


def test_a_thousand_strategies_are_remembered_at_once_beside_the_sync(state_url, tmp_path):
    ids = [f"a{number}" for number in range(1_000)]
    registry = Registry(DataDir(tmp_path, open_storage(tmp_path, None, SecretStr(state_url))))
    sync(registry, *ids)
    command = [sys.executable, "-c", REMEMBER, str(tmp_path), state_url]
    processes: list[Any] = [
        subprocess.Popen([*command, str(part)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for part in range(16)
    ]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 16
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    new, rounds = [], 0
    while any(process.poll() is None for process in processes):
        rounds += 1
        ids = [*ids[::-1], f"new{rounds}"]
        new += sync(registry, *ids)
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * 16
    assert {one.why for one in registry.read_accounts()[:1_000]} == {f"why {number}" for number in range(1_000)}
    assert new == [f"new{number + 1}" for number in range(rounds)] == read_ids(registry)[1_000:]


def test_the_tables_are_made_once_however_many_processes_begin(state_url, tmp_path):
    script = HOLDER.replace('state.hold("pulls/a", "run-1") as held', "state.lock('all')").replace(
        "for _ in sys.stdin", "if 0"
    )
    command = [sys.executable, "-c", script, str(tmp_path), state_url]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) for _ in range(6)
    ]
    assert [process.communicate()[0] for process in processes] == [b"holds\n"] * 6


def test_old_notes_of_pulls_and_old_calls_are_removed(state, state_url):
    for name in ("pulls/a/d1/old.json", "pulls/a/d1/new.json", "alerts.json"):
        state.write_note(name, b"1")
    for name in ("hour-old", "hour-new"):
        state.open_limiter(name, RateLimit(1, 60, "the test")).acquire()
    database = Database(SecretStr(state_url))
    database.query("UPDATE lms.notes SET changed_at = now() - interval '3 days' WHERE name <> 'pulls/a/d1/new.json'")
    database.query("UPDATE lms.slots SET at = now() - interval '3 days' WHERE name = 'hour-old'")
    state.remove_old(datetime.now(UTC) - timedelta(days=2))
    assert database.query("SELECT name FROM lms.notes ORDER BY name") == [("alerts.json",), ("pulls/a/d1/new.json",)]
    assert database.query("SELECT name FROM lms.slots") == [("hour-new",)]


def test_a_copy_of_the_registry_is_that_of_a_disk_and_never_empty(state_url, tmp_path):
    local, shared = DataDir(tmp_path / "alone"), DataDir(tmp_path, open_storage(tmp_path, None, SecretStr(state_url)))
    Registry(shared).store_copy()
    assert not shared.registry.exists()
    for data in (local, shared):
        sync(Registry(data), "b", "a")
        Registry(data).store_copy()
    assert shared.registry.read_bytes() == local.registry.read_bytes()


def test_an_older_registry_of_a_disk_does_not_count(state_url, tmp_path):
    Registry(DataDir(tmp_path)).add("old", name=None, first_day=FIRST)
    assert Registry(DataDir(tmp_path, open_storage(tmp_path, None, SecretStr(state_url)))).read_accounts() == []


@pytest.mark.parametrize(("other", "named"), [(None, "not set"), ("s3://lms/other", "s3://lms/other")])
def test_a_database_is_that_of_one_lake(state_url, tmp_path, other, named):
    database, local = Database(SecretStr(state_url)), FileState(tmp_path)
    for _ in range(2):
        PostgresState(database, local, "s3://lms/lake").read_registry()
    with pytest.raises(SettingsError, match=f"belongs to the lake s3://lms/lake, and LMS_LAKE_URL is {named}: set it"):
        PostgresState(database, local, other).read_registry()
