"""Every table of the lake.

What belongs here: the list. A table is described where its rows come from.
"""

from __future__ import annotations

from lms_pipeline.errors import WrongUseError
from lms_pipeline.tables.metrics import COMPLETION_TABLES
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline.tables.schema import Table

METRIC_TABLES = COMPLETION_TABLES
"""Those worked out from the enrollments of a partition, in the order of `metrics/tables.py`."""

TABLES: dict[str, Table] = {table.name: table for table in (*PULLED_TABLES, *METRIC_TABLES)}


class UnknownTableError(WrongUseError):
    """A table that the lake doesn't have."""


def table_named(name: str) -> Table:
    """The table with this name.

    Raises:
        UnknownTableError: there is none; the message lists those there are.
    """
    if name not in TABLES:
        raise UnknownTableError(
            f"There is no table {name[:80]!r} in the lake: it has {', '.join(sorted(TABLES))}."
        )
    return TABLES[name]
