"""The failure of one account in a run of several: an event of its account and day in Dagster's log.

Belongs here: how such a failure is recorded, and how it is read back. Not here: the failure of a whole run (`failures.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import dagster as dg

from lms_pipeline.defs.partitions import PARTITION_TAG, build_partition_key, parse_partition_tags
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.paths import Partition

FAILED, MAY_PASS, SENDS_ALERT = "failed", "may_pass", "sends_alert"
"""Names of the metadata of the event."""
MAX_NAMED = 10
"""Accounts that the error of a run names."""


@dataclass(frozen=True, slots=True)
class AccountFailure:
    """Why nothing, or not everything, was published for an account and day."""

    partition: Partition
    sentence: str
    may_pass: bool
    """Whether another run may succeed."""
    sends_alert: bool = True
    """False if no other run can publish the day."""

    @classmethod
    def of(cls, partition: Partition, error: Exception) -> Self:
        """Describe an error. Another exception than ours is named by its class only: its message may hold personal data."""
        if not isinstance(error, LmsPipelineError):
            sentence = f"an unexpected {type(error).__name__}: see the run's log in the UI."
            return cls(partition, sentence, may_pass=False)
        return cls(partition, str(error), error.may_pass, error.sends_alert)

    def build_observation(self, asset_key: dg.AssetKey) -> dg.AssetObservation:
        """Build the event, which the page of an asset shows at the partition."""
        return dg.AssetObservation(
            asset_key,
            description=self.sentence,
            partition=build_partition_key(self.partition),
            metadata={
                FAILED: dg.MetadataValue.text(self.sentence),
                MAY_PASS: dg.MetadataValue.bool(self.may_pass),
                SENDS_ALERT: dg.MetadataValue.bool(self.sends_alert),
            },
        )


class AccountsFailedError(LmsPipelineError):
    """Some of the accounts of a run failed, after all of them were tried."""

    def __init__(self, failures: Sequence[AccountFailure], total: int) -> None:
        days = {failure.partition.day for failure in failures}
        names = [one.partition.account_id if len(days) == 1 else str(one.partition) for one in failures]
        what = "accounts" if len(days) == 1 else "accounts and days"
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        super().__init__(
            f"{len(failures)} of {total} {what} failed: {', '.join(names[:MAX_NAMED])}{more}; the log above and the page "
            "of each account and day say why."
        )
        self.may_pass = any(failure.may_pass for failure in failures)
        """Whether a retry may publish one of them."""
        self.sends_alert = any(failure.sends_alert for failure in failures)


def read_account_failures(instance: dg.DagsterInstance, run_id: str) -> list[AccountFailure]:
    """Return the failures of single accounts that a run recorded; none of a run of one account."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
    found = (_parse_observation(entry.asset_observation) for entry in entries)
    return [failure for failure in found if failure is not None]


def _parse_observation(observation: dg.AssetObservation | None) -> AccountFailure | None:
    if observation is None or FAILED not in observation.metadata:
        return None
    partition = parse_partition_tags({PARTITION_TAG: observation.partition or ""})
    if partition is None:
        return None
    values = {name: observation.metadata[name].value for name in (FAILED, MAY_PASS, SENDS_ALERT)}
    return AccountFailure(partition, str(values[FAILED]), bool(values[MAY_PASS]), bool(values[SENDS_ALERT]))
