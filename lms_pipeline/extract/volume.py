"""The bytes of one snapshot's responses: how many it may receive, and whether the disk has space for them.

Belongs here: the store that counts them. Not here: the calls of a snapshot (`budget.py`), the records of a list
(`truto/list_bounds.py`), the free space (`lake/space.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.extract.checkpoint import Attempt
from lms_pipeline.lake.space import CheckSpace
from lms_pipeline.truto.store import StoredResponse

GIGABYTE = 10**9


class VolumeSpentError(LmsPipelineError):
    """The responses of a snapshot are larger than it may receive."""


@dataclass(slots=True)
class BoundedStore:
    """A store of one attempt's responses that refuses what is beyond its bound. Threads may share it."""

    attempt: Attempt
    account_id: str
    max_gigabytes: float
    check_space: CheckSpace
    _received: int = field(init=False)
    _lock: Lock = field(init=False, default_factory=Lock)

    def __post_init__(self) -> None:
        self.recount()

    def recount(self) -> None:
        """Count the stored responses, at the start and after some were removed. No other thread stores any meanwhile."""
        with self._lock:
            self._received = self.attempt.measure_responses()

    def get(self, key: str) -> StoredResponse | None:
        """Return the stored response of a request, if any."""
        return self.attempt.get(key)

    def put(self, key: str, response: StoredResponse) -> None:
        """Store a response.

        Raises:
            VolumeSpentError: the responses are larger than `max_gigabytes`.
            SpaceShortError: the disk has no space for it.
        """
        with self._lock:
            self._received += len(response.body)
            if self._received > self.max_gigabytes * GIGABYTE:
                raise VolumeSpentError(
                    f"The responses for a snapshot of {self.account_id} have more than {self.max_gigabytes:g} GB: find out "
                    "why the account sends so much, or raise max_gigabytes for it in LMS_ACCOUNTS_FILE."
                )
        self.check_space(len(response.body))
        self.attempt.put(key, response)
