"""How tables are told in Dagster's words.

What belongs here: the metadata of definitions. The tables describe themselves in `schema.py`; what a run did to them is
told by `pages.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lms_pipeline.accounts.registry import load_display_names
from lms_pipeline.defs.partitions import partition_of
from lms_pipeline.settings import Settings
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION, RATES
from lms_pipeline.tables.pulled import COURSES, LEARNERS, PULLED_TABLES, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Column, Table
from lms_pipeline.transform.shapes import api_fields

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping
    from pathlib import Path

    from lms_pipeline.lake.publishing import Published
    from lms_pipeline.snapshot.job import SnapshotResult

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


def tag_frozen_now(context: dg.AssetExecutionContext | dg.OpExecutionContext, settings: Settings) -> None:
    """Say in the run's log, and with a tag, that `LMS_NOW` stands for the present."""
    if settings.frozen_now is None:
        return
    now = settings.frozen_now.isoformat()
    context.log.warning("LMS_NOW is set: %s is taken for the present.", now)
    context.instance.add_run_tags(context.run.run_id, {"LMS_NOW": now})


def tag_account(context: dg.AssetExecutionContext, settings: Settings) -> str:
    """What people call the account of the run; a tag of the run tells it too, beside the id in its partition.

    Raises:
        SettingsError: the file of options, where names are set, can't be used.
    """
    account_id = partition_of(context).account_id
    name = load_display_names(settings).get(account_id, account_id)
    context.instance.add_run_tags(context.run.run_id, {"account": name})
    return name


def published_metadata(published: Published, account: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """All of a page; `account` is what people call it."""
    return {
        "account": account,
        "dagster/partition_row_count": published.rows,
        **figures,
        "query": dg.MetadataValue.md(_queries(published)),
        **file_metadata(published.path),
    }


def file_metadata(path: Path) -> dict[str, Any]:
    """Where a file is, and how large."""
    return {
        "path": dg.MetadataValue.path(path),
        "dagster/uri": path.as_uri().replace("%3D", "="),  # as DuckDB and pandas take it
        "file_bytes": path.stat().st_size,
    }


def provenance(path: Path) -> dict[str, Any]:
    """What a file tells of the pull that its rows come from."""
    from lms_pipeline.lake.files import read_metadata

    told = read_metadata(path)
    pulled_at = (
        {"pulled_at": moment(datetime.fromisoformat(told["pulled_at"]))} if "pulled_at" in told else {}
    )
    return {"complete": told.get("complete") == "true", "strategy": told.get("strategy"), **pulled_at}


def moment(at: datetime) -> dg.MetadataValue:
    """A moment, which the UI shows in the time zone of who looks."""
    return dg.MetadataValue.timestamp(at)


def _queries(published: Published) -> str:
    """To be pasted, in Markdown; an id and a date need no quoting, they were validated."""
    partition, name = published.partition, published.table.name
    where = f"account_id = '{partition.account_id}' AND snapshot_date = '{partition.day}'"
    path = str(published.path).replace("'", "''")
    partition_lock = f"```sql\nFROM '{path}'\n```"
    if published.table == LEARNER_COMPLETION:  # the warehouse has the latest day alone
        return partition_lock
    return f'```sh\nlms-pipeline query "FROM {name} WHERE {where}"\n```\n\nThe file alone, in DuckDB:\n\n{partition_lock}'


MAX_STATUSES, MAX_STATUS_LENGTH = 10, 40
"""Of those that nobody documents: a text from outside, and as many as there are enrollments."""
UNREADABLE = "unreadable_"


def pull_figures(report: SnapshotResult, published: Published) -> dict[str, Any]:
    """What is told of one table; `requests` and `seconds` are of the whole pull, which brings all tables at once."""
    if report.kept:
        return {"kept": True, **provenance(published.path)}
    told = {
        "kept": False,
        **provenance(published.path),
        "complete": report.complete,
        "why": report.choice.why,
        "requests": report.requests,
        "seconds": round(report.seconds, 3),
    }
    reading = report.reading.get(published.table.name)
    if published.table == UNIFIED_ENROLLMENTS:
        told |= _sums(report)
        told |= {} if report.choice.name == "sweep" else _pairs(report)
    elif published.table in {LEARNERS, COURSES} and reading is not None:
        told |= {name: reading[name] for name in ("rejected", "duplicates")}
    return told if reading is None else told | _reading(reading)


def _sums(report: SnapshotResult) -> dict[str, Any]:
    """What became of the enrollments: served = stored + rejected + duplicates, but for those of `_pairs`."""
    return {
        "calls_saved": report.pairs.calls_saved,
        "served": report.rows.served,
        "rejected": report.rows.rejected,
        "duplicates": report.rows.duplicates.total,
        "duplicates_identical": report.rows.duplicates.identical,
        "duplicates_conflicting": report.rows.duplicates.conflicting,
        "repaired_pages": report.rows.repaired_pages,
        **_statuses(report.rows.undocumented_statuses),
    }


def _pairs(report: SnapshotResult) -> dict[str, Any]:
    """What only an account has that is asked for one learner and course after the other."""
    rows = report.rows.served + report.rows.carried + report.rows.roster
    return {
        **{f"pairs_{kind}": report.pairs.planned[kind] for kind in ("new", "changed", "rotation", "carried")},
        "pairs_not_enrolled": report.pairs.not_enrolled,
        "rows_carried": report.rows.carried,
        "rows_roster": report.rows.roster,
        "share_carried": round(report.rows.carried / rows, 4) if rows else 0.0,
        "details_gone": report.pairs.gone,
        "unusable_entries": report.pairs.unusable,
        "carry_asked": report.pairs.rotation_fetched,
        "carry_differing": report.pairs.rotation_changed,
        **(
            {}
            if report.rows.oldest_fetch is None
            else {"oldest_fetched_at": moment(report.rows.oldest_fetch)}
        ),
    }


def _statuses(found: Counter[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"undocumented_statuses": found.total()}
    if found:
        most = {
            text[:MAX_STATUS_LENGTH] or "(none)": count for text, count in found.most_common(MAX_STATUSES)
        }
        told["which_statuses"] = dg.MetadataValue.json(most)
    return told


def _reading(counts: Counter[str]) -> dict[str, Any]:
    """How well the records fitted what is documented."""
    fields = {
        name.removeprefix(UNREADABLE): count for name, count in counts.items() if name.startswith(UNREADABLE)
    }
    told: dict[str, Any] = {
        "read_leniently": counts["read_leniently"],
        "unreadable_values": sum(fields.values()),
    }
    return told | ({"which_fields": dg.MetadataValue.json(fields)} if fields else {})


def metric_figures(published: Published) -> dict[str, Any]:
    """What is told of one table."""
    if published.table == ACCOUNT_COMPLETION:
        return account_figures(published)
    told = provenance(published.path)
    return told | _courses(published) if published.table == COURSE_COMPLETION else told


def account_figures(published: Published) -> dict[str, Any]:
    """The rates, each a number that is plotted, and all of them with what was divided."""
    from lms_pipeline.metrics.completion import read_single_row

    names = ("n_all", "n_completed", "learners", *(rate.name for rate in RATES))
    divided = (f"{rate.name}{of}" for rate in RATES for of in ("_num", "_den"))
    row = read_single_row(published, [*names, *divided])
    figures = {name: row[name] for name in names if row[name] is not None}
    return provenance(published.path) | figures | {"rates": dg.MetadataValue.md(_rates_table(row))}


def _rates_table(row: Mapping[str, Any]) -> str:
    lines = (
        f"| {rate.name.replace('_', ' ')} | {_told(row[rate.name], '.1%')} | {_told(row[f'{rate.name}_num'], ',')} "
        f"| {_told(row[f'{rate.name}_den'], ',')} |"
        for rate in RATES
    )
    return "\n".join(["| rate | | counted | of |\n|---|--:|--:|--:|", *lines])


def _told(figure: float | None, form: str) -> str:
    return "-" if figure is None else format(figure, form)


def _courses(published: Published) -> dict[str, Any]:
    """The largest courses as text, which the page shows at once, and as a picture; and the ends of the scale."""
    from lms_pipeline.report.charts import as_markdown
    from lms_pipeline.report.completion import Courses

    courses = Courses(published.path)
    chart = courses.chart(f"Completion by course, {published.partition.day}")
    told: dict[str, Any] = {
        "largest_courses": dg.MetadataValue.md(courses.lines()),
        "completion_by_course": dg.MetadataValue.md(as_markdown(chart, "completion by course")),
    }
    extremes = courses.extremes()
    if extremes is not None:
        lowest, highest = extremes
        told |= {
            "lowest_rate": lowest.rate,
            "lowest_rate_course_id": lowest.course_id,
            "highest_rate": highest.rate,
            "highest_rate_course_id": highest.course_id,
        }
    return told
