"""All tables of the lake, and the page that documents them, `docs/tables.md`.

Belongs here: look-up by name, and the page, which `make docs` writes. Not here: columns (`pulled.py`, `metrics.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from lms_pipeline.errors import WrongUseError
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.metrics import COMPLETION_TABLES, LEARNER_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.over_time import COHORT_COMPLETION, COMPLETION_CURVE, COMPLETION_TREND
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline.tables.schema import Table

METRIC_TABLES = (*COMPLETION_TABLES, COHORT_COMPLETION, COMPLETION_CURVE, ATTENTION)
"""The tables that are computed from the enrollments of a partition, in the order of publishing."""

TABLES: dict[str, Table] = {table.name: table for table in (*PULLED_TABLES, *METRIC_TABLES, PORTFOLIO_COMPLETION)}
"""Every table of the lake by its name."""
VIEWS: dict[str, Table] = {COMPLETION_TREND.name: COMPLETION_TREND}
"""Every view over the lake by its name: it has no files."""
STORED_TABLES = (*METRIC_TABLES, PORTFOLIO_COMPLETION)
"""The tables of which the warehouse has a copy. Of the others it has views over the files."""
LATEST_DAY_TABLES = (LEARNER_COMPLETION, COHORT_COMPLETION, COMPLETION_CURVE, ATTENTION)
"""The tables of which the warehouse has only the latest day of each account: all days would be too many rows."""
BY_DAY = "by_day"
"""The name of the asset of the roll-ups."""
MATERIALIZABLE_ASSETS = (*TABLES, BY_DAY, "warehouse")
"""The tables, the roll-ups and the warehouse, which a run can compute, by name of the asset. The report is an asset too, with a
command of its own."""


class UnknownTableError(WrongUseError):
    """The lake has no table of this name."""


def table_named(name: str) -> Table:
    """Return the table or view with this name.

    Raises:
        UnknownTableError: there is none; the message lists the tables that exist.
    """
    known = TABLES | VIEWS
    if name not in known:
        raise UnknownTableError(f"There is no table {name[:80]!r} in the lake: it has {', '.join(sorted(known))}.")
    return known[name]


_PAGE_HEADER = """\
# Tables

Every table of the lake, `LMS_DATA_DIR/lake/<table>/account_id=<id>/snapshot_date=<YYYY-MM-DD>/data.parquet`. The columns
`account_id` (string) and `snapshot_date` (date) are in the path. A table over all accounts has only `snapshot_date` there.
Timestamps are in microseconds, UTC. With `LMS_ROLL_UP`, `LMS_DATA_DIR/lake_by_day/<table>/snapshot_date=<YYYY-MM-DD>/data.parquet`
has the rows of all accounts, with `account_id` as the first column, except for `raw_enrollments`, `rejected_enrollments` and
`portfolio_completion`. `make docs` writes this page from the schema.
"""


def render_tables_page() -> str:
    """Return the page `docs/tables.md`, in Markdown."""
    return (
        "\n".join(
            [_PAGE_HEADER, *(line for table in (*TABLES.values(), *VIEWS.values()) for line in _render_section(table))]
        )
        + "\n"
    )


def _render_section(table: Table) -> Iterator[str]:
    yield f"## {table.name}\n\n{table.doc}\n"
    if table.key:
        yield f"A row is identified by {', '.join(f'`{name}`' for name in table.key)}.\n"
    if not table.per_account:
        yield "It is over all accounts: the path and the rows have no `account_id`.\n"
    yield "| column | type | meaning |\n|---|---|---|"
    for column in table.columns:
        required = "" if column.nullable else ", never null"
        yield f"| `{column.name}` | {column.type}{required} | {column.doc} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(render_tables_page())
