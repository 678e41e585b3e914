"""Sessions in the database of LMS_STATE_URL, by which other hosts see that the run of a command is alive.

Belongs here: holding and finding them. Not here: locks in files, which processes of one host see (`run_locks.py`).
"""

# The session has a transaction open, so that a pool of connections like PgBouncer keeps its connection to the server. It holds
# no snapshot and no lock, and does not keep the server from vacuuming. The connection of a lock that the run holds has the same
# name (`PostgresState.hold`): it counts as a session too, since a run that holds a lock is alive.

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from threading import Event
from typing import TYPE_CHECKING

from pydantic import SecretStr

from lms_pipeline.concurrency import run_beside
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.settings import Settings
from lms_pipeline.storage.postgres import APPLICATION_NAME, Database, convert_errors

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with the name of a variable

CHECK_SECONDS = 20.0
"""How often a session is checked; a lost one is opened again, long before enough checks of a launcher miss it."""
_FIND = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"


@contextmanager
def run_session(database: Database | None, run_id: str) -> Iterator[None]:
    """Hold the session of a run during the block; without a database, nothing.

    Raises:
        StateError: it can't be opened.
    """
    if database is None:
        yield
        return
    with run_beside(partial(_keep, database, run_id, _open(database, run_id)), "run session"):
        yield


def has_run_session(database: Database | None, run_id: str) -> bool | None:
    """Return whether a run has a session, or holds a lock in the database; None without a database.

    Raises:
        StateError: the database does not answer.
    """
    return None if database is None else database.query(_FIND, [_name(run_id)]) != [(0,)]


def open_database() -> Database | None:
    """Return the database that the settings of this process name, for a launcher, which Dagster gives no resource.

    Raises:
        SettingsError: the settings of this process can't be used.
    """
    url = Settings.load().state_url
    return _build_database(url) if url is not None else None


@cache
def _build_database(url: SecretStr) -> Database:
    """Return the same database each time, which keeps connections open."""
    return Database(url)


def _open(database: Database, run_id: str) -> Connection:
    connection = database.connect(_name(run_id))
    with convert_errors(), connection.cursor() as cursor:
        cursor.execute("BEGIN")
    return connection


def _keep(database: Database, run_id: str, connection: Connection, ended: Event) -> None:
    """Check a session until the run has ended; open a lost one again."""
    while not ended.wait(CHECK_SECONDS):
        with suppress(LmsPipelineError):  # it is tried again at the next check
            if not _is_open(connection):
                connection = _open(database, run_id)
    connection.close()


def _is_open(connection: Connection) -> bool:
    try:
        with convert_errors(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except LmsPipelineError:
        connection.close()
        return False
    return True


def _name(run_id: str) -> str:
    return f"{APPLICATION_NAME} {run_id}"
