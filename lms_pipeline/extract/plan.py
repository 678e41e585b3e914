"""The fetch plan of a snapshot by pairs: which pairs are worth a call today, and what becomes of the others.

Belongs here: the plan as a table in DuckDB. Its rules are `plan.sql`; carrying it out is `snapshot/pairs.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lms_pipeline.concurrency import delay_sigterm
from lms_pipeline.extract.strategies import PairBatch
from lms_pipeline.lake.engine import duckdb_session, load_sql
from lms_pipeline.lake.files import RowGroupWriter
from lms_pipeline.transform.rosters import RosterEntry
from lms_pipeline.transform.timestamps import SENTINELS_END

Kind = Literal["new", "changed", "rotation", "carried"]
BATCH_SIZE = 1_000
"""Pairs of the plan that are held in memory while they are fetched."""
READ_BATCH_ROWS = 1_000

_PAIR = {"user_id": pa.string(), "course_id": pa.string()}
_TIME = pa.timestamp("us", "UTC")
_FOUND = pa.schema({**_PAIR, "payload": pa.string(), "fetched_at": _TIME, "position": pa.int64()})
_PREVIOUS = pa.schema({**_PAIR, "source": pa.string(), "fetched_at": _TIME})
ROSTER_FINGERPRINTS = pa.schema(
    {
        **_PAIR,
        "detail_hash": pa.binary(),  # the first half of the SHA-256 of the roster entry
        "is_absent": pa.bool_(),  # the pair was fetched, and the LMS has no enrollment for it
        "asked_at": _TIME,  # time of the roster response of the last fetch
    }
)
"""Columns of `state/details/*.parquet`: what the plan of the next snapshot compares roster entries with."""


@dataclass(frozen=True, slots=True)
class PreviousSnapshot:
    """The previous published snapshot: its day and its files."""

    day: date
    unified: Path
    raw: Path
    fingerprints: Path


class Pair(NamedTuple):
    """A pair that is worth a call, and its position in the plan."""

    position: int
    user_id: str
    course_id: str


class FetchPlan:
    """The pairs of one snapshot on disk, and what becomes of each. `build_plan` makes one."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, previous: PreviousSnapshot | None) -> None:
        self._connection = connection
        self._previous = previous
        self.counts: Counter[Kind] = Counter(
            dict(connection.sql("SELECT kind, count(*) FROM plan GROUP BY kind").fetchall())
        )

    @property
    def pairs_to_fetch(self) -> int:
        """Number of pairs that are worth a call."""
        return sum(self.counts[kind] for kind in ("new", "changed", "rotation"))

    def read_pairs(self, *, include_carried: bool = False) -> Iterator[Pair]:
        """Yield the pairs by priority. Carried pairs come last, and only with `include_carried`."""
        end = self.counts.total() if include_carried else self.pairs_to_fetch
        for first in range(0, end, BATCH_SIZE):
            rows = self._connection.execute(
                "SELECT position, user_id, course_id FROM plan WHERE position >= ? AND position < ? ORDER BY position",
                (first, min(first + BATCH_SIZE, end)),
            ).fetchall()
            yield from (Pair(*row) for row in rows)

    def mark_fetched(self, is_absent: Mapping[int, bool]) -> None:
        """Mark pairs as fetched, by position, with whether the LMS has no enrollment for them."""
        positions, absent = pa.array(is_absent.keys(), pa.int64()), pa.array(is_absent.values(), pa.bool_())
        with delay_sigterm():  # DuckDB would raise an error of its own instead of the interrupt
            self._connection.register("fetched", pa.table({"position": positions, "is_absent": absent}))
            self._connection.execute(
                "UPDATE plan SET is_fetched = TRUE, is_absent = fetched.is_absent "
                "FROM fetched WHERE plan.position = fetched.position"
            )
            self._connection.unregister("fetched")

    def read_unfetched(self) -> Iterator[tuple[list[RosterEntry], list[datetime]]]:
        """Yield the new and changed pairs that no call was left for: roster entries, and the times of their responses."""
        for batch in self._read("unfetched.sql"):
            *columns, times = (column.to_pylist() for column in batch.columns)
            entries = [RosterEntry(user, course, text.encode()) for user, course, text in zip(*columns, strict=True)]
            yield entries, times

    def read_carried(self, table: Literal["unified", "raw"]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the previous snapshot that are carried over unchanged."""
        if self._previous is None:
            return
        path = self._previous.unified if table == "unified" else self._previous.raw
        sql = load_sql(__package__, "carried.sql")
        numbers = self._connection.sql(sql, params={"path": str(path)}).to_arrow_table().column(0).combine_chunks()
        with pq.ParquetFile(path) as file:
            # by row group: its bytes have a limit, those of DuckDB's batches have none
            first = 0
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group)
                inside = pc.and_(pc.greater_equal(numbers, first), pc.less(numbers, first + rows.num_rows))
                yield from rows.take(pc.subtract(numbers.filter(inside), first)).to_batches()
                first += rows.num_rows

    def count_carried_without_raw(self) -> int:
        """Count the carried rows whose raw record the previous snapshot lacks."""
        if self._previous is None:
            return 0
        self._connection.read_parquet(str(self._previous.raw)).create_view("previous_raw", replace=True)
        ((count,),) = self._connection.sql(load_sql(__package__, "carried_without_raw.sql")).fetchall()
        return int(count)

    def compare_rotation(self, fetched: Path) -> tuple[int, int]:
        """Count the pairs of the rotation that were fetched, and of those the ones that differ from the previous snapshot.

        `fetched` is the Parquet file of this snapshot's rows, one for each pair. Nothing in their roster entries had changed:
        a difference means that carrying them over would have stored a wrong state.
        """
        if self._previous is None:
            return 0, 0
        self._connection.read_parquet(str(self._previous.unified)).create_view("previous_rows", replace=True)
        self._connection.read_parquet(str(fetched)).create_view("current_rows", replace=True)
        self._connection.execute("SET VARIABLE sentinels_end = $value", {"value": SENTINELS_END})
        ((count, differing),) = self._connection.sql(load_sql(__package__, "rotation.sql")).fetchall()
        return int(count), int(differing)

    def write_fingerprints(self, path: Path, metadata: dict[str, str]) -> None:
        """Write the roster fingerprints, for the plan of the next snapshot."""
        schema = ROSTER_FINGERPRINTS.with_metadata({key.encode(): value.encode() for key, value in metadata.items()})
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in self._connection.sql(load_sql(__package__, "fingerprints.sql")).to_arrow_reader(100_000):
                writer.write_batch(batch.cast(schema))

    def _read(self, name: str) -> Iterator[pa.RecordBatch]:
        yield from self._connection.sql(load_sql(__package__, name)).to_arrow_reader(READ_BATCH_ROWS)


@contextmanager
def build_plan(
    found: Iterable[PairBatch], previous: PreviousSnapshot | None, *, folder: Path, may_carry: bool, rotation_days: int
) -> Iterator[FetchPlan]:
    """Build the plan for the pairs that a strategy found; `folder` holds what does not fit into memory."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "found.parquet"
    _write_pairs(found, path)
    with duckdb_session(spill_to=folder) as connection:
        connection.read_parquet(str(path)).create_view("found")
        for name, schema, file in [
            ("fingerprints", ROSTER_FINGERPRINTS, previous and previous.fingerprints),
            ("previous", _PREVIOUS, previous and previous.unified),
        ]:
            if file is None:
                connection.register(name, schema.empty_table())
            else:
                connection.read_parquet(str(file)).create_view(name)
        parameters = {"may_carry": may_carry, "rotation_days": rotation_days}
        connection.execute(load_sql(__package__, "plan.sql"), parameters)
        yield FetchPlan(connection, previous)


def _write_pairs(found: Iterable[PairBatch], path: Path) -> None:
    position = 0
    with RowGroupWriter(path, _FOUND, "lz4") as writer:
        for batch in found:
            count = len(batch.entries)
            if not count:
                continue
            columns = {
                "user_id": [entry.user_id for entry in batch.entries],
                "course_id": [entry.course_id for entry in batch.entries],
                "payload": [entry.payload.decode() for entry in batch.entries],
                "fetched_at": [batch.fetched_at] * count,
                "position": range(position, position + count),
            }
            writer.write(pa.RecordBatch.from_pydict(columns, schema=_FOUND))
            position += count
        writer.end_rows()
