"""The storage of an installation, chosen once by its settings: nothing else asks which store or state it is.

Belongs here: the choice, and what one process keeps open. Not here: the implementations of `Store` and `State`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lms_pipeline.storage.local_store import LocalStore
from lms_pipeline.storage.postgres import Database
from lms_pipeline.storage.store import Store


@dataclass(frozen=True, slots=True)
class Storage:
    """Where an installation keeps what must last."""

    root: Path
    """The local folder. With a bucket and a database it is scratch, which may be lost between runs."""
    store: Store
    """Keeps published files, stored responses and roll-ups."""
    database: Database | None = None
    """The database of LMS_STATE_URL, for the index."""


def open_local_storage(root: Path) -> Storage:
    """Return the storage of an installation on one machine, all of it below a folder."""
    return Storage(root, LocalStore(root))
