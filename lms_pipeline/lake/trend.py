"""The rows of the view `completion_trend` over chosen files, for `lake.read`.

Belongs here: running its query over files. Not here: the same query as a view of the warehouse (`warehouse_build.py`), and
which files are read (`reading.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa

from lms_pipeline.lake.engine import duckdb_session
from lms_pipeline.lake.path_columns import build_read_schema
from lms_pipeline.lake.scratch import scratch_folder
from lms_pipeline.lake.warehouse_sql import build_select_sql, load_trend_sql
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.over_time import COMPLETION_TREND
from lms_pipeline.tables.schema import Table

TREND_SOURCES = (PORTFOLIO_COMPLETION, ACCOUNT_COMPLETION, COURSE_COMPLETION)
"""The tables of which the trend is computed."""


def compute_trend(files: Mapping[Table, Sequence[str]], first: date, last: date) -> pa.Table:
    """Return the trend of the days `first` to `last` over these files, which reach further back, in a fixed order.

    Raises:
        LakeError: the query needs more memory than it may use, and can't spill.
        duckdb.Error: a file is damaged.
    """
    with scratch_folder("metrics") as spill, duckdb_session(spill) as connection:
        for table in TREND_SOURCES:
            query = build_select_sql(connection, table, files[table], is_uniform=False)
            connection.execute(f"CREATE VIEW {table.name} AS {query}")
        rows = connection.sql(
            f"SELECT * FROM ({load_trend_sql()}) WHERE snapshot_date BETWEEN $first AND $last "  # noqa: S608 (our query)
            "ORDER BY scope, account_id, course_id, snapshot_date",
            params={"first": first, "last": last},
        ).to_arrow_table()
    return rows.cast(build_read_schema(COMPLETION_TREND))
