"""The record of the latest build: what it holds of which files, so that the next build reads what changed only.

Belongs here: the record and whether it may be trusted. It is disposable: without it the next build is a full one.
"""

from __future__ import annotations

import logging
from pathlib import Path

import duckdb
import msgspec

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.warehouse_sql import hash_layout
from lms_pipeline.storage.damaged_files import remove_path
from lms_pipeline.storage.disk import atomic_write, convert_disk_errors
from lms_pipeline.storage.local_store import sign_file

RECORD_VERSION = 1
"""Raised when the rules change of what belongs in the warehouse, or the record itself."""
MAX_UPDATES = 50
"""Builds that follow each other without a full one, which puts the rows in order again."""
MAX_GROWTH = 2
"""The bytes per row, as a multiple of the least since the last full build, from which the next build is a full one: the
space of removed rows stays in the file."""
MIN_GROWN_BYTES = 20_000_000
"""The size below which the growth does not matter."""

log = logging.getLogger(__name__)


class WarehouseRecord(msgspec.Struct):
    """What a build holds, and what it was made from."""

    origin: str
    """What decides the content beside the files: `describe_origin`."""
    build: str
    """The name of the build's file."""
    build_signature: bytes = b""
    """The signature of the build's file, which shows that nobody wrote into it."""
    updates: int = 0
    """The builds since the last full one."""
    bytes_per_row: float = 0
    """The least since the last full build."""
    days: dict[str, tuple[bytes, list[str]]] = msgspec.field(default_factory=dict)
    """The complete days by their folder: the signatures of the files, and the tables whose file has other columns."""
    stored: dict[str, dict[str, bytes]] = msgspec.field(default_factory=dict)
    """For each stored table, the signature of the file of each day whose rows it holds."""
    views: dict[str, str] = msgspec.field(default_factory=dict)
    """A hash of the query of each view."""


def describe_origin(data: DataDir) -> str:
    """Return what decides the content of a build beside the files of the lake."""
    return f"{RECORD_VERSION} {duckdb.__version__} {hash_layout()} {data.lake}"


def load_record(data: DataDir) -> WarehouseRecord | None:
    """Return the record of the present warehouse; None if the next build must be a full one."""
    path = _find_path(data)
    try:
        record = msgspec.msgpack.decode(path.read_bytes(), type=WarehouseRecord)
        return record if _is_current(data, record) else None
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s can't be read (%s): the warehouse is built from all files.", path, error)
        return None


def save_record(data: DataDir, record: WarehouseRecord, rows: int) -> None:
    """Save the record of a build with so many rows, if the next build may use it."""
    path, build = _find_path(data), data.warehouse.resolve()
    size = build.stat().st_size
    bytes_per_row = size / max(rows, 1)
    record.bytes_per_row = min(bytes_per_row, record.bytes_per_row) if record.updates else bytes_per_row
    record.build_signature = sign_file(build)
    has_grown = size > max(MIN_GROWN_BYTES, MAX_GROWTH * record.bytes_per_row * rows)
    try:
        remove_path(path)
        if record.updates < MAX_UPDATES and not has_grown:
            with atomic_write(path) as new:
                new.write_bytes(msgspec.msgpack.encode(record))
    except (OSError, LakeError) as error:
        log.warning("%s can't be written (%s): the next build of the warehouse reads all files.", path, error)


def remove_record(data: DataDir) -> None:
    """Remove the record: the next build is a full one.

    Raises:
        LakeError: it can't be removed.
    """
    path = _find_path(data)
    with convert_disk_errors(path):
        remove_path(path)


def _find_path(data: DataDir) -> Path:
    return data.state / "warehouse" / "record.msgpack"


def _is_current(data: DataDir, record: WarehouseRecord) -> bool:
    """Return whether the record is that of the file to which the warehouse leads, and nothing else decides its content."""
    build = data.warehouse.resolve()
    return (
        record.origin == describe_origin(data)
        and data.warehouse.is_symlink()
        and build.name == record.build
        and not build.with_name(f"{build.name}.wal").exists()
        and sign_file(build) == record.build_signature
    )
