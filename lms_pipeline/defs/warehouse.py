"""The warehouse as an asset over all tables of the lake.

What belongs here: the Dagster face of `lake/warehouse.py`.
"""

import time
from typing import Any

import dagster as dg

from lms_pipeline.defs.failures import told_to_people
from lms_pipeline.defs.metadata import OWNERS
from lms_pipeline.defs.pages import file_metadata
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.tables.catalog import TABLES


@dg.asset(
    deps=list(TABLES),
    group_name="warehouse",
    owners=OWNERS,
    kinds={"duckdb"},
    description="One DuckDB file over the lake: a view for each pulled table, the metric tables stored in it. "
    "Built beside and swapped in, so that readers and runs never wait for each other; it can be thrown away.",
)
def warehouse(
    context: dg.AssetExecutionContext, lake: dg.ResourceParam[DataDir]
) -> dg.MaterializeResult[Any]:
    """Build it anew from what is published."""
    from lms_pipeline.lake.warehouse import build

    started = time.monotonic()
    with told_to_people(context):
        rows = build(lake)
    context.log.info("The warehouse is at %s.", lake.warehouse)
    return dg.MaterializeResult(
        metadata={
            "seconds": round(time.monotonic() - started, 3),
            **{f"rows_{table}": count for table, count in rows.items()},
            "query": dg.MetadataValue.md('```sh\nlms-pipeline query "SHOW ALL TABLES"\n```'),
            **file_metadata(lake.warehouse),
        }
    )
