"""What `lms-pipeline materialize --select` names: assets, groups of them, and the account-days that they can have.

Not here: the runs (`defs/instance.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lms_pipeline.errors import LmsPipelineError, WrongUseError
from lms_pipeline.lake.paths import AnyPartition, DataDir, Partition
from lms_pipeline.tables.catalog import MATERIALIZABLE_ASSETS, METRIC_TABLES
from lms_pipeline.tables.pulled import PULLED_TABLES, UNIFIED_ENROLLMENTS

if TYPE_CHECKING:
    from lms_pipeline.lake.index import PublicationIndex

GROUPS: dict[str, tuple[str, ...]] = {
    "pull": tuple(table.name for table in PULLED_TABLES),
    "metrics": tuple(table.name for table in METRIC_TABLES),
    "warehouse": ("warehouse",),
}
"""The assets of each group, by Dagster's name of it. The portfolio is left out of `metrics`, and the roll-ups of
`warehouse`: the build of the warehouse, which follows each selection, writes their days that changed."""


def parse_selection(text: str | None) -> list[str]:
    """Return the assets that a text names, each once, a group as its assets; none if the option is left out.

    Raises:
        WrongUseError: it names nothing, or what is neither an asset nor a group.
    """
    if text is None:
        return []
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise WrongUseError("--select names no asset: leave it out to select all of them.")
    for name in names:
        if name not in GROUPS and name not in MATERIALIZABLE_ASSETS:
            raise WrongUseError(
                f"There is no asset {name!r}: select from {', '.join(MATERIALIZABLE_ASSETS)}, "
                f"or a group: {', '.join(GROUPS)}."
            )
    return list(dict.fromkeys(asset for name in names for asset in GROUPS.get(name, (name,))))


def has_pulls(selection: Sequence[str]) -> bool:
    """Return whether the selection requests something of an LMS."""
    return not selection or not set(GROUPS["pull"]).isdisjoint(selection)


def keep_stored(data: DataDir, partitions: Sequence[Partition]) -> list[Partition]:
    """Return the account-days that have a snapshot, of which metrics can be computed.

    Raises:
        LmsPipelineError: there is none.
    """
    from lms_pipeline.lake.index_sync import read_index  # imports Arrow

    def find(index: PublicationIndex) -> set[AnyPartition]:
        published = (one for day in {partition.day for partition in partitions} for one in index.find(day=day))
        return {one.partition for one in published if one.has_file(UNIFIED_ENROLLMENTS.name)}

    known = read_index(data, find)
    stored = [partition for partition in partitions if partition in known]
    if partitions and not stored:
        first, last = partitions[0].day, partitions[-1].day
        days = str(first) if first == last else f"{first} to {last}"
        raise LmsPipelineError(
            f"No account has a snapshot of {days}: metrics are computed from {UNIFIED_ENROLLMENTS.name}, so choose days that "
            "were pulled."
        )
    return stored
