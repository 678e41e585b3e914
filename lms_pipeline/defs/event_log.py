"""Dagster's event log in SQLite files, with connections that stay open and commits that do not wait for the disk.

Belongs here: how these files are opened. Not here: what they contain (Dagster), and their removal (`run_logs.py`).
"""

# Dagster opens a new engine for each statement and waits for the disk at each commit. The events of a small account's
# run took 1.3 of its 2.8 s; they take 0.3 s here. In WAL mode, `synchronous=NORMAL` can lose the events of the last
# moments when the machine itself crashes, never those of a process that is killed, and damages no file.

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, NamedTuple
from uuid import uuid4

import dagster as dg

# no public name: the default event log storage
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.event import listen
from sqlalchemy.pool import StaticPool

from lms_pipeline.storage.disk import replace_file, sync

BUSY_TIMEOUT_SECONDS = 60
"""How long a statement waits for another process's transaction, as in Dagster's own storage."""
MAX_OPEN_FILES = 8
"""Files that stay open. A run writes two: its own and the index."""
INDEX = "index"
CONFIG_LINES = """\
event_log_storage:
  module: lms_pipeline.defs.event_log
  class: LocalEventLogStorage
"""
"""Lines of `dagster.yaml` that select this storage."""


class _OpenFile(NamedTuple):
    engine: Engine
    inode: int


class LocalEventLogStorage(SqliteEventLogStorage):
    """Dagster's default event log storage with one connection a file instead of one a statement.

    The files are Dagster's own, in the same place: either class reads what the other wrote.
    """

    def __init__(self, base_dir: str | None = None, inst_data: ConfigurableClassData | None = None) -> None:
        """Build the storage. Without `base_dir` it opens Dagster's own place in the instance, once it has one."""
        self._open_files: OrderedDict[str, _OpenFile] = OrderedDict()
        self._one_at_a_time = Lock()  # threads share the connections
        self._tables: set[str] = set()
        self._inst_data = inst_data
        self._has_place = base_dir is not None
        if base_dir is not None:
            super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return the options in `dagster.yaml`: `base_dir`, by default Dagster's own place in its home."""
        return {"base_dir": dg.Field(dg.StringSource, is_required=False)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> LocalEventLogStorage:
        """Build the storage from its options."""
        return cls(config_value.get("base_dir"), inst_data)

    def register_instance(self, instance: dg.DagsterInstance) -> None:
        """Set the instance whose log this is."""
        if not self._has_place:
            super().__init__(str(Path(instance.root_directory, "history", "runs")), self.inst_data)
            self._has_place = True
        super().register_instance(instance)

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[Connection]:
        """Open a transaction in the file of a run, or of the events that belong to no run."""
        return self._begin(run_id or "")

    def index_connection(self) -> AbstractContextManager[Connection]:
        """Open a transaction in the file that all runs share."""
        return self._begin(INDEX)

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store an event, and let those who watch the file see it: an open file grows in its write-ahead log only."""
        super().store_event(event)
        os.utime(self.path_for_shard(event.run_id))

    def has_table(self, table_name: str) -> bool:
        """Return whether the index has a table. Dagster calls this for each event; a table that exists stays."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def dispose(self) -> None:
        """Close the files."""
        if self._has_place:
            super().dispose()
        with self._one_at_a_time:
            while self._open_files:
                self._close_file(next(iter(self._open_files)))

    @contextmanager
    def _begin(self, shard: str) -> Iterator[Connection]:
        with self._one_at_a_time, self._open(shard).begin() as connection:
            yield connection

    def _open(self, shard: str) -> Engine:
        path = Path(self.path_for_shard(shard))
        opened = self._open_files.get(shard)
        if opened is not None and (not path.exists() or path.stat().st_ino != opened.inode):
            self._close_file(shard)  # housekeeping removed it
            opened = None
        if opened is None:
            opened = self._open_file(shard, path)
        self._open_files.move_to_end(shard)
        while len(self._open_files) > MAX_OPEN_FILES:
            self._close_file(next(name for name in self._open_files if name != INDEX))
        return opened.engine

    def _open_file(self, shard: str, path: Path) -> _OpenFile:
        if not path.exists():
            self._initialized_dbs.discard(shard)
            if shard != INDEX:
                self._copy_empty_file(shard, path)
        if shard not in self._initialized_dbs:
            with super()._connect(shard):  # creates the tables of a new file
                pass
        engine = create_engine(
            self.conn_string_for_shard(shard),
            poolclass=StaticPool,
            connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )
        listen(engine, "connect", _set_synchronous_normal)
        opened = self._open_files[shard] = _OpenFile(engine, path.stat().st_ino)
        return opened

    def _copy_empty_file(self, shard: str, path: Path) -> None:
        """Create a file as a copy of an empty one: creating its tables takes Dagster 0.1 s.

        Where that fails, and where another process is faster, Dagster creates the tables that are missing.
        """
        empty = path.with_name(f"empty-{dg.__version__}.sqlite")  # named unlike a file of events
        new = path.with_name(f"{uuid4()}.new")
        with suppress(OSError):
            if not empty.exists():
                self._create_empty_file(empty)
            try:
                shutil.copyfile(empty, new)
                os.link(new, path)  # unlike a rename, it replaces no file
                self._initialized_dbs.add(shard)
            finally:
                new.unlink(missing_ok=True)

    def _create_empty_file(self, path: Path) -> None:
        with TemporaryDirectory(dir=path.parent) as folder:
            shard = f"{Path(folder).name}/empty"
            with super()._connect(shard):
                pass
            self._initialized_dbs.discard(shard)
            created = Path(self.path_for_shard(shard))
            sync(created)
            replace_file(created, path)

    def _close_file(self, shard: str) -> None:
        self._open_files.pop(shard).engine.dispose()


def _set_synchronous_normal(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def find_missing_config(instance: dg.DagsterInstance) -> str | None:
    """Return the lines that `dagster.yaml` lacks for this storage; None if it has them or selects another one."""
    return CONFIG_LINES if type(instance.event_log_storage) is SqliteEventLogStorage else None
