"""The storage of an installation, chosen once by its settings: nothing else asks which store or state it is.

Belongs here: the choice, and what one process keeps open. Not here: the implementations of `Store` and `State`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import SecretStr

from lms_pipeline.storage.file_state import FileState
from lms_pipeline.storage.local_store import LocalStore
from lms_pipeline.storage.postgres import Database
from lms_pipeline.storage.postgres_state import PostgresState
from lms_pipeline.storage.state import State
from lms_pipeline.storage.store import Store


@dataclass(frozen=True, slots=True)
class Storage:
    """Where an installation keeps what must last."""

    root: Path
    """The local folder. With a bucket and a database it is scratch, which may be lost between runs."""
    store: Store
    """Keeps published files, stored responses and roll-ups."""
    state: State
    """Keeps locks, notes, limits and the registry."""
    database: Database | None = None
    """The database of LMS_STATE_URL, for the index."""


def open_local_storage(root: Path) -> Storage:
    """Return the storage of an installation on one machine, all of it below a folder."""
    return Storage(root, LocalStore(root), FileState(root / "state"))


@cache
def open_storage(root: Path, state_url: SecretStr | None) -> Storage:
    """Return the storage that the settings name; a process has one of each, so that connections are shared."""
    if state_url is None:
        return open_local_storage(root)
    database = Database(state_url)
    return Storage(root, LocalStore(root), PostgresState(database, FileState(root / "state")), database)
