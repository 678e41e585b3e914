"""The record of local copies: which version of an object a local file is.

Belongs here: the record, which processes and threads share. Not here: the objects (`bucket.py`), and when a copy is made
(`object_store.py`). A lost or damaged record costs only that files are fetched again.
"""

# Each row is a fact that stays true: the file with this signature has the content of this version. So processes that write
# the same copy at the same time can't make the record wrong: the file then has another signature than its row.

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from lms_pipeline.storage.damaged_files import DamagedDatabaseError, is_database_damage, open_database, set_aside
from lms_pipeline.storage.local_store import sign_file

LAYOUT_VERSION: Final = 1
BUSY_TIMEOUT_SECONDS: Final = 60
KEYS_PER_QUERY: Final = 500
USED_STEP_SECONDS: Final = 3_600
"""The time of the latest use is written again after an hour only."""
CONSEQUENCE: Final = "the files are fetched again"

log = logging.getLogger(__name__)


class Mirror:
    """The record of the local copies of a bucket's objects."""

    def __init__(self, root: Path, url: str) -> None:
        """Describe the record for a bucket; the data directory may have copies of several, one after the other."""
        self._root = root
        self._url = url
        self._path = root / "state" / "mirror.sqlite"

    def find_versions(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the version of each local file that is still the recorded one, by key."""
        signatures = {key: signature for key in keys if (signature := self.sign(self._root / key)) is not None}
        recorded = self._read(list(signatures))
        found = {key: version for key, (signature, version) in recorded.items() if signature == signatures[key]}
        if found:
            with self._use() as file:
                now = int(time.time())
                rows = [(now, self._url, key, now - USED_STEP_SECONDS) for key in found]
                file.executemany("UPDATE copies SET used_at = ? WHERE url = ? AND key = ? AND used_at < ?", rows)
        return found

    def find_unused(self, seconds: float) -> list[str]:
        """Return the keys whose copies nobody looked for in this time."""
        with self._use() as file:
            sql = "SELECT key FROM copies WHERE url = ? AND used_at < ? AND signature <> ?"
            return [key for (key,) in file.execute(sql, (self._url, time.time() - seconds, b""))]
        return []

    def store(self, copies: Mapping[str, tuple[bytes, str]]) -> None:
        """Record the signature and the version of local files, by key."""
        now = int(time.time())
        rows = [(self._url, key, signature, version, now) for key, (signature, version) in copies.items()]
        with self._use() as file:
            file.executemany("INSERT OR REPLACE INTO copies VALUES (?, ?, ?, ?, ?)", rows)

    def forget(self, keys: Iterable[str]) -> None:
        """Remove the rows of files that are gone."""
        with self._use() as file:
            file.executemany("DELETE FROM copies WHERE url = ? AND key = ?", [(self._url, key) for key in keys])

    def find_note(self, key: str) -> str | None:
        """Return what was noted about an object that has no local copy."""
        _, note = self._read([key]).get(key, (b"", None))
        return note

    def write_note(self, key: str, note: str) -> None:
        """Note something about an object that has no local copy."""
        self.store({key: (b"", note)})

    @staticmethod
    def sign(path: Path) -> bytes | None:
        """Return the signature of a local file; None if there is none."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return sign_file(path)
        return None

    def _read(self, keys: Sequence[str]) -> dict[str, tuple[bytes, str]]:
        recorded: dict[str, tuple[bytes, str]] = {}
        with self._use() as file:
            for start in range(0, len(keys), KEYS_PER_QUERY):
                some = keys[start : start + KEYS_PER_QUERY]
                places = ", ".join("?" * len(some))
                rows = file.execute(
                    f"SELECT key, signature, version FROM copies WHERE url = ? AND key IN ({places})",  # noqa: S608 (places)
                    (self._url, *some),
                )
                recorded |= {key: (signature, version) for key, signature, version in rows}
        return recorded

    @contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        """Yield the open record, in a transaction. Whatever is wrong with it is logged: nothing depends on it."""
        try:
            with closing(self._open()) as file, file:
                yield file
        except sqlite3.Error as error:
            if is_database_damage(error, self._path):
                set_aside(self._path, error, CONSEQUENCE)
            else:
                log.warning("%s can't be used (%s): %s.", self._path, error, CONSEQUENCE)

    def _open(self) -> sqlite3.Connection:
        """Open the record; an empty one in memory where that is impossible."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return open_database(self._path, _connect, CONSEQUENCE)
        except (sqlite3.Error, OSError) as error:
            log.warning("%s can't be used (%s): %s.", self._path, error, CONSEQUENCE)
            return _connect(Path(":memory:"))


def _connect(path: Path) -> sqlite3.Connection:
    """Open the record, and make its table if it is new.

    Raises:
        sqlite3.Error: it can't be opened, or is damaged.
    """
    file = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS)
    try:
        (version,) = file.execute("PRAGMA user_version").fetchone()
        if version not in {0, LAYOUT_VERSION}:
            raise DamagedDatabaseError(f"its table has version {version}")
        file.execute("PRAGMA synchronous = OFF")
        if version == 0:
            file.executescript(
                "CREATE TABLE IF NOT EXISTS copies (url TEXT, key TEXT, signature BLOB, version TEXT, used_at INTEGER,"
                f" PRIMARY KEY (url, key)) WITHOUT ROWID; PRAGMA user_version = {LAYOUT_VERSION};"
            )
        file.execute("SELECT url, key, signature, version, used_at FROM copies LIMIT 1").fetchone()
    except sqlite3.Error:
        file.close()
        raise
    return file
