"""The PostgreSQL database of LMS_STATE_URL: connections, transactions, schemas; errors in one sentence without the address.

Belongs here: what all tables share. Not here: the tables (`postgres_state.py`, `lake/index_postgres.py`). psycopg2 is
imported when a connection is opened: an installation on one machine does not have it.
"""

from __future__ import annotations

import hashlib
import os
import select
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from lms_pipeline.errors import SettingsError
from lms_pipeline.storage.postgres_refusals import explain_refusal, is_from_server, read_verbose_text
from lms_pipeline.storage.state import StateError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with the name of a variable
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

APPLICATION_NAME = "lms"
"""Name of pooled connections in `pg_stat_activity`."""
MAX_IDLE_CONNECTIONS = 4
"""Connections that a process keeps open while nobody uses them; each costs the server some megabytes."""
_DEFAULTS: Final = {
    "client_encoding": "UTF8",
    "target_session_attrs": "read-write",  # a lock on a standby would be no lock
    "connect_timeout": 10,
    "keepalives_idle": 10,  # a server that vanished is noticed after 10 + 3 * 5 seconds
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds, also while it owes an answer
}
_WRONG_ADDRESS = (
    "LMS_STATE_URL can't be used: it must be the address of a PostgreSQL database, like "
    "postgresql://user:password@host/database, with special characters of the password as %XX."
)
_INSUFFICIENT_PRIVILEGE = "42501"
_TRANSIENT: Final = ("08", "25", "40", "53", "55", "57", "58", "XX")
"""Classes of codes that say nothing about the statement: the connection, the transaction, the machine, an operator."""
_READ_VERSION = "SELECT digest FROM lms.scripts WHERE name = %s"
_WRITE_VERSION = """
INSERT INTO lms.scripts VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET digest = excluded.digest
"""
_CREATE = """
CREATE SCHEMA IF NOT EXISTS lms;
CREATE TABLE IF NOT EXISTS lms.scripts (name text PRIMARY KEY, digest text NOT NULL);
"""


class Database:
    """Opens connections to the database. Threads may share it; a forked process opens its own connections."""

    def __init__(self, url: SecretStr) -> None:
        self._url = url
        self._idle: deque[Connection] = deque()
        self._process = os.getpid()

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """Yield a cursor in a transaction (READ COMMITTED), which is committed at the end, or rolled back on an error.

        Raises:
            StateError: the database can't be used; the same may succeed later.
            SettingsError: psycopg2 is missing, or LMS_STATE_URL has to be changed.
        """
        with self._borrow() as connection, connection, connection.cursor() as cursor:
            yield cursor

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of one statement in a transaction of its own: one message to the server and one back.

        Raises:
            StateError, SettingsError: as `transaction`.
        """
        with self._borrow() as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def connect(self, application_name: str = APPLICATION_NAME) -> Connection:
        """Open a connection of its own, without a transaction: each statement is committed at once. The caller closes it.

        Raises:
            StateError: the database can't be reached.
            SettingsError: psycopg2 is missing, or LMS_STATE_URL has to be changed.
        """
        try:
            import psycopg2
            from psycopg2.extensions import parse_dsn
        except ImportError:
            raise SettingsError(
                'LMS_STATE_URL needs packages that are not installed: run `pip install "lms-pipeline[distributed]"`.'
            ) from None
        url = self._url.get_secret_value()
        try:
            named = parse_dsn(url)
        except psycopg2.Error:  # its message quotes parts of the address
            raise SettingsError(_WRONG_ADDRESS) from None
        options = {**_DEFAULTS, **named, "application_name": application_name[:63]}
        try:
            connection = psycopg2.connect(url, **options)
        except psycopg2.Error as error:
            if str(error).startswith("invalid "):  # a port that is no number, for example
                raise SettingsError(_WRONG_ADDRESS) from None
            verbose = read_verbose_text(url, options) if is_from_server(str(error)) else ""
            raise explain_refusal(str(error), verbose) from None
        connection.autocommit = True
        return connection

    def apply(self, name: str, script: str) -> None:
        """Run a script that makes tables and functions in the schema `lms`, unless it ran before in this version.

        Processes that begin at once run it one after the other, so it must change nothing the second time.

        Raises:
            StateError, SettingsError: as `transaction`.
        """
        digest = hashlib.sha256(script.encode()).hexdigest()
        with self.transaction() as cursor:
            cursor.execute("SELECT to_regclass('lms.scripts') IS NOT NULL")
            if cursor.fetchone() == (True,):
                cursor.execute(_READ_VERSION, [name])
                if cursor.fetchone() == (digest,):
                    return
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [hash_name("scripts")])
            cursor.execute(_CREATE)
            cursor.execute(script)
            cursor.execute(_WRITE_VERSION, [name, digest])

    @contextmanager
    def _borrow(self) -> Iterator[Connection]:
        """Yield an idle connection, or a new one; afterwards it is idle, unless it is broken."""
        connection = self._find_idle() or self.connect()
        with convert_errors():
            try:
                yield connection
            finally:
                if len(self._idle) < MAX_IDLE_CONNECTIONS:
                    self._idle.append(connection)
                else:
                    connection.close()

    def _find_idle(self) -> Connection | None:
        if self._process != os.getpid():  # the sockets are the parent's: nothing is sent, they are closed only
            self._process, self._idle = os.getpid(), deque()
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if not connection.closed and not _has_ended(connection):
                    return connection
                connection.close()
        return None


def hash_name(name: str) -> int:
    """Return the key of an advisory lock of ours: 64 bits with a sign."""
    return int.from_bytes(hashlib.sha256(f"lms {name}".encode()).digest()[:8], "big", signed=True)


@contextmanager
def convert_errors() -> Iterator[None]:
    """Raise errors of psycopg2 as one sentence, without the server's text, which may quote what was stored.

    Raises:
        StateError: the database can't be used.
        SettingsError: its user lacks a right.
    """
    import psycopg2

    try:
        yield
    except psycopg2.Error as error:
        if error.pgcode == _INSUFFICIENT_PRIVILEGE:
            raise SettingsError(
                "The user of LMS_STATE_URL lacks a right: grant it CREATE on the database, or let it own the schema lms."
            ) from None
        if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
            raise StateError(
                "The database of LMS_STATE_URL does not answer any more: check that it runs, and run it again."
            ) from None
        raise StateError(
            f"The database of LMS_STATE_URL refuses a statement ({type(error).__name__}, code {error.pgcode}): check that "
            "it is of this version and may be written.",
            may_pass=error.pgcode is None or error.pgcode[:2] in _TRANSIENT,
        ) from None


def _has_ended(connection: Connection) -> bool:
    """Return whether the server has closed an idle connection: it sends nothing else without a request."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))
