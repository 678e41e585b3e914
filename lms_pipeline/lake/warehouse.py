"""The warehouse `lms.duckdb`: a DuckDB file over the lake, built in a file of its own and then swapped in.

Belongs here: opening it, and how a build takes the place of the latest one. Not here: writing a build
(`warehouse_build.py`), reading the lake from Python (`reading.py`).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import msgspec

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.warehouse_build import remove_build, write_build
from lms_pipeline.lake.warehouse_record import remove_record, save_record
from lms_pipeline.lake.warehouse_sql import quote
from lms_pipeline.lake.warehouse_views import write_views
from lms_pipeline.storage.damaged_files import build_lock, remove_path, set_aside_folder
from lms_pipeline.storage.disk import convert_disk_errors, is_disk_full
from lms_pipeline.storage.state import read_json_note
from lms_pipeline.storage.store import Store, StoreError

MAX_BUILDS = 2
"""Builds that are kept: the latest, and the one before it, which a reader may be about to open."""

_STORE_FAILURE = re.compile(r"^Traceback .*^(?:\w+\.)*\w+: (.+)\Z", re.DOTALL | re.MULTILINE)
"""In DuckDB's message about an error in Python: the error's own sentence."""


@contextmanager
def open_warehouse(data: DataDir) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a read-only connection to the warehouse, in UTC. With a bucket, its views read the files there.

    Raises:
        LakeError: the warehouse was not built yet or was built for another folder, or another program has it open for
            writing.
        StoreError: the bucket can't be used.
    """
    place = data.describe(data.warehouse)
    data.store.fetch([data.get_key(data.warehouse)])
    if not data.warehouse.exists():
        raise LakeError(f"There is no warehouse at {place} yet: run `lms-pipeline materialize` first.")
    try:
        connection = duckdb.connect(str(data.warehouse.resolve()), read_only=True)
    except duckdb.Error:
        raise LakeError(
            f"{place} can't be opened: close the program that has it open for writing, or materialize the "
            "asset `warehouse`, which builds a new one."
        ) from None
    with connection, _reading_store(connection, data.store):
        if not _reads_this_lake(connection, data):
            raise LakeError(
                f"{place} was built for another folder, whose files it would read: run `lms-pipeline materialize "
                "--select warehouse`, which builds a new one."
            )
        connection.execute("SET TimeZone = 'UTC'")
        # a name in a query is a table, never a Python variable
        connection.execute("SET python_enable_replacements = false")
        yield connection


@contextmanager
def _reading_store(connection: duckdb.DuckDBPyConnection, store: Store) -> Iterator[None]:
    """Let queries in the block read the files of a bucket; those of a disk DuckDB reads itself.

    Raises:
        StoreError: a query failed because the bucket can't be used, or a file was replaced meanwhile.
    """
    if store.is_local:
        yield
        return
    from lms_pipeline.storage.file_system import StoredFileSystem, reading_files  # imports fsspec

    with reading_files(connection, StoredFileSystem(store)):
        try:
            yield
        except duckdb.Error as error:
            refuse_store_failure(error)
            raise


def refuse_store_failure(error: duckdb.Error) -> None:
    """Raise the failure of a bucket that DuckDB raises as an error of its own, with the text of a traceback.

    Raises:
        StoreError: the error is one of the bucket.
    """
    if found := _STORE_FAILURE.search(str(error)):
        raise StoreError(found[1]) from None


def _reads_this_lake(connection: duckdb.DuckDBPyConnection, data: DataDir) -> bool:
    """Return whether the views read files of this data directory; a copied one has views of the original."""
    prefix = quote(data.describe(data.lake))[:-1]
    views = connection.execute(
        "SELECT sql FROM duckdb_views() WHERE NOT internal AND contains(sql, 'read_parquet')"
    ).fetchall()
    return all(prefix in sql for (sql,) in views)


@dataclass(frozen=True, slots=True)
class WarehouseBuild:
    """What a build holds, and what not."""

    rows: dict[str, int] = field(default_factory=dict)
    """The rows of each stored table, by its name; views have none."""
    left_out: list[str] = field(default_factory=list)
    """For each file that can't be read, a sentence that says why: no file keeps those of other accounts out."""


def build_warehouse(data: DataDir, *, is_rolled_up: bool = False) -> WarehouseBuild:
    """Build a new warehouse from the published files, and swap it in.

    It is a copy of the latest build, with the days that changed since: other files are not opened. Without a latest build
    that can be trusted, or if most has changed, all files are read. With `is_rolled_up`, and for a bucket, it has views alone,
    under the same names and with the same columns, over the roll-ups that exist.

    Readers of the old file are not disturbed. Views show files that are published later, too, unless a file of their
    table is left out.

    Raises:
        LakeError: it can't be built; the old warehouse stays.
        StorageError: the store or the state can't be used, so that a later build may succeed; the old warehouse stays.
    """
    folder = data.state / "warehouse"
    build = folder / f"lms-{uuid.uuid4().hex}.duckdb"
    with convert_disk_errors(folder), ExitStack() as on_error:
        folder.mkdir(parents=True, exist_ok=True)
        with _locking_builds(data, folder):
            on_error.callback(remove_build, build)
            try:
                has_views = is_rolled_up or not data.store.is_local
                written = write_views(data, build) if has_views else write_build(data, build)
            except (LakeError, duckdb.Error, OSError) as error:
                reason = _describe_failure(error, folder)
                raise LakeError(f"The warehouse can't be built, and the old one stays: {reason}") from error
            if data.store.is_local:
                on_error.pop_all()
                _swap_link(data.warehouse, build)
                _remove_old_builds(folder, build)
            else:
                data.store.send(build, data.get_key(data.warehouse))
            if written.record is None:
                remove_record(data)
            else:
                save_record(data, written.record, sum(written.rows.values()))
            data.storage.state.write_note(data.get_note(data.left_out), msgspec.json.encode(written.left_out))
    return WarehouseBuild(written.rows, written.left_out)


@contextmanager
def _locking_builds(data: DataDir, folder: Path) -> Iterator[None]:
    """Wait for other builds on this disk, and with a bucket for those of all machines: the latest one is the last to be sent."""
    with build_lock(folder / "lock"), ExitStack() as others:
        if not data.store.is_local:
            others.enter_context(data.storage.state.lock("warehouse"))
        yield


def read_left_out(data: DataDir) -> list[str]:
    """Return the sentences about files that the latest build left out; none before the first one.

    Raises:
        LakeError, StateError: they can't be read.
    """
    consequence = "the next build of the warehouse writes it again"
    return read_json_note(data.storage.state, data.get_note(data.left_out), list[str], consequence) or []


def _describe_failure(error: Exception, folder: Path) -> str:
    if is_disk_full(error):
        return f"the disk of {folder} is full; free some space and run it again."
    return str(error).splitlines()[0]


def _swap_link(link: Path, target: Path) -> None:
    """Make `link` lead to the new build.

    DuckDB keeps a write-ahead log beside the file that a link leads to. Without the link, a new build could not be opened
    beside the log of a program that has the old one open for writing.
    """
    set_aside_folder(link, "a new warehouse takes its place")
    new = link.with_name(f".{target.name}.link")
    new.symlink_to(target.relative_to(link.parent))
    new.replace(link)
    remove_path(link.with_name(f"{link.name}.wal"))


def _remove_old_builds(folder: Path, current: Path) -> None:
    """Remove older builds. A reader that has one open keeps it, and its folder for spilled data, until it closes it."""
    for link in folder.parent.parent.glob(".lms-*.duckdb.link"):  # of a build that was killed before it swapped
        link.unlink(missing_ok=True)
    older = sorted(set(folder.glob("lms-*.duckdb")) - {current}, key=lambda path: path.stat().st_mtime)
    kept = {current.name, *(build.name for build in older[1 - MAX_BUILDS :])}
    for path in folder.glob("lms-*.duckdb*"):
        if path.name.removesuffix(".wal").removesuffix(".tmp") in kept:
            continue
        if path.suffix == ".tmp":
            with suppress(OSError):  # a query still spills into it
                path.rmdir()
        else:
            remove_path(path)
