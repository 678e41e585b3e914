"""What the last published snapshot of an account knew, and what this one leaves for the next.

What belongs here: finding the files that a plan compares with, and writing them. Losing them costs calls, never data.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from lms_pipeline.extract.plan import DETAILS, Plan, PreviousSnapshot
from lms_pipeline.lake.disk import LakeError, atomic_write, disk_errors
from lms_pipeline.lake.files import PREFIX, check_version, damage, read_metadata
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.snapshot.job import Order
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS

log = logging.getLogger(__name__)


def last_snapshot(data: DataDir, order: Order, strategy: str, folder: Path) -> PreviousSnapshot | None:
    """The files of the last snapshot before the day; None where it was taken another way, or isn't whole.

    They are links in `folder`: whatever is published meanwhile, the snapshot is compared with one and the same.
    """
    last = data.latest_snapshot(order.account_id, before=order.day)
    if last is None:
        return None
    files = {
        "unified": data.file(UNIFIED_ENROLLMENTS, last),
        "raw": data.file(RAW_ENROLLMENTS, last),
        "details": data.details(last),
    }
    if not all(path.exists() for path in files.values()):
        return None
    before = PreviousSnapshot(
        **{name: _linked(path, folder / f"before-{name}.parquet") for name, path in files.items()}
    )
    try:
        return before if _fits(before, {"strategy": strategy, "plan": order.plan}) else None
    except LakeError as error:
        log.warning("%s Nothing is carried over from it today.", error)
        return None


def _linked(path: Path, link: Path) -> Path:
    with disk_errors(link):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        try:
            link.hardlink_to(path)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, link)
    return link


def _fits(before: PreviousSnapshot, expected: dict[str, str]) -> bool:
    """Whether the three files are of one run, and that run was taken as this one is."""
    for path in (before.unified, before.raw):
        check_version(path, read_metadata(path))
    run_id = read_metadata(before.unified).get("run_id")
    told = read_metadata(before.details)
    with damage(before.details):
        has_all = pq.read_schema(before.details).names == DETAILS.names
    return (
        has_all
        and read_metadata(before.raw).get("run_id") == run_id == told.get("run_id")
        and all(told.get(name) == value for name, value in expected.items())
    )


def remember_details(data: DataDir, order: Order, strategy: str, plan: Plan) -> None:
    """Leave the details of a snapshot that was just published for the plan of the next one."""
    path = data.details(order.partition)
    metadata = {"run_id": order.run_id, "strategy": strategy, "plan": order.plan}
    with atomic_write(path) as new:
        plan.write_details(new, {f"{PREFIX}{name}": value for name, value in metadata.items()})
