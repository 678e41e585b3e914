"""How tables are told in Dagster's words.

What belongs here: the metadata of definitions. The tables describe themselves in `schema.py`; what a run did to them is
told by `pages.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from lms_pipeline.accounts.registry import account_names
from lms_pipeline.defs.partitions import partition_of
from lms_pipeline.settings import Settings
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline.tables.schema import Column, Table
from lms_pipeline.transform.shapes import api_fields

OWNERS = ["team:learning-data"]
PERSONAL = {"user_name", "user_email", "payload"}
"""Columns that hold names or e-mails: their tables are tagged, so that the catalogue finds them."""


def table_spec(table: Table, *, group: str, upstream: str, kinds: set[str]) -> dg.AssetSpec:
    """The asset of a table: its meaning, its columns with theirs, and which columns of `upstream` decide each."""
    return dg.AssetSpec(
        table.name,
        deps=[upstream],
        description=f"{table.doc}{_counted_by(table)}",
        group_name=group,
        owners=OWNERS,
        kinds=kinds,
        tags={"personal_data": ""} if PERSONAL & set(table.column_names) else {},
        metadata={
            "dagster/column_schema": column_schema(table),
            "dagster/column_lineage": column_lineage(table, upstream),
            "dagster/table_name": table.name,
        },
    )


def column_schema(table: Table) -> dg.TableSchema:
    """The columns as the UI lists them; Dagster+ alone draws the lineage, so where they come from is written out too."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                type=str(column.type),
                description=f"{column.doc}{_from(column, table)}",
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ]
    )


def api_schema() -> dg.TableSchema:
    """The fields of the API, each with the columns that it decides."""
    decides: dict[str, list[str]] = {name: [] for name in api_fields()}
    for table in PULLED_TABLES:
        for column in table.columns:
            for name in column.sources:
                decides[name].append(f"{table.name}.{column.name}")
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name, type=kind, description=f"Decides {_listed(decides[name])}")
            for name, kind in api_fields().items()
        ]
    )


def column_lineage(table: Table, upstream: str) -> dg.TableColumnLineage:
    """Which columns of `upstream` decide each column; the UI reads it from the definition where a run tells none."""
    names = {source for column in table.columns for source in column.sources}
    deps = {name: dg.TableColumnDep(dg.AssetKey(upstream), name) for name in names}
    return dg.TableColumnLineage(
        {column.name: [deps[name] for name in sorted(column.sources)] for column in table.columns}
    )


def _from(column: Column, table: Table) -> str:
    own = column.sources - table.counted_by or column.sources
    return f"\n\nFrom {_listed(own)}" if own else ""


def _counted_by(table: Table) -> str:
    if not table.counted_by:
        return ""
    return f"\n\nAll figures rest on {_listed(table.counted_by)} too, which decide what counts."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def tell_present(context: dg.AssetExecutionContext | dg.OpExecutionContext, settings: Settings) -> None:
    """Say in the run's log, and with a tag, that `LMS_NOW` stands for the present."""
    if settings.frozen_now is None:
        return
    now = settings.frozen_now.isoformat()
    context.log.warning("LMS_NOW is set: %s is taken for the present.", now)
    context.instance.add_run_tags(context.run.run_id, {"LMS_NOW": now})


def tell_account(context: dg.AssetExecutionContext, settings: Settings) -> str:
    """What people call the account of the run; a tag of the run tells it too, beside the id in its partition.

    Raises:
        SettingsError: the file of options, where names are set, can't be used.
    """
    account_id = partition_of(context).account_id or ""
    name = account_names(settings).get(account_id, account_id)
    context.instance.add_run_tags(context.run.run_id, {"account": name})
    return name
