"""The previous published snapshot of an account, and what this one leaves for the next.

Belongs here: finding the files that a fetch plan compares with, and writing them. Losing them costs calls, never data.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow.parquet as pq

from lms_pipeline.errors import LakeError, StorageError
from lms_pipeline.extract.plan import ROSTER_FINGERPRINTS, FetchPlan, PreviousSnapshot
from lms_pipeline.lake.engine import convert_memory_errors
from lms_pipeline.lake.files import PREFIX, check_unchanged, check_version, convert_read_errors, read_metadata
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.snapshot.job import SnapshotJob
from lms_pipeline.storage.damaged_files import set_aside_folder
from lms_pipeline.storage.disk import convert_disk_errors, link_file
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS

log = logging.getLogger(__name__)


def link_previous(data: DataDir, job: SnapshotJob, strategy: str, folder: Path) -> PreviousSnapshot | None:
    """Link the files of the previous snapshot into `folder`; None if another job made it, or a file is missing.

    The links keep the files as they are: a rerun of that day may replace them while this job compares with them.
    """
    latest = data.find_latest_snapshot(job.account_id, before=job.day)
    if latest is None:
        return None
    files = {
        "unified": data.file(UNIFIED_ENROLLMENTS, latest),
        "raw": data.file(RAW_ENROLLMENTS, latest),
        "fingerprints": data.fingerprints_path(latest),
    }
    data.store.fetch(map(data.get_key, files.values()))
    with convert_disk_errors(files["fingerprints"]):
        set_aside_folder(files["fingerprints"], "nothing is carried over from that snapshot")
    if not all(path.exists() for path in files.values()):
        return None
    previous = PreviousSnapshot(
        day=latest.day, **{name: link_file(path, folder / f"previous-{name}.parquet") for name, path in files.items()}
    )
    try:
        return previous if _is_usable(previous, {"strategy": strategy, "plan": job.fingerprint}) else None
    except LakeError as error:
        sentence = str(error)
        for name, path in files.items():  # a link is gone after the pull
            sentence = sentence.replace(str(getattr(previous, name)), data.describe(path))
        log.warning("%s Nothing is carried over from it today.", sentence)
        return None


def _is_usable(previous: PreviousSnapshot, expected: dict[str, str]) -> bool:
    """Return whether the three files are of one run, and that run had the expected strategy and fingerprint.

    Raises:
        LakeError: a file is damaged.
    """
    for path in (previous.unified, previous.raw):
        check_version(path, read_metadata(path))
        check_unchanged(path)
    run_id = read_metadata(previous.unified).get("run_id")
    metadata = read_metadata(previous.fingerprints)
    with convert_read_errors(previous.fingerprints):
        has_columns = pq.read_schema(previous.fingerprints).equals(ROSTER_FINGERPRINTS)
        with pq.ParquetFile(previous.fingerprints) as file:
            for _ in file.iter_batches():  # a damaged page is found here, and not in the middle of the plan
                pass
    return (
        has_columns
        and read_metadata(previous.raw).get("run_id") == run_id == metadata.get("run_id")
        and all(metadata.get(name) == value for name, value in expected.items())
    )


def write_fingerprints(data: DataDir, job: SnapshotJob, strategy: str, plan: FetchPlan) -> None:
    """Store the roster fingerprints of a snapshot that has just been published. If that fails, a warning says what it costs."""
    path = data.fingerprints_path(job.partition)
    metadata = {"run_id": job.run_id, "strategy": strategy, "plan": job.fingerprint}
    try:
        with convert_memory_errors(data.root), data.replacing(path) as new:
            plan.write_fingerprints(new, {f"{PREFIX}{name}": value for name, value in metadata.items()})
    except (LakeError, StorageError) as error:
        log.warning(
            "%s is published, but its roster fingerprints are not stored: the next snapshot fetches every enrollment, unless "
            "`lms-pipeline replay --account %s --date %s` stores them before, without a call. %s",
            job.partition,
            job.account_id,
            job.day,
            error,
        )
