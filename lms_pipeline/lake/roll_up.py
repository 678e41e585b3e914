"""The roll-ups: of each table and day one file with the rows of all accounts, made from the files of the accounts.

Belongs here: writing a roll-up, and which ones are out of date. Not here: reading them (`roll_up_reading.py`). They are
disposable: a day whose accounts changed is rolled up again, and so is one whose roll-up is missing.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.files import (
    TableFile,
    check_readable,
    check_unchanged,
    conform,
    convert_read_errors,
    iter_row_groups,
    read_footer,
    select_metadata,
)
from lms_pipeline.lake.index import IndexState, PublicationIndex, PublishedDay, RollUp
from lms_pipeline.lake.index_sync import read_index
from lms_pipeline.lake.paths import DATA_FILE, DataDir, Partition
from lms_pipeline.lake.reading import find_committed
from lms_pipeline.lake.roll_up_reading import (
    NO_FILE,
    find_stored_days,
    is_current,
    list_rolled_up_tables,
    list_signatures,
    read_left_out,
)
from lms_pipeline.lake.stored_footers import read_stored_footer, read_stored_metadata
from lms_pipeline.storage.disk import convert_disk_errors
from lms_pipeline.tables.schema import SCHEMA_VERSION, Column, Table, arrow_schema

ORIGIN, SOURCE_DIGEST, LEFT_OUT = "origin", "source_digest", "left_out"
"""Entries in the metadata of a roll-up: a hash of the signatures of its files, one of their digests, and the accounts whose
file can't be read, each with a sentence."""

_LOCK = "roll_up"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RolledDay:
    """What was rolled up of a day."""

    day: date
    accounts: int = 0
    """The accounts that have a file of any of the tables."""
    digest: str = ""
    """A hash of the digests of all files that the roll-ups hold."""
    rows: dict[str, int] = field(default_factory=dict)
    """The rows of each table."""
    written: list[str] = field(default_factory=list)
    """The tables whose roll-up was written; the others hold the same already."""
    left_out: list[str] = field(default_factory=list)
    """For each file that can't be read, a sentence that says why."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A file of an account that goes into a roll-up."""

    account_id: str
    path: Path
    place: str
    """Where it is stored, for people."""
    digest: str


def find_outdated_days(data: DataDir) -> list[date]:
    """Return the days that have to be rolled up, the oldest first: an account changed, or the roll-up of a table is missing.

    So is a day that only roll-ups have: an index that was built again after the day was removed does not know it.

    Raises:
        LakeError, StorageError: the index or the store can't be used.
    """

    def find(index: PublicationIndex) -> list[date]:
        days, stored = index.find_days(), list_signatures(data)
        current = {(one.table, one.day) for one in index.find_roll_ups() if is_current(data, one, days, stored)}
        outdated = {day for day in days if any((table.name, day) not in current for table in list_rolled_up_tables())}
        # the cause may be gone without a change of the file: its owner, or the version of this package
        outdated |= {one.day for one in index.find_roll_ups() if one.left_out and one.day in days}
        return sorted(outdated | (find_stored_days(stored) - days.keys()))

    return read_index(data, find)


def roll_up_day(data: DataDir, day: date) -> RolledDay:
    """Write the roll-ups of a day whose files changed. A file that can't be read is left out.

    Rows pass in batches: neither an account nor the day is in memory.

    Raises:
        LakeError: a roll-up can't be written, or the index can't be used.
        StorageError: the store or the state can't be used.
    """

    def read(index: PublicationIndex) -> tuple[IndexState, list[PublishedDay]]:
        days = [one for one in index.find(day=day) if isinstance(one.partition, Partition)]
        return IndexState(index.read_state().epoch, index.find_days().get(day, 0)), days

    with convert_disk_errors(data.state), data.storage.state.lock(_LOCK):
        # before the files: one that is replaced meanwhile makes the day outdated
        state, published = read_index(data, read, is_compared=False)
        return _roll_up(data, day, published, state)


def _roll_up(data: DataDir, day: date, published: Sequence[PublishedDay], state: IndexState) -> RolledDay:
    """Write the roll-ups; `state` is the day's in the index that had these files."""
    tables = list_rolled_up_tables()
    accounts = sum(any(one.has_file(table.name) for table in tables) for one in published)
    rolled, roll_ups, digests = RolledDay(day, accounts), list[RollUp](), list[str]()
    for table in tables:
        files = [one for one in published if one.has_file(table.name)]
        key = data.get_key(data.roll_up(table, day))
        if not files:
            _remove(data, data.roll_up(table, day))
            roll_ups.append(RollUp(table.name, day, state.revision, NO_FILE, SCHEMA_VERSION, 0))
            continue
        if _write_if_changed(data, table, day, files):
            rolled.written.append(table.name)
        footer, stored = read_stored_footer(data.store, key), data.store.find(key)
        if footer is None or stored is None:
            raise LakeError(f"{data.store.describe(key)} was removed while it was written: run it again.")
        metadata = select_metadata(footer)
        left_out = read_left_out(metadata)
        rolled.rows[table.name] = footer.num_rows
        rolled.left_out.extend(sentence for sentence in left_out.values() if sentence not in rolled.left_out)
        digests.append(f"{table.name} {metadata[SOURCE_DIGEST]}")
        version = int(metadata.get("schema_version", "0"))
        roll_ups.append(RollUp(table.name, day, state.revision, stored.signature, version, len(left_out)))

    def store(index: PublicationIndex) -> None:
        index.remove_roll_ups(day)
        if index.read_state().epoch == state.epoch:  # else the revisions are those of an index that was lost meanwhile
            index.put_roll_ups(roll_ups)

    read_index(data, store, is_compared=False)
    digest = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return RolledDay(day, accounts, digest, rolled.rows, rolled.written, rolled.left_out)


def find_roll_ups(data: DataDir, day: date) -> list[Path]:
    """Return the roll-ups of a day that are stored."""
    paths = [data.roll_up(table, day) for table in list_rolled_up_tables()]
    return [path for path in paths if data.store.find(data.get_key(path)) is not None]


def remove_roll_ups(data: DataDir, day: date) -> None:
    """Remove the roll-ups of a day: an account's day that is removed must not stay in them. Waits for a roll-up at work.

    Raises:
        LakeError, StorageError: a file can't be removed.
    """
    with data.storage.state.lock(_LOCK):
        for table in list_rolled_up_tables():
            _remove(data, data.roll_up(table, day))


def _remove(data: DataDir, path: Path) -> None:
    data.store.remove(data.get_key(path))
    with convert_disk_errors(path):
        _name_new(path).unlink(missing_ok=True)  # of a roll-up that was killed
    with suppress(OSError):  # it holds other files, or does not exist
        path.parent.rmdir()


def _write_if_changed(data: DataDir, table: Table, day: date, files: Sequence[PublishedDay]) -> bool:
    """Write the roll-up of a table, unless the one that exists was made from the same files or from equal ones.

    With a bucket no file of it stays on this machine: those of a large fleet are many, and roll-ups are read in the bucket.
    """
    path, origin = data.roll_up(table, day), _hash_origin(table, files)
    key, keys = data.get_key(path), [data.get_key(data.file(table, one.partition)) for one in files]
    seen, existing = data.store.find(key), _read_existing(data, path)
    if existing.get(ORIGIN) == origin and _are_still_left_out(data, table, files, read_left_out(existing).keys()):
        return False
    with data.store.fetch_apart(keys) as folder:
        sources, left_out = _find_sources(data, folder, table, files)
        if existing.get(SOURCE_DIGEST) == _hash_digests(sources) and read_left_out(existing) == left_out:
            return False
        new = _name_new(path)
        while True:
            entries = {
                ORIGIN: origin,
                SOURCE_DIGEST: _hash_digests(sources),
                LEFT_OUT: msgspec.json.encode(left_out).decode(),
            }
            damaged = _write(new, table, sources, entries)
            if damaged is None:
                data.store.publish(new, key, seen)
                if not data.store.is_local:
                    path.unlink(missing_ok=True)
                return True
            source, sentence = damaged
            sources, left_out = [one for one in sources if one != source], {**left_out, source.account_id: sentence}


def _name_new(path: Path) -> Path:
    """Return the path of a roll-up while it is written."""
    return path.with_name(f"{DATA_FILE}.new")


def _are_still_left_out(data: DataDir, table: Table, files: Sequence[PublishedDay], left_out: Collection[str]) -> bool:
    """Return whether the accounts that a roll-up leaves out can't be read now either."""
    again = [one for one in files if _get_account(one.partition) in left_out]
    if not again:
        return True
    with data.store.fetch_apart([data.get_key(data.file(table, one.partition)) for one in again]) as folder:
        return not any(_is_readable(source.path) for source in _find_sources(data, folder, table, again)[0])


def _is_readable(path: Path) -> bool:
    try:
        check_readable(path)  # a file of an earlier version has no checksum
    except LakeError:
        return False
    return True


def _read_existing(data: DataDir, path: Path) -> dict[str, str]:
    """Return the metadata of a roll-up that has the columns of this version; empty if there is none, or it is damaged."""
    key = data.get_key(path)
    try:
        metadata = read_stored_metadata(data.store, key) or {}
        if metadata and data.store.is_local:  # nothing but the store can damage one in a bucket
            check_unchanged(path)
    except LakeError:
        log.warning("The roll-up %s can't be read: it is written again.", data.store.describe(key))
        return {}
    return metadata if metadata.get("schema_version") == str(SCHEMA_VERSION) else {}


def _hash_origin(table: Table, files: Sequence[PublishedDay]) -> str:
    signed = [(one.partition.folder.as_posix(), one.get_signature(table.name)) for one in files]
    return hashlib.sha256(repr(signed).encode()).hexdigest()


def _hash_digests(sources: Sequence[_Source]) -> str:
    digests = [(source.account_id, source.digest) for source in sources]
    return hashlib.sha256(repr(digests).encode()).hexdigest()


def _find_sources(
    data: DataDir, folder: Path, table: Table, files: Sequence[PublishedDay]
) -> tuple[list[_Source], dict[str, str]]:
    """Return the files of a folder that go into a roll-up, in the order of accounts, and for other accounts why theirs does not."""
    sources, left_out = list[_Source](), dict[str, str]()
    fetched = DataDir(folder)
    for one in files:
        read: Callable[[Path], dict[str, str]] = cache(lambda path: select_metadata(read_footer(path)))
        place = data.describe(data.file(table, one.partition))
        try:
            for partition, path in find_committed(fetched, table, [one.partition], read):
                check_unchanged(path)
                digest = read(path).get("digest") or one.get_signature(table.name).hex()
                sources.append(_Source(_get_account(partition), path, place, digest))
        except LakeError as error:
            path = fetched.file(table, one.partition)
            if path.exists():  # else it was removed meanwhile
                left_out[_get_account(one.partition)] = str(error).replace(str(path), place)
    return sources, left_out


def _get_account(partition: object) -> str:
    return partition.account_id if isinstance(partition, Partition) else ""


def _write(new: Path, table: Table, sources: Sequence[_Source], entries: dict[str, str]) -> tuple[_Source, str] | None:
    """Write a roll-up. If a file turns out to be damaged, nothing is written; return it, and why it can't be read."""
    with TableFile(describe_roll_up(table), new) as file:
        for source in sources:
            batches = _read_batches(source, table)
            while True:
                try:
                    batch = next(batches, None)
                except LakeError as error:
                    return source, str(error).replace(str(source.path), source.place)
                if batch is None:
                    break
                file.write(batch)
        file.close(entries)
    return None


def _read_batches(source: _Source, table: Table) -> Iterator[pa.RecordBatch]:
    """Yield the rows of an account, with its id before the table's columns; a column that an older file lacks is null."""
    schema = arrow_schema(describe_roll_up(table))
    with convert_read_errors(source.path), pq.ParquetFile(source.path) as file:
        for stored in iter_row_groups(file):
            batch = conform(stored, table)
            accounts = pa.repeat(pa.scalar(source.account_id), batch.num_rows)
            yield pa.RecordBatch.from_arrays([accounts, *batch.columns], schema=schema)


@cache
def describe_roll_up(table: Table) -> Table:
    """Return the table as it is in a roll-up: with the account as the first column."""
    account = Column("account_id", "string", "The integrated account", nullable=False)
    columns = (Column(column.name, column.type, column.doc) for column in table.columns)
    return Table(table.name, table.doc, (account, *columns))
