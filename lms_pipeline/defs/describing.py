"""How tables and what a run did to them are told in Dagster's words.

What belongs here: metadata. The tables describe themselves in `schema.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from lms_pipeline.schema import Table
from lms_pipeline.settings import Settings

if TYPE_CHECKING:
    from lms_pipeline.lake.publishing import Published

OWNERS = ["team:learning-data"]


def table_spec(table: Table, *, group: str, deps: list[str], kinds: set[str]) -> dg.AssetSpec:
    """The asset of a table: its meaning, and its columns with theirs."""
    return dg.AssetSpec(
        table.name,
        deps=deps,
        description=table.doc,
        group_name=group,
        owners=OWNERS,
        kinds=kinds,
        metadata={"dagster/column_schema": column_schema(table), "dagster/table_name": table.name},
    )


def column_schema(table: Table) -> dg.TableSchema:
    """The columns as the UI lists them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                type=str(column.type),
                description=column.doc,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ]
    )


def tell_present(context: dg.AssetExecutionContext | dg.OpExecutionContext, settings: Settings) -> None:
    """Say in the run's log, and with a tag, that `LMS_NOW` stands for the present."""
    if settings.frozen_now is None:
        return
    now = settings.frozen_now.isoformat()
    context.log.warning("LMS_NOW is set: %s is taken for the present.", now)
    context.instance.add_run_tags(context.run.run_id, {"LMS_NOW": now})


def published_metadata(published: Published, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a published file tells; numbers are numbers, so that the UI plots them over the days."""
    return {
        "dagster/partition_row_count": published.rows,
        "dagster/uri": published.path.as_uri(),
        "path": dg.MetadataValue.path(published.path),
        "bytes": published.path.stat().st_size,
        **(more or {}),
    }
