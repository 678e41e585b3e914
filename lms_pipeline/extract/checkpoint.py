"""The checkpoint: stored responses of an account and day, request by request, compressed, in one SQLite file.

Belongs here: storing and finding responses. They let an interrupted pull continue, and a replay transform a day again.
Not here: the file's connection, transactions and errors (`checkpoint_file.py`).
"""

from __future__ import annotations

import gzip
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

import httpx
import pyarrow as pa

from lms_pipeline.extract.checkpoint_file import CheckpointError, CheckpointFile, DamagedCheckpointError
from lms_pipeline.storage.damaged_files import set_aside
from lms_pipeline.truto.content_encoding import GZIP_MAGIC, decode_gzip
from lms_pipeline.truto.store import StoredResponse

T = TypeVar("T")

log = logging.getLogger(__name__)

CODEC = "zstd"
MAX_GZIP_BYTES = 8_192
"""Bytes of a body up to which it is stored in gzip, which is as small: a response about a pair takes 9 µs of CPU, and 50 in
zstd, whose state is larger."""
MAX_KNOWN_KEYS = 200_000
"""Keys of stored responses that are held in memory, as hashes of 70 bytes each: beyond it, each look-up is a query."""


class Checkpoint(CheckpointFile):
    """The attempts in the file of an account and day. None sees the responses of another one. Threads may share it.

    Raises:
        DamagedCheckpointError: the file is damaged, here or in any use.
        CheckpointError: it can't be read or written for another reason.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._keys: dict[int, set[int] | None] = {}  # hashes by attempt; None for too many

    def begin(self, fingerprint: str, now: datetime, *, trust_rejected: bool = False) -> Attempt:
        """Continue the unfinished attempt with the same fingerprint, else begin a new one.

        A rejected attempt is continued only with `trust_rejected`. A new attempt inherits the number of requests of the
        abandoned ones: they were sent for the same snapshot.
        """
        with self.writing() as file:
            if trust_rejected:
                file.execute("DELETE FROM refused")
            found = file.execute(
                "SELECT id, last_at FROM attempts WHERE plan = ? AND NOT is_finished "
                "AND id NOT IN (SELECT attempt FROM refused)",
                (fingerprint,),
            ).fetchone()
            continued = -1 if found is None else found[0]
            (spent,) = file.execute(
                "SELECT coalesce(sum(requests), 0) FROM attempts WHERE NOT is_finished AND id <> ?", (continued,)
            ).fetchone()
            file.execute("DELETE FROM attempts WHERE NOT is_finished AND id <> ?", (continued,))
            if found is not None:
                return Attempt(self, int(found[0]), self.read_time(found[1]))
            row = (fingerprint, now.isoformat(), now.isoformat(), spent)
            number = file.execute(
                "INSERT INTO attempts (plan, started_at, last_at, requests) VALUES (?, ?, ?, ?)", row
            ).lastrowid
        return Attempt(self, int(number or 0))

    def attempts(self) -> list[Attempt]:
        """Return all attempts, the latest first."""
        with self.reading() as file:
            found = file.execute("SELECT id FROM attempts ORDER BY id DESC").fetchall()
        return [Attempt(self, int(number)) for (number,) in found]

    def may_hold(self, attempt: int, key: str) -> bool:
        """Return whether a response may be stored under a key; the keys are read once."""
        if attempt not in self._keys:
            with self.reading() as file:
                rows = file.execute("SELECT key FROM answers WHERE attempt = ? LIMIT ?", (attempt, MAX_KNOWN_KEYS + 1))
                keys = [hash(key) for (key,) in rows]
                self._keys[attempt] = None if len(keys) > MAX_KNOWN_KEYS else set(keys)
        known = self._keys[attempt]
        return known is None or hash(key) in known

    def add_key(self, attempt: int, key: str) -> None:
        """Remember a key, in the transaction that stores its response."""
        known = self._keys.get(attempt)
        if known is not None:
            known.add(hash(key))
            self._keys[attempt] = known if len(known) <= MAX_KNOWN_KEYS else None

    def read_time(self, text: str) -> datetime:
        """Return a stored time.

        Raises:
            DamagedCheckpointError: it is none.
        """
        try:
            return datetime.fromisoformat(text)
        except (TypeError, ValueError):
            raise DamagedCheckpointError(
                f"The responses in {self._path} can't be stored or read: a time in the file is damaged."
            ) from None


def use_checkpoint(
    path: Path, use: Callable[[Checkpoint], T], consequence: str, fetch_again: Callable[[], bool] = lambda: False
) -> T:
    """Return what `use` makes of a checkpoint. A damaged one is set aside, and `use` begins again with an empty one.

    The caller holds the partition's lock. `consequence` ends the sentence that is logged. `fetch_again` puts a stored copy in
    the place of a damaged file, and returns whether there is one: `use` begins with that first.

    Raises:
        CheckpointError: it can't be read or written for another reason, or is damaged twice.
    """
    for has_copy in (fetch_again, lambda: False):
        try:
            with Checkpoint(path) as checkpoint:
                return use(checkpoint)
        except DamagedCheckpointError as error:
            reason = error.__context__ or error
        try:
            set_aside(path, reason, consequence)
        except OSError as error:
            raise CheckpointError(
                f"The responses in {path} can't be stored or read: they are damaged, and can't be renamed "
                f"({error.strerror}); remove the file."
            ) from None
        if not has_copy():
            break
    with Checkpoint(path) as checkpoint:
        return use(checkpoint)


def pack_body(body: bytes) -> bytes:
    """Return a body as it is stored, compressed unless it is empty."""
    if not body:
        return b""
    if len(body) <= MAX_GZIP_BYTES:
        return gzip.compress(body, 1, mtime=0)
    return pa.compress(body, codec=CODEC, asbytes=True)  # type: ignore[no-any-return]


def unpack_body(body: bytes, size: int) -> bytes:
    """Return a stored body of a size; it is in gzip if it is small or came so, otherwise in `CODEC`.

    Raises:
        httpx.DecodingError: it is damaged, or has another size.
        OSError: the same of a body in `CODEC`.
    """
    if not size:
        return b""
    if body.startswith(GZIP_MAGIC):
        return decode_gzip(body, size)
    return pa.decompress(body, decompressed_size=size, codec=CODEC, asbytes=True)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Attempt:
    """The responses of one attempt at a snapshot, which several processes may continue."""

    checkpoint: Checkpoint
    number: int
    last_response_at: datetime | None = None
    """When its latest response came, where another process began it."""

    @property
    def fingerprint(self) -> str:
        """Everything that decided which requests were sent, see `SnapshotJob.fingerprint`."""
        return str(self._read_column("plan"))

    @property
    def started_at(self) -> datetime:
        """When it began."""
        return self.checkpoint.read_time(str(self._read_column("started_at")))

    @property
    def requests(self) -> int:
        """How many requests were sent for it, by all its processes."""
        return int(str(self._read_column("requests")))

    @property
    def is_finished(self) -> bool:
        """Whether its snapshot is marked as published."""
        return bool(self._read_column("is_finished"))

    @property
    def replay_context(self) -> str | None:
        """The stored replay context, as JSON; None if there is none."""
        text = self._read_column("circumstances")
        return None if text is None else str(text)

    def save_replay_context(self, text: str) -> None:
        """Store the replay context."""
        with self.checkpoint.writing() as file:
            file.execute("UPDATE attempts SET circumstances = ? WHERE id = ?", (text, self.number))

    def _read_column(self, column: Literal["plan", "started_at", "requests", "circumstances", "is_finished"]) -> object:
        with self.checkpoint.reading() as file:
            row: sqlite3.Row = file.execute("SELECT * FROM attempts WHERE id = ?", (self.number,)).fetchone()
            return row[column]

    def count_request(self, max_requests: int | None = None) -> bool:
        """Count a request that is about to be sent; return False where that would be more than `max_requests`."""
        limit = -1 if max_requests is None else max_requests
        counting = "UPDATE attempts SET requests = requests + 1 WHERE id = ? AND (? < 0 OR requests < ?)"
        return self.checkpoint.changes.run(
            lambda file: file.execute(counting, (self.number, limit, limit)).rowcount == 1
        )

    def uncount_request(self) -> None:
        """Undo the count of a request that was not sent."""
        uncounting = "UPDATE attempts SET requests = requests - 1 WHERE id = ?"
        self.checkpoint.changes.run(lambda file: file.execute(uncounting, (self.number,)))

    def put(self, key: str, response: StoredResponse) -> None:
        """Store a response; from here on the request is never sent again for this attempt."""
        body = response.gzip or pack_body(response.body)
        received_at = response.received_at.astimezone(UTC).isoformat()
        row = (self.number, key, response.status, received_at, len(response.body), body)

        def store(file: sqlite3.Connection) -> None:
            file.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", row)
            file.execute("UPDATE attempts SET last_at = ? WHERE id = ?", (received_at, self.number))
            self.checkpoint.add_key(self.number, key)

        self.checkpoint.changes.run(store)

    def get(self, key: str) -> StoredResponse | None:
        """Return the stored response of a request, if any."""
        if not self.checkpoint.may_hold(self.number, key):
            return None
        with self.checkpoint.reading() as file:
            found = file.execute(
                "SELECT status, received_at, size, body FROM answers WHERE attempt = ? AND key = ?", (self.number, key)
            ).fetchone()
        if found is None:
            return None
        status, received_at, size, body = found
        try:
            return StoredResponse(status, datetime.fromisoformat(received_at), unpack_body(body, size))
        except (OSError, TypeError, ValueError, httpx.DecodingError):
            log.warning("A stored response of %s is damaged, and is no response.", self.checkpoint)
            return None

    def count_responses(self) -> int:
        """Return the number of stored responses."""
        return self._sum_up("count(*)")

    def measure_responses(self) -> int:
        """Return the bytes of the stored responses, unpacked."""
        return self._sum_up("coalesce(sum(size), 0)")

    def _sum_up(self, total: Literal["count(*)", "coalesce(sum(size), 0)"]) -> int:
        query = f"SELECT {total} FROM answers WHERE attempt = ?"  # noqa: S608 (one of ours)
        with self.checkpoint.reading() as file:
            return int(file.execute(query, (self.number,)).fetchone()[0])

    def discard(self) -> None:
        """Remove all responses, and give their space back to the disk; the count of requests stays.

        If the disk is too full for that, the whole file is removed, unless it can replay a published snapshot.

        Raises:
            CheckpointError: the disk is too full, and the file stays.
        """
        try:
            self.forget("")
            self.checkpoint.shrink()
        except CheckpointError:
            if any(attempt.is_finished for attempt in self.checkpoint.attempts()):
                raise
            self.checkpoint.remove()

    def forget(self, prefix: str) -> None:
        """Drop the responses whose keys begin with a prefix, as those of a list that must restart."""
        with self.checkpoint.writing() as file:
            file.execute(
                "DELETE FROM answers WHERE attempt = ? AND substr(key, 1, ?) = ?", (self.number, len(prefix), prefix)
            )

    def reject(self) -> None:
        """Mark the attempt as rejected: the next one fetches everything again, unless it trusts rejected responses."""
        with self.checkpoint.writing() as file:
            file.execute("INSERT OR IGNORE INTO refused VALUES (?)", (self.number,))

    def finish(self) -> None:
        """Mark the snapshot as published: the responses stay for replays, those of other attempts are deleted."""
        with self.checkpoint.writing() as file:
            file.execute("UPDATE attempts SET is_finished = TRUE WHERE id = ?", (self.number,))
            file.execute("DELETE FROM attempts WHERE id <> ?", (self.number,))
