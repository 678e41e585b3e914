"""The state in PostgreSQL, for an installation on several machines: see `State`.

Belongs here: locks, notes and the registry in the schema `lms`. Not here: the connections (`postgres.py`), the limiter
(`postgres_rate_limit.py`), the tables (`state.sql`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from importlib.resources import files
from threading import Lock
from typing import TYPE_CHECKING, Final

from lms_pipeline.concurrency import wait
from lms_pipeline.errors import SettingsError
from lms_pipeline.storage.damaged_files import SUFFIX
from lms_pipeline.storage.postgres import APPLICATION_NAME, Database, convert_errors, hash_name
from lms_pipeline.storage.postgres_rate_limit import PostgresRateLimiter
from lms_pipeline.storage.rate_limit import RateLimit
from lms_pipeline.storage.state import REGISTRY, HeldError, HeldLock, LostLockError, RegistryEdit, State

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with the name of a variable
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

log = logging.getLogger(__name__)

LAKE_NOTE = "lake"
"""The note with the address of the bucket whose state it is."""
TRY_AGAIN_SECONDS = 0.1
"""Pause between two tries for a lock: a wait in the server would not end with Ctrl-C."""
# a transaction that waits is no mistake here; a machine that vanished gives its lock back after 25 seconds
_KEEP_OPEN = """
SELECT set_config(name, value, true) FROM pg_settings JOIN (VALUES
  ('idle_in_transaction_session_timeout', '0'), ('transaction_timeout', '0'),
  ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3')
) AS options (name, value) USING (name)
"""
_TRY_LOCK = "SELECT pg_try_advisory_xact_lock(%s)"
_IS_HELD = """
SELECT EXISTS (
  SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint << 32) | objid::bigint = %s
)
"""
_READ_NOTE = "SELECT content FROM lms.notes WHERE name = %s"
_FIND_NOTES = "SELECT name, content FROM lms.notes WHERE name LIKE %s"
_WRITE_NOTE = """
INSERT INTO lms.notes VALUES (%s, %s, now())
ON CONFLICT (name) DO UPDATE SET content = excluded.content, changed_at = excluded.changed_at
"""
_NOTE_ONCE = "INSERT INTO lms.notes VALUES (%s, %s, now()) ON CONFLICT (name) DO NOTHING"
_REMOVE_NOTE = "DELETE FROM lms.notes WHERE name = %s"
_REMOVE_OLD_NOTES = "DELETE FROM lms.notes WHERE name LIKE 'pulls/%%' AND changed_at < %s"
_REMOVE_OLD_CALLS = "DELETE FROM lms.slots WHERE at < %s"
_RENAME_NOTE = "UPDATE lms.notes SET name = %s WHERE name = %s"
_READ_REGISTRY = "SELECT '[' || string_agg(doc::text, ',' ORDER BY position) || ']' FROM lms.accounts"
_READ_ACCOUNT = "SELECT '[' || doc::text || ']' FROM lms.accounts WHERE id = %s"
_REMOVE_ACCOUNTS = "DELETE FROM lms.accounts WHERE id = ANY(%s)"
_WRITE_ACCOUNT = """
INSERT INTO lms.accounts (id, doc) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc
"""


class PostgresState:
    """The state in a database, see `State`. Locks of runs are held on this machine as well: they guard its scratch folders."""

    is_local: Final = False

    def __init__(self, database: Database, local: State, lake_url: str | None) -> None:
        """Describe the state of a lake; `lake_url` is its bucket, None for a disk."""
        self._unprepared = database
        self._local = local
        self._lake_url = lake_url

    @cached_property
    def _database(self) -> Database:
        """The database, whose tables exist.

        Raises:
            SettingsError: it is that of another lake, whose index would be mixed with this one's.
        """
        script = files("lms_pipeline.storage").joinpath("state.sql").read_text(encoding="utf-8")
        self._unprepared.apply("state", script)
        if self._lake_url is not None:
            self._unprepared.query(_NOTE_ONCE, [LAKE_NOTE, self._lake_url])
        rows = self._unprepared.query(_READ_NOTE, [LAKE_NOTE])
        if any(url != self._lake_url for (url,) in rows):
            raise SettingsError(
                f"The database of LMS_STATE_URL belongs to the lake {rows[0][0]}, and LMS_LAKE_URL is "
                f"{self._lake_url or 'not set'}: set it to the same on all machines; another lake needs another database."
            )
        return self._unprepared

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Keep other processes out of a context; see `State.lock`."""
        with self._database.transaction() as cursor:
            cursor.execute(_KEEP_OPEN)
            while not _try_lock(cursor, name):
                wait(TRY_AGAIN_SECONDS)
            yield

    @contextmanager
    def hold(self, name: str, run_id: str = "") -> Iterator[HeldLock]:
        """Hold a lock of a run in a transaction on a connection of its own; see `State.hold`.

        The connection is named for the run, as its session is (`defs/run_sessions.py`): whoever looks for the run finds either.
        """
        with self._local.hold(name):
            connection = self._database.connect(f"{APPLICATION_NAME} {run_id}".strip())
            try:
                with convert_errors(), connection.cursor() as cursor:
                    cursor.execute("BEGIN")
                    cursor.execute(_KEEP_OPEN)
                    if not _try_lock(cursor, name):
                        raise HeldError(f"Another process holds {name}: wait for it, and try again.")
                yield _PostgresLock(name, connection)
            finally:
                _release(connection)

    def is_held(self, name: str) -> bool:
        """Return whether a process holds the lock of a run."""
        return self._database.query(_IS_HELD, [hash_name(name)]) == [(True,)]

    def read_note(self, name: str, consequence: str | None = None) -> bytes | None:  # noqa: ARG002 - for a disk
        """Return the content of a row."""
        return next((content.encode() for (content,) in self._database.query(_READ_NOTE, [name])), None)

    def write_note(self, name: str, content: bytes) -> None:
        """Write a row."""
        self._database.query(_WRITE_NOTE, [name, content.decode()])

    def remove_note(self, name: str, consequence: str) -> None:  # noqa: ARG002 - for a disk
        """Remove a row."""
        self._database.query(_REMOVE_NOTE, [name])

    def set_aside_note(self, name: str, reason: str, consequence: str) -> None:
        """Rename a row, and log a warning."""
        with self._database.transaction() as cursor:
            cursor.execute(_REMOVE_NOTE, [name + SUFFIX])
            cursor.execute(_RENAME_NOTE, [name + SUFFIX, name])
        log.warning("%s is damaged (%s): it is now %s, and %s.", name, reason, name + SUFFIX, consequence)

    def find_notes(self, pattern: str) -> Iterator[tuple[str, bytes]]:
        """Yield names and contents of rows; see `State.find_notes`."""
        like = pattern.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_").replace("*", "%")
        rows = sorted(self._database.query(_FIND_NOTES, [like]), key=lambda row: row[0].split("/"))
        yield from ((name, content.encode()) for name, content in rows if name.count("/") == pattern.count("/"))

    def remove_old(self, before: datetime) -> None:
        """Remove rows; see `State.remove_old`."""
        with self._database.transaction() as cursor:
            cursor.execute(_REMOVE_OLD_NOTES, [before])
            cursor.execute(_REMOVE_OLD_CALLS, [before])

    def open_limiter(self, name: str, limit: RateLimit, sleep: Callable[[float], None] = wait) -> PostgresRateLimiter:
        """Return the limiter whose calls have this name."""
        return PostgresRateLimiter(self._database, name, limit, sleep)

    def describe(self, name: str) -> str:
        """Return where a row is."""
        table = "lms.accounts" if name == REGISTRY else f"the row {name} of lms.notes"
        return f"{table} in the database of LMS_STATE_URL"

    def read_registry(self, account_id: str | None = None) -> bytes | None:
        """Return the accounts in the order in which they were added, or one of them."""
        if account_id is None:
            rows = self._database.query(_READ_REGISTRY)
        else:
            rows = self._database.query(_READ_ACCOUNT, [account_id])
        return next((content.encode() for (content,) in rows if content is not None), None)

    @contextmanager
    def edit_registry(self, account_id: str | None = None) -> Iterator[RegistryEdit]:
        """Change rows in one transaction; see `State.edit_registry`. Changes of one account don't wait for each other."""
        with self._database.transaction() as cursor:
            from psycopg2.extras import execute_batch  # which is there, since the database is open

            if account_id is None:
                cursor.execute("LOCK TABLE lms.accounts IN EXCLUSIVE MODE")  # which also waits for FOR UPDATE
                cursor.execute(_READ_REGISTRY)
            else:
                cursor.execute(f"{_READ_ACCOUNT} FOR UPDATE", [account_id])
            (content,) = cursor.fetchone() or (None,)
            edit = RegistryEdit(None if content is None else content.encode())
            yield edit
            cursor.execute(_REMOVE_ACCOUNTS, [list(edit.removed)])
            execute_batch(cursor, _WRITE_ACCOUNT, [(one, edit.documents[one].decode()) for one in edit.changed])


class _PostgresLock:
    """A lock that lasts as long as a transaction on a connection of its own."""

    def __init__(self, name: str, connection: Connection) -> None:
        self._name = name
        self._connection = connection
        self._mutex = Lock()
        self._checked_at = time.monotonic()

    def check(self, after_seconds: float = 0.0) -> None:
        """Ask the connection whether it is still there; see `HeldLock.check`."""
        import psycopg2

        with self._mutex:
            if time.monotonic() - self._checked_at < after_seconds:
                return
            try:
                with self._connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
            except psycopg2.Error:
                raise LostLockError(
                    f"The lock {self._name} is lost, since the database of LMS_STATE_URL ended the connection that held it: "
                    "nothing was published, run it again."
                ) from None
            self._checked_at = time.monotonic()


def _try_lock(cursor: Cursor, name: str) -> bool:
    cursor.execute(_TRY_LOCK, [hash_name(name)])
    return bool(cursor.fetchone() == (True,))


def _release(connection: Connection) -> None:
    """End the transaction of a lock: the server releases the lock before it answers, and not some time after the close."""
    import psycopg2

    with suppress(psycopg2.Error), connection.cursor() as cursor:
        cursor.execute("ROLLBACK")
    connection.close()
