"""The state: locks, notes, limits and the registry that the processes of an installation share.

Belongs here: the interface and its errors. Not here: the implementations (`file_state.py`, `postgres_state.py`).
"""

from __future__ import annotations

from lms_pipeline.errors import LakeError


class StateError(LakeError):
    """The state can't be read or written. The same may succeed later."""


class LostLockError(StateError):
    """The connection that held a lock ended: another run may hold it now. Nothing was published."""
