"""The roll-ups that readers may use instead of the files of the accounts.

Belongs here: which roll-ups are current. Not here: writing them (`roll_up.py`), reading their rows (`reading.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path

import msgspec

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.index import RollUp
from lms_pipeline.lake.index_file import open_index
from lms_pipeline.lake.paths import DATA_FILE, AnyPartition, DataDir, Partition, parse_any_folder
from lms_pipeline.lake.scan import sort_key
from lms_pipeline.storage.state import StateError
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, REJECTED_ENROLLMENTS
from lms_pipeline.tables.schema import Table

NO_FILE = b""
"""The signature of a roll-up without a file: no account has one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CurrentRollUps:
    """The days of a table that a reader can read from roll-ups, and what the index has of the others."""

    files: Mapping[date, Path] = field(default_factory=dict)
    """The roll-up of each day that has one with all that is published now."""
    others: Sequence[AnyPartition] = ()
    """The partitions with a file of the table on other days, by account and day."""


@cache
def list_rolled_up_tables() -> tuple[Table, ...]:
    """Return the tables that are rolled up: not those with the records of providers, nor those over all accounts."""
    left_out = (RAW_ENROLLMENTS, REJECTED_ENROLLMENTS)
    return tuple(table for table in TABLES.values() if table.per_account and table not in left_out)


def list_signatures(data: DataDir, folder: Path | None = None) -> dict[str, bytes]:
    """Return the signature of each roll-up that is stored, or of those in a folder, by its key.

    Raises:
        LakeError, StoreError: they can't be listed.
    """
    folder = folder or data.roll_ups
    return {file.key: file.signature for file in data.store.list_files(f"{data.get_key(folder)}/")}


def is_current(data: DataDir, roll_up: RollUp, days: Mapping[date, int], stored: Mapping[str, bytes]) -> bool:
    """Return whether a roll-up was made from the day's latest revision, and its file is still the one that was written.

    `stored` are the signatures of the files, see `list_signatures`.
    """
    if days.get(roll_up.day, 0) > roll_up.revision:
        return False
    key = data.get_key(data.roll_up(TABLES[roll_up.table], roll_up.day))
    return stored.get(key, NO_FILE) == roll_up.signature


def find_stored_days(stored: Iterable[str]) -> set[date]:
    """Return the days of roll-ups with these keys."""
    paths = [Path(key) for key in stored]
    partitions = (parse_any_folder(Path(path.parent.name)) for path in paths if path.name == DATA_FILE)
    return {partition.day for partition in partitions if partition is not None}


def find_current_roll_ups(data: DataDir, table: Table, first: date, last: date) -> CurrentRollUps:
    """Return the roll-ups of the days `first` to `last` that hold all that is published. Nothing is written.

    There are none if the index can't be read, and none of a day on which a run is publishing.

    Raises:
        StoreError: they can't be listed.
    """
    if table not in list_rolled_up_tables():
        return CurrentRollUps()
    try:
        stored = list_signatures(data, data.roll_ups / table.name)
        if not stored:
            return CurrentRollUps()
        with open_index(data, read_only=True) as index:
            days = {day: revision for day, revision in index.find_days().items() if first <= day <= last}
            pending = [one.partition for one in index.find_pending() if first <= one.partition.day <= last]
            uncertain = {partition.day for partition in pending}
            current = [
                one
                for one in index.find_roll_ups()
                if one.table == table.name and one.day in days and one.day not in uncertain and not one.left_out
                if is_current(data, one, days, stored)
            ]
            others = days.keys() - {one.day for one in current}
            published = [one for day in others for one in index.find(day=day)] if current else []
    except (LakeError, StateError) as error:
        log.info("The roll-ups are not used: %s", error)
        return CurrentRollUps()
    files = {one.day: data.roll_up(table, one.day) for one in current if one.signature != NO_FILE}
    partitions = {one.partition for one in published if one.has_file(table.name)}
    # what a run has just published may be missing in the index
    partitions |= {one for one in pending if isinstance(one, Partition) and data.is_published(table, one)}
    return CurrentRollUps(files, sorted(partitions, key=sort_key))


def read_left_out(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the accounts that a roll-up lacks, from its metadata, each with a sentence that says why."""
    return msgspec.json.decode(metadata.get("left_out", "{}"), type=dict[str, str])
