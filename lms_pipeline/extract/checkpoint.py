"""Answers kept: what the API said for an account and day, request by request, compressed, in one SQLite file.

What belongs here: keeping and finding answers. They are the checkpoint while a pull runs, and the way to flatten a day
again afterwards. SQLite makes each of them durable by itself: a killed process loses none that was kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Literal, Self

import pyarrow as pa

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.truto.store import StoredResponse

CODEC = "zstd"


class CheckpointError(LmsPipelineError):
    """The kept answers can't be read or written."""


class Checkpoint:
    """The file of an account and day; its attempts never see each other's answers. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute(
                "PRAGMA synchronous = NORMAL"
            )  # a power cut may lose the last ones, a kill none
            self._file.execute("PRAGMA foreign_keys = ON")
            self._file.executescript(
                files(__package__).joinpath("checkpoint.sql").read_text(encoding="utf-8")
            )

    def __enter__(self) -> Self:
        """The answers themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file, after whoever is at it."""
        with self._lock:
            self._file.close()

    def begin(self, plan: str, now: datetime, *, believe: bool = False) -> Attempt:
        """Go on with the attempt that was left off, where it has the same plan, else begin one.

        One that was refused is gone on with only where `believe` says so. The requests of one that is left count on:
        they were sent for the same snapshot.
        """
        with self._writing() as file:
            if believe:
                file.execute("DELETE FROM refused")
            found = file.execute(
                "SELECT id, last_at FROM attempts WHERE plan = ? AND NOT is_finished "
                "AND id NOT IN (SELECT attempt FROM refused)",
                (plan,),
            ).fetchone()
            kept = -1 if found is None else found[0]
            (spent,) = file.execute(
                "SELECT coalesce(sum(requests), 0) FROM attempts WHERE NOT is_finished AND id <> ?", (kept,)
            ).fetchone()
            file.execute("DELETE FROM attempts WHERE NOT is_finished AND id <> ?", (kept,))
            if found is not None:
                return Attempt(self, int(found[0]), datetime.fromisoformat(found[1]))
            row = (plan, now.isoformat(), now.isoformat(), spent)
            number = file.execute(
                "INSERT INTO attempts (plan, started_at, last_at, requests) VALUES (?, ?, ?, ?)", row
            ).lastrowid
        return Attempt(self, int(number or 0))

    def attempts(self) -> list[Attempt]:
        """All of them, the latest first."""
        with self._reading() as file:
            found = file.execute("SELECT id FROM attempts ORDER BY id DESC").fetchall()
        return [Attempt(self, int(number)) for (number,) in found]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is kept, or nothing."""
        with self._lock, self._errors(), self._file:  # which commits, or rolls back what raises
            self._file.execute("BEGIN IMMEDIATE")
            yield self._file

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors():
            yield self._file

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise CheckpointError(
                f"The answers in {self._path} can't be kept or read: {error}; make room and run it again, "
                "or remove the file where it is damaged."
            ) from None


class Attempt:
    """The answers of one try at a snapshot, also over several processes."""

    def __init__(self, answers: Checkpoint, number: int, left_off_at: datetime | None = None) -> None:
        self._answers = answers
        self._number = number
        self.left_off_at = left_off_at
        """When its last answer came, where another process began it."""

    @property
    def plan(self) -> str:
        """What decided which requests were sent."""
        return str(self._told("plan"))

    @property
    def started_at(self) -> datetime:
        """When it was begun."""
        return datetime.fromisoformat(str(self._told("started_at")))

    @property
    def requests(self) -> int:
        """How many requests were sent for it, by whichever process."""
        return int(str(self._told("requests")))

    @property
    def is_finished(self) -> bool:
        """Whether its snapshot was published, as far as was noted."""
        return bool(self._told("is_finished"))

    @property
    def circumstances(self) -> str | None:
        """What the answers were asked under, as it was noted."""
        told = self._told("circumstances")
        return None if told is None else str(told)

    @circumstances.setter
    def circumstances(self, told: str) -> None:
        with self._answers._writing() as file:  # noqa: SLF001 - two halves of one store
            file.execute("UPDATE attempts SET circumstances = ? WHERE id = ?", (told, self._number))

    def _told(
        self, column: Literal["plan", "started_at", "requests", "circumstances", "is_finished"]
    ) -> object:
        with self._answers._reading() as file:  # noqa: SLF001
            found = file.execute("SELECT * FROM attempts WHERE id = ?", (self._number,))
            names = [one[0] for one in found.description]
            return dict(zip(names, found.fetchone(), strict=True))[column]

    def count_request(self, most: int | None = None) -> bool:
        """Count a request that is about to be sent; False where that would be more than `most`."""
        limit = -1 if most is None else most
        with self._answers._writing() as file:  # noqa: SLF001
            counted = file.execute(
                "UPDATE attempts SET requests = requests + 1 WHERE id = ? AND (? < 0 OR requests < ?)",
                (self._number, limit, limit),
            )
            return counted.rowcount == 1

    def uncount_request(self) -> None:
        """Take back a request that was counted and not sent."""
        with self._answers._writing() as file:  # noqa: SLF001
            file.execute("UPDATE attempts SET requests = requests - 1 WHERE id = ?", (self._number,))

    def put(self, key: str, response: StoredResponse) -> None:
        """Store a response; from here on the request is never sent again for this attempt."""
        body = pa.compress(response.body, codec=CODEC, asbytes=True) if response.body else b""
        received_at = response.received_at.astimezone(UTC).isoformat()
        row = (self._number, key, response.status, received_at, len(response.body), body)
        with self._answers._writing() as file:  # noqa: SLF001
            file.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", row)
            file.execute("UPDATE attempts SET last_at = ? WHERE id = ?", (received_at, self._number))

    def get(self, key: str) -> StoredResponse | None:
        """Return the stored response of a request, if any."""
        with self._answers._reading() as file:  # noqa: SLF001
            found = file.execute(
                "SELECT status, received_at, size, body FROM answers WHERE attempt = ? AND key = ?",
                (self._number, key),
            ).fetchone()
        if found is None:
            return None
        status, received_at, size, body = found
        unpacked = pa.decompress(body, decompressed_size=size, codec=CODEC, asbytes=True) if size else b""
        return StoredResponse(status, datetime.fromisoformat(received_at), unpacked)

    def forget(self, prefix: str) -> None:
        """Drop the answers whose keys begin so: a list that has to begin anew."""
        with self._answers._writing() as file:  # noqa: SLF001
            file.execute(
                "DELETE FROM answers WHERE attempt = ? AND substr(key, 1, ?) = ?",
                (self._number, len(prefix), prefix),
            )

    def count(self) -> int:
        """How many answers are kept."""
        with self._answers._reading() as file:  # noqa: SLF001
            found = file.execute("SELECT count(*) FROM answers WHERE attempt = ?", (self._number,)).fetchone()
        return int(found[0])

    def refuse(self) -> None:
        """Nobody believes these answers: the next attempt asks anew, unless it is told to believe them."""
        with self._answers._writing() as file:  # noqa: SLF001
            file.execute("INSERT OR IGNORE INTO refused VALUES (?)", (self._number,))

    def finish(self) -> None:
        """The snapshot is published: these answers stay for replay, those of earlier ones go."""
        with self._answers._writing() as file:  # noqa: SLF001
            file.execute("UPDATE attempts SET is_finished = TRUE WHERE id = ?", (self._number,))
            file.execute("DELETE FROM attempts WHERE id <> ?", (self._number,))
