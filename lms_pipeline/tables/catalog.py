"""The page that lists every table and column, `docs/tables.md`, written from the schema itself.

What belongs here: that page. `make docs` writes it; a test fails while it is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

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


HEAD = """\
# Tables

Every table of the lake, `LMS_DATA_DIR/lake/<table>/account_id=<id>/snapshot_date=<YYYY-MM-DD>/data.parquet`. The columns
`account_id` (string) and `snapshot_date` (date) stand in the path. Timestamps are in microseconds, UTC. This page is
written from the schema by `make docs`.
"""


def tables_page() -> str:
    """The page, in Markdown."""
    return "\n".join([HEAD, *(line for table in TABLES.values() for line in _section(table))]) + "\n"


def _section(table: Table) -> Iterator[str]:
    yield f"## {table.name}\n\n{table.doc}\n"
    if table.key:
        yield f"A row is known by {', '.join(f'`{name}`' for name in table.key)}.\n"
    yield "| column | type | meaning |\n|---|---|---|"
    for column in table.columns:
        required = "" if column.nullable else ", never null"
        yield f"| `{column.name}` | {column.type}{required} | {column.doc} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(tables_page())
