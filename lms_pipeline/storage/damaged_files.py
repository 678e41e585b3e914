"""Files that cost nothing to lose: a damaged one is set aside, and begun again.

Belongs here: what is damage, and the copy that is kept of it. Not here: which files cost nothing to lose, which each reader
decides: counters, checkpoints, marks and locks do; the registry and the lake don't.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

SUFFIX = ".damaged"
"""Ends the name of the copy; the next damaged file of the same name replaces it."""
_COMPANIONS = ("-wal", "-shm", "-journal")
"""Files of SQLite beside a database, which belong to no other one."""
_DAMAGE_CODES = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,  # a missing table or column
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_SCHEMA,
}


def set_aside(path: Path, reason: object, consequence: str) -> None:
    """Rename a damaged file, or what stands in its place, to `<name>.damaged`, and log a warning.

    Args:
        path: the file; missing is no error, since another process may have renamed it.
        reason: what is wrong with it.
        consequence: what happens without it, as the end of a sentence.

    Raises:
        OSError: it can't be renamed.
    """
    copy = path.with_name(path.name + SUFFIX)
    remove_path(copy)
    try:
        path.rename(copy)
    except FileNotFoundError:
        return
    for companion in list_companions(path):
        remove_path(companion)
    log.warning("%s is damaged (%s): it is now %s, and %s.", path, reason, copy, consequence)


def list_companions(path: Path) -> list[Path]:
    """Return the paths of the files of SQLite beside a database, which may be missing."""
    return [path.with_name(path.name + end) for end in _COMPANIONS]


def remove_path(path: Path) -> None:
    """Remove a file, or a folder in its place; missing is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def set_aside_folder(path: Path, consequence: str) -> None:
    """Set aside a folder that stands in the place of a file; a file stays.

    Raises:
        OSError: it can't be renamed.
    """
    if path.is_dir() and not path.is_symlink():
        set_aside(path, "a folder stands in its place", consequence)


class DamagedDatabaseError(sqlite3.DatabaseError):
    """A database does not hold what this version writes: raised by its reader, with the reason, and not by SQLite."""


def is_database_damage(error: Exception, path: Path) -> bool:
    """Return whether an error of SQLite means that the file is no database of ours, and not that it is busy, say.

    Errors of Python's module have no code. The use of a closed database is one, and an error of ours; a text that is no
    UTF-8 is another, and damage.
    """
    if not isinstance(error, sqlite3.Error):
        return False
    if (code := getattr(error, "sqlite_errorcode", None)) is None:
        return isinstance(error, DamagedDatabaseError | sqlite3.OperationalError)
    return code & 0xFF in _DAMAGE_CODES or (code & 0xFF == sqlite3.SQLITE_CANTOPEN and path.is_dir())


def is_moved_database(error: Exception) -> bool:
    """Return whether the file that is open is no longer the one with its name: another process set it aside, or removed it."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY_DBMOVED


def open_database(path: Path, connect: Callable[[Path], sqlite3.Connection], consequence: str) -> sqlite3.Connection:
    """Return what `connect` opens; a damaged file is set aside first. Processes that find it at once wait for each other.

    Raises:
        sqlite3.Error: it can't be opened for another reason.
        OSError: it can't be renamed.
    """
    try:
        return connect(path)
    except sqlite3.Error as error:
        if not is_database_damage(error, path) and not is_moved_database(error):
            raise
    with build_lock(path.with_suffix(".lock")):
        try:
            return connect(path)  # another process has replaced it
        except sqlite3.Error as error:
            if not is_database_damage(error, path):
                raise
            set_aside(path, error, consequence)
        return connect(path)


def is_lock_held(path: Path) -> bool:
    """Return whether a process holds the lock in a file; a missing file is created.

    Raises:
        OSError: it can't be opened, or a folder in its place can't be renamed.
    """
    lock = build_lock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        return True
    lock.release()
    return False


def build_lock(path: Path, *, blocking: bool = True) -> FileLock:
    """Return the lock in a file, whose content does not matter; a folder in its place is set aside.

    Raises:
        OSError: it can't be renamed.
    """
    set_aside_folder(path, "the lock is made again")
    return FileLock(path, blocking=blocking)
