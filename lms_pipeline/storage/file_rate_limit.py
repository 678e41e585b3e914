"""The rate limiter of one machine: reserved times in a SQLite file, by the clock of the machine.

Belongs here: reserving a time for each call, and waiting for it; by real time even if LMS_NOW is set. Not here: the limiter
of several machines (`postgres_rate_limit.py`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TypeVar

from lms_pipeline.concurrency import wait
from lms_pipeline.storage.damaged_files import (
    DamagedDatabaseError,
    is_database_damage,
    is_moved_database,
    open_database,
)
from lms_pipeline.storage.rate_limit import RateLimit, RateLimitExceededError
from lms_pipeline.storage.state import StateError

T = TypeVar("T")

CLEANUP_INTERVAL = 1_000
"""Calls until those that no longer count are removed from the file again."""
BUSY_TIMEOUT_SECONDS = 60.0
"""How long a process waits for the others that use the same file; each needs about a millisecond."""
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS slots (at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS slots_at ON slots (at);
CREATE TABLE IF NOT EXISTS latest (boot_id TEXT NOT NULL, boot REAL NOT NULL, wall REAL NOT NULL);
"""


class DamagedStateError(StateError):
    """The file of a limit is damaged, or is no longer the one with its name: another process has set it aside."""


def _read_boot_clock() -> float:
    return time.clock_gettime(_BOOT_CLOCK)


@cache
def _read_boot_id() -> str:
    """Return a text that differs after each start of the machine: Linux's, else the minute of the start."""
    if _BOOT_ID.exists():
        return _BOOT_ID.read_text(encoding="ascii").strip()
    return f"minute {(time.time() - _read_boot_clock()) // 60:.0f}"


@dataclass(frozen=True, slots=True)
class Clocks:
    """Time since the start of the machine, in seconds, which all its processes share and which nobody sets; and wall time."""

    boot: Callable[[], float] = _read_boot_clock
    wall: Callable[[], float] = time.time
    read_boot_id: Callable[[], str] = _read_boot_id


class FileRateLimiter:
    """Limits calls in any window of time, over all processes that use the same file.

    Each call reserves the first free time in the order of arrival, and then waits for it: where calls have to wait, no
    process is faster than another. Times are seconds since the start of the machine: setting its clock, in either direction,
    changes nothing. After a new start, earlier calls count as long ago as the wall clock says, and never hold a call for
    longer than one window.

    Args:
        path: the SQLite file.
        limit: calls per window.
        sleep: waits the given seconds.
        clocks: the time.
    """

    def __init__(
        self, path: Path, limit: RateLimit, sleep: Callable[[float], None] = wait, clocks: Clocks | None = None
    ) -> None:
        self._path = path
        self._limit = limit
        self._sleep = sleep
        self._clocks = clocks or Clocks()
        self._lock = Lock()
        self._reserved = 0
        self._database = self._open()

    def acquire(self, deadline: float | None = None) -> None:
        """Count a call, after a wait for the limit to allow it; `deadline` is a time of `time.monotonic`.

        Raises:
            RateLimitExceededError: no call is allowed before the deadline; nothing is counted.
            StateError: the file can't be used.
        """
        longest = None if deadline is None else deadline - time.monotonic()
        slot, at, seconds = self._run(lambda database: self._reserve(database, longest))
        if seconds <= 0:
            return
        self._limit.log_wait(seconds)
        with ExitStack() as undo:  # a cancelled wait: the call is not made
            undo.callback(self._run, lambda database: _release(database, slot, at))
            self._sleep(seconds)
            undo.pop_all()

    def close(self) -> None:
        """Close the file, after other threads have finished with it."""
        with self._lock:
            self._database.close()

    def _run(self, use: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `use` makes of the file, in one transaction. A file that is damaged by now is opened again, once.

        All under the lock: a connection that one thread closes while another one uses it ends the process.
        """
        with self._lock:
            try:
                with self._transaction() as database:
                    return use(database)
            except DamagedStateError:
                broken, self._database = self._database, self._open()
                broken.close()
            with self._transaction() as database:
                return use(database)

    def _reserve(self, database: sqlite3.Connection, longest: float | None) -> tuple[int, float, float]:
        """Reserve the first free time. Return its row, the time, and the seconds until then."""
        limit = self._limit
        now = self._clocks.boot()
        self._adopt_earlier_boot(database, now)
        at = now
        for calls, seconds in limit.windows:
            full = database.execute("SELECT at FROM slots ORDER BY at DESC LIMIT 1 OFFSET ?", [calls - 1]).fetchone()
            at = max(at, full[0] + seconds) if full else at
        if longest is not None and at - now > max(longest, 0):
            raise RateLimitExceededError(at - now)
        self._reserved += 1
        if self._reserved % CLEANUP_INTERVAL == 1:
            database.execute("DELETE FROM slots WHERE at < ?", [now - limit.window_seconds])
        slot = database.execute("INSERT INTO slots VALUES (?)", [at]).lastrowid
        return slot or 0, at, at - now

    def _adopt_earlier_boot(self, database: sqlite3.Connection, now: float) -> None:
        """Move calls before this start of the machine to where they are on its clock; drop reservations of ended processes."""
        wall, boot_id = self._clocks.wall(), self._clocks.read_boot_id()
        latest = database.execute("SELECT boot_id, boot, wall FROM latest").fetchone()
        if latest is None:
            database.execute("INSERT INTO latest VALUES (?, ?, ?)", [boot_id, now, wall])
            return
        earlier_id, earlier, earlier_wall = latest
        if earlier_id != boot_id:
            elapsed = min(max(wall - earlier_wall, 0), self._limit.window_seconds)
            database.execute("DELETE FROM slots WHERE at > ?", [earlier])
            database.execute("UPDATE slots SET at = at + ?", [now - elapsed - earlier])
        database.execute("UPDATE latest SET boot_id = ?, boot = ?, wall = ?", [boot_id, now, wall])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._convert_errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")

    def _open(self) -> sqlite3.Connection:
        """Open the file. A damaged one costs nothing to lose: it is set aside, and counting begins again."""
        with self._convert_errors():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return open_database(self._path, _connect, "calls are counted again")

    @contextmanager
    def _convert_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            is_lost = is_database_damage(error, self._path) or is_moved_database(error)
            kind = DamagedStateError if is_lost else StateError
            raise kind(
                f"Calls can't be counted in {self._path}: {error}; make room, or remove the file if it is damaged.",
                may_pass=False,
            ) from None


def _release(database: sqlite3.Connection, slot: int, at: float) -> None:
    """Give a reserved time back; in a file that was opened again since, the row is another call's."""
    database.execute("DELETE FROM slots WHERE rowid = ? AND at = ?", [slot, at])


def _check_content(database: sqlite3.Connection) -> None:
    (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise DamagedDatabaseError(found)
    others = """SELECT count(*) FROM latest WHERE typeof(boot_id) <> 'text' OR typeof(boot) <> 'real' OR typeof(wall) <> 'real'"""
    database.execute("SELECT at FROM slots LIMIT 0")
    if database.execute(others).fetchone() != (0,):
        raise DamagedDatabaseError("it does not hold what this version writes")


def _connect(path: Path) -> sqlite3.Connection:
    """Open the database; a power failure may lose the last calls, which no process is there to follow."""
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
    with ExitStack() as undo:
        undo.callback(database.close)
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_SCHEMA)
        _check_content(database)
        undo.pop_all()
    return database
