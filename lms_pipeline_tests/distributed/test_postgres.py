"""The connections of a process to PostgreSQL: shared by its threads, replaced when they ended, rolled back on an error."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from pydantic import SecretStr

from lms_pipeline.storage.postgres import MAX_IDLE_CONNECTIONS, Database

pytestmark = pytest.mark.distributed
COUNT = "SELECT count(*) FROM one"
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'lms' AND datname = current_database()"


@pytest.fixture
def database(state_url):
    return Database(SecretStr(state_url))


@pytest.fixture
def other(state_url):
    return Database(SecretStr(state_url))


def test_a_transaction_that_fails_changes_nothing_and_the_next_one_works(database):
    database.query("CREATE TABLE one (a int)")

    def fail():
        with database.transaction() as cursor:
            cursor.execute("INSERT INTO one VALUES (1)")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO one VALUES (2)")
    assert database.query("SELECT a FROM one") == [(2,)]


def test_one_connection_serves_statements_one_after_the_other(database):
    assert len({database.query("SELECT pg_backend_pid()")[0] for _ in range(5)}) == 1


def test_threads_at_once_have_connections_of_their_own_of_which_few_stay(database, other):
    barrier = Barrier(2 * MAX_IDLE_CONNECTIONS, timeout=30)

    def use(_number):
        with database.transaction() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            barrier.wait()
            return cursor.fetchone()

    with ThreadPoolExecutor(2 * MAX_IDLE_CONNECTIONS) as threads:
        used = set(threads.map(use, range(2 * MAX_IDLE_CONNECTIONS)))
    assert len(used) == 2 * MAX_IDLE_CONNECTIONS
    while len(other.query(SESSIONS)) > MAX_IDLE_CONNECTIONS + 1:  # the server ends the others after a moment
        os.sched_yield()


def test_a_connection_that_the_server_ended_while_it_was_idle_is_replaced(database, other):
    [(before,)] = database.query("SELECT pg_backend_pid()")
    other.query("SELECT pg_terminate_backend(%s, 10000)", [before])
    assert database.query("SELECT pg_backend_pid() <> %s", [before]) == [(True,)]


def test_a_forked_process_does_not_use_the_connection_of_its_parent(database):
    database.query("CREATE TABLE one (a int)")
    [parent] = database.query("SELECT pg_backend_pid()")
    child = os.fork()
    if child == 0:
        database.query("INSERT INTO one SELECT pg_backend_pid()")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert database.query("SELECT pg_backend_pid()") == [parent]
    assert database.query("SELECT a FROM one") != [parent]


def test_a_script_runs_once_in_each_version(database, other):
    script = "CREATE TABLE lms.one (a int)"
    database.apply("one", script)
    other.apply("one", script)  # it would fail the second time
    database.apply("one", "CREATE TABLE IF NOT EXISTS lms.one (a int); ALTER TABLE lms.one ADD b int")
    assert database.query("SELECT a, b FROM lms.one") == []


def test_no_text_of_a_database_has_its_address(database, state_url):
    database.query("SELECT 1")
    assert state_url not in f"{database!r} {vars(database)!r} {vars(database)}"
