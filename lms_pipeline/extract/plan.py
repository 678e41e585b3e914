"""Which pairs are worth a call today, and what becomes of the others.

What belongs here: the plan of a snapshot that goes by pairs. A pair whose detail says the same as in the last published
snapshot is carried over, but for a share that is asked again all the same. The rules are `plan.sql`; rows on their way
to a file are `taking/pairs.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.extract.strategies import PairBatch
from lms_pipeline.lake.engine import duckdb_session, sql
from lms_pipeline.transform.rosters import RosterEntry

Kind = Literal["new", "changed", "rotation", "carried"]
AT_ONCE = 1_000
"""Rows of the plan that are held while they are asked for."""

_FOUND = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("course_id", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("fetched_at", pa.timestamp("us", "UTC")),
        pa.field("position", pa.int64()),
    ]
)
DETAILS = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("course_id", pa.string()),
        pa.field("detail_hash", pa.binary()),  # half a SHA-256, to be compared
        pa.field("is_absent", pa.bool_()),  # it was asked for, and there was no enrollment
        pa.field(
            "asked_at", pa.timestamp("us", "UTC")
        ),  # when its detail came, the last time it was asked for
    ]
)
"""What is remembered of the details for the next snapshot."""
_BEFORE = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("course_id", pa.string()),
        pa.field("source", pa.string()),
        pa.field("fetched_at", pa.timestamp("us", "UTC")),
    ]
)


@dataclass(frozen=True, slots=True)
class PreviousSnapshot:
    """The files of the last published snapshot."""

    unified: Path
    raw: Path
    details: Path


class Pair(NamedTuple):
    """A pair that is worth a call."""

    place: int
    user_id: str
    course_id: str


class Plan:
    """The pairs of one snapshot on disk, and what becomes of each; use `planned` to make one."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, before: PreviousSnapshot | None) -> None:
        self._connection = connection
        self.before = before
        self.counts: Counter[Kind] = Counter(
            dict(connection.sql("SELECT kind, count(*) FROM plan GROUP BY kind").fetchall())
        )

    @property
    def calls(self) -> int:
        """The calls that are worth it."""
        return sum(self.counts[kind] for kind in ("new", "changed", "rotation"))

    def to_ask(self, *, also_carried: bool = False) -> Iterator[Pair]:
        """The pairs in the order of their worth; the carried ones come last, where they are asked for too."""
        end = self.counts.total() if also_carried else self.calls
        for first in range(0, end, AT_ONCE):
            rows = self._connection.execute(
                "SELECT place, user_id, course_id FROM plan WHERE place >= ? AND place < ? ORDER BY place",
                (first, min(first + AT_ONCE, end)),
            ).fetchall()
            yield from (Pair(*row) for row in rows)

    def answered(self, is_absent: Mapping[int, bool]) -> None:
        """Note the pairs that were answered, by their places, and whether no enrollment was there."""
        places, absent = pa.array(is_absent.keys(), pa.int64()), pa.array(is_absent.values(), pa.bool_())
        self._connection.register("answers", pa.table({"place": places, "is_absent": absent}))
        self._connection.execute(
            "UPDATE plan SET is_answered = TRUE, is_absent = answers.is_absent "
            "FROM answers WHERE plan.place = answers.place"
        )
        self._connection.unregister("answers")

    def unanswered(self) -> Iterator[tuple[list[RosterEntry], list[datetime]]]:
        """The new and changed pairs that no call was left for, with their details and the times of those."""
        for batch in self._reader("unanswered.sql"):
            columns = [batch.column(name).to_pylist() for name in ("user_id", "course_id", "detail")]
            found = [
                RosterEntry(user, course, detail.encode())
                for user, course, detail in zip(*columns, strict=True)
            ]
            yield found, batch.column("fetched_at").to_pylist()

    def carried(self, table: Literal["unified", "raw"]) -> Iterator[pa.RecordBatch]:
        """The rows of the last snapshot that stay as they are."""
        if self.before is None:
            return
        path = str(self.before.unified if table == "unified" else self.before.raw)
        self._connection.read_parquet(path).create_view("rows_before", replace=True)
        yield from self._reader("carried.sql")

    def compared(self, answers: Path) -> tuple[int, int]:
        """Of the pairs that were asked again although nothing told of a change: how many there were, and how many differ."""
        if self.before is None:
            return 0, 0
        self._connection.read_parquet(str(self.before.unified)).create_view("rows_before", replace=True)
        self._connection.read_parquet(str(answers)).create_view("rows_now", replace=True)
        ((asked, differing),) = self._connection.sql(sql(__package__, "compared.sql")).fetchall()
        return int(asked), int(differing)

    def write_details(self, path: Path, metadata: dict[str, str]) -> None:
        """Remember the details, for the plan of the next snapshot."""
        schema = DETAILS.with_metadata({key.encode(): value.encode() for key, value in metadata.items()})
        query = """
            SELECT user_id, course_id, detail_hash, is_absent, if(is_answered, fetched_at, asked_at) AS asked_at
            FROM plan
            WHERE detail <> ''
        """
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in self._connection.sql(query).to_arrow_reader(100_000):
                writer.write_batch(batch.cast(schema))

    def _reader(self, name: str) -> Iterator[pa.RecordBatch]:
        yield from self._connection.sql(sql(__package__, name)).to_arrow_reader(AT_ONCE * 10)


@contextmanager
def planned(
    found: Iterable[PairBatch],
    before: PreviousSnapshot | None,
    *,
    folder: Path,
    may_carry: bool,
    rotation_days: int,
) -> Iterator[Plan]:
    """The plan for the pairs that were found; it waits in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "found.parquet"
    _write(found, path)
    with duckdb_session(spill_to=folder) as connection:
        connection.read_parquet(str(path)).create_view("found")
        for name, schema, file in [
            ("details", DETAILS, before and before.details),
            ("before", _BEFORE, before and before.unified),
        ]:
            if file is None:
                connection.register(name, schema.empty_table())
            else:
                connection.read_parquet(str(file)).create_view(name)
        parameters = {"may_carry": may_carry, "rotation_days": rotation_days}
        connection.execute(sql(__package__, "plan.sql"), parameters)
        yield Plan(connection, before)


def _write(found: Iterable[PairBatch], path: Path) -> None:
    position = 0
    with pq.ParquetWriter(path, _FOUND, compression="lz4") as writer:
        for some in found:
            count = len(some.entries)
            if not count:
                continue
            columns = [
                pa.array([entry.user_id for entry in some.entries], pa.string()),
                pa.array([entry.course_id for entry in some.entries], pa.string()),
                pa.array([entry.payload.decode() for entry in some.entries], pa.string()),
                pa.array([some.fetched_at] * count, pa.timestamp("us", "UTC")),
                pa.array(range(position, position + count), pa.int64()),
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_FOUND))
            position += count
