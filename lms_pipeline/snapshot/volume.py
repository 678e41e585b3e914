"""What one pull holds on the disk, and how it ends at a bound or for lack of space.

Belongs here: the removal of responses with which a pull can't succeed. Not here: the bounds (`extract/volume.py`,
`truto/list_bounds.py`), what a pull may write (`lake/space.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lms_pipeline.errors import LakeError, LmsPipelineError, StorageError, choose_form, format_count
from lms_pipeline.extract.checkpoint import Attempt
from lms_pipeline.extract.checkpoint_file import CheckpointError
from lms_pipeline.extract.volume import VolumeSpentError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.space import RESERVE_BYTES, SPACE_FACTOR, SpaceShortError, SpaceWatch, measure_latest
from lms_pipeline.lake.stopped import StoppedPull, forget_stopped, read_stopped, save_stopped
from lms_pipeline.lake.waiting import utc_now
from lms_pipeline.snapshot.job import SnapshotJob
from lms_pipeline.storage.disk import is_disk_full, measure_freed
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline.truto.errors import TrutoError
from lms_pipeline.truto.list_bounds import EndlessListError

MORE_SPACE = 1.25
"""Space that the next try needs, in what a pull had that stopped for lack of it: with as much, it would stop again."""

log = logging.getLogger(__name__)


class StoppedPullError(LmsPipelineError):
    """A pull stopped at a bound a short time ago, and would do so again."""


def check_stopped(data: DataDir, job: SnapshotJob) -> None:
    """Refuse a pull that stopped at a bound, until a while has passed or the account has another bound.

    Raises:
        StoppedPullError: with why it stopped.
    """
    stopped = read_stopped(data, job.partition)
    if stopped is not None and stopped.forbids(_get_bounds(job), utc_now()):
        raise StoppedPullError(
            f"The pull of {job.partition} stopped at {stopped.at:%Y-%m-%d %H:%M} UTC and is not tried again before "
            f"{stopped.begins_again_at:%H:%M}, unless max_gigabytes or max_records of the account change; no request was "
            f"sent. It stopped because: {stopped.reason}"
        )


def watch_space(data: DataDir, job: SnapshotJob, checkpoint: Path, scratch: Path) -> SpaceWatch:
    """Return the watch of a pull: it holds its responses, its scratch files and its unpublished files."""
    unpublished = [
        name(table, job.partition, job.run_id)
        for table in PULLED_TABLES
        for name in (data.unpublished_file, data.second_unpublished_file)
    ]
    responses = [checkpoint, checkpoint.with_name(f"{checkpoint.name}-wal")]

    def measure_own() -> int:
        return sum(map(measure_freed, (*responses, *unpublished, scratch)))

    expected = SPACE_FACTOR * measure_latest(data, job.partition)
    return SpaceWatch(data.root, f"The pull of {job.partition}", measure_own, expected)


@contextmanager
def stop_at_bounds(data: DataDir, job: SnapshotJob, attempt: Attempt, watch: SpaceWatch) -> Iterator[None]:
    """Remove the responses of a pull that ends at a bound or fills the disk, and store why; the errors pass.

    A pull that holds little, and to which others left no space, keeps its responses: the next try continues with them.
    """
    try:
        yield
    except (EndlessListError, VolumeSpentError) as error:
        _stop(data, job, attempt, error)
        raise
    except TrutoError:  # whatever the server says about its own disk
        raise
    except LmsPipelineError as error:
        held, available = watch.held, watch.available
        if not isinstance(error, SpaceShortError):
            if not is_disk_full(error):
                raise
            watch.measure()
            held = available = max(held, watch.held)
        if held > RESERVE_BYTES:
            _stop(data, job, attempt, error, needed_bytes=int(MORE_SPACE * available))
        raise
    try:
        forget_stopped(data, job.partition)
    except (LakeError, StorageError) as error:
        log.warning(
            "%s is published, but the note of an earlier pull that stopped stays until housekeeping removes it. %s",
            job.partition,
            error,
        )


def _stop(data: DataDir, job: SnapshotJob, attempt: Attempt, error: LmsPipelineError, needed_bytes: int = 0) -> None:
    """Remove the responses of the attempt, and store why it stopped; what fails on a full disk, or without the state, is logged."""
    partition = job.partition
    stopped = StoppedPull(
        account_id=partition.account_id,
        day=partition.day,
        at=utc_now(),
        reason=str(error),
        needed_bytes=needed_bytes,
        bounds=_get_bounds(job),
    )
    try:
        count = attempt.count_responses()
        attempt.discard()
        log.warning(
            "%s of %s %s removed, since a pull that continues with them would stop again.",
            format_count(count, "response"),
            partition,
            choose_form(count, "is", "are"),
        )
        save_stopped(data, stopped)
    except (CheckpointError, LakeError, StorageError) as failed:
        log.warning("%s", failed)


def _get_bounds(job: SnapshotJob) -> tuple[float, int]:
    return job.options.max_gigabytes, job.options.max_records
