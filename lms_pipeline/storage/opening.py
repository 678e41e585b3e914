"""The storage of an installation, chosen once by its settings: nothing else asks which store or state it is.

Belongs here: the choice, and what one process keeps open. Not here: the implementations of `Store` and `State`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from lms_pipeline.errors import SettingsError
from lms_pipeline.storage.file_state import FileState
from lms_pipeline.storage.local_store import LocalStore
from lms_pipeline.storage.postgres import Database
from lms_pipeline.storage.postgres_state import PostgresState
from lms_pipeline.storage.scratch_mark import mark_scratch, refuse_scratch
from lms_pipeline.storage.state import State
from lms_pipeline.storage.store import Store

_opened: dict[tuple[Path, str | None, SecretStr | None], Storage] = {}
"""The storages of this process: their clients keep connections open."""
_opening = threading.Lock()


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


def open_storage(
    root: Path, lake_url: str | None, state_url: SecretStr | None, *, is_demo: Callable[[], bool] = lambda: False
) -> Storage:
    """Return the storage of an installation; one process opens each once.

    Args:
        root: the data directory.
        lake_url: the bucket with what must last; None for the data directory itself.
        state_url: the database with what processes share; None for files in the data directory.
        is_demo: says whether the data directory is the demo's, when something is about to be written to the bucket.

    Raises:
        SettingsError: the extra for buckets is not installed, the environment lacks what the bucket's cloud needs, or the
            data directory is not of this installation: it has a lake of its own, or copies of a bucket.
        LakeError: the data directory can't be marked as scratch.
    """
    with _opening:
        key = (root, lake_url, state_url)
        if key not in _opened:
            local, database = open_local_storage(root), Database(state_url) if state_url else None
            state = PostgresState(database, local.state, lake_url) if database else local.state
            _opened[key] = Storage(root, _open_store(root, lake_url, is_demo), state, database)
        return _opened[key]


def _open_store(root: Path, lake_url: str | None, is_demo: Callable[[], bool]) -> Store:
    if lake_url is None:
        refuse_scratch(root)
        return LocalStore(root)
    try:
        from lms_pipeline.storage.bucket import Bucket
        from lms_pipeline.storage.object_store import ObjectStore
    except ModuleNotFoundError as missing:
        if missing.name != "obstore":
            raise
        raise SettingsError(
            'LMS_LAKE_URL needs packages that are not installed: run `pip install "lms-pipeline[distributed]"`.'
        ) from None
    bucket = Bucket.open(lake_url)
    mark_scratch(root, lake_url)
    return ObjectStore(root, bucket, is_demo)
