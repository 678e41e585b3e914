"""What the last published snapshot of an account knew, and what this one leaves for the next.

What belongs here: finding the files that a plan compares with, and writing them. Losing them costs calls, never data.
"""

from __future__ import annotations

from lms_pipeline.enrollments.tables import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.lake.disk import disk_errors
from lms_pipeline.lake.files import PREFIX, read_metadata
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.pull.plan import Before, Plan
from lms_pipeline.taking.order import Order


def last_snapshot(data: DataDir, order: Order, strategy: str) -> Before | None:
    """The files of the last snapshot before the day; None where it was taken another way, or isn't whole."""
    days = [one for one in data.partitions(UNIFIED_ENROLLMENTS, order.account_id) if one.day < order.day]
    if not days:
        return None
    last = days[-1]
    before = Before(
        data.file(UNIFIED_ENROLLMENTS, last), data.file(RAW_ENROLLMENTS, last), data.details(last)
    )
    if not (before.raw.exists() and before.details.exists()):
        return None
    run_id = read_metadata(before.unified).get("run_id")
    told = read_metadata(before.details)
    expected = {"run_id": run_id, "strategy": strategy, "plan": order.plan}
    is_whole = read_metadata(before.raw).get("run_id") == run_id
    return before if is_whole and all(told.get(name) == value for name, value in expected.items()) else None


def remember_details(data: DataDir, order: Order, strategy: str, plan: Plan) -> None:
    """Leave the details of a snapshot that was just published for the plan of the next one."""
    path = data.details(order.partition)
    beside = path.with_suffix(".new")
    metadata = {"run_id": order.run_id, "strategy": strategy, "plan": order.plan}
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        plan.write_details(beside, {f"{PREFIX}{name}": value for name, value in metadata.items()})
        beside.replace(path)
