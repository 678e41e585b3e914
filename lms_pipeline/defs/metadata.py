"""Tables and published files as Dagster metadata: specs and column lineage of assets, metadata of materializations.

Belongs here: what asset pages show, and the tags of runs. The tables describe themselves in `tables/`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lms_pipeline.accounts.names import load_display_names
from lms_pipeline.defs.partitions import read_partition
from lms_pipeline.settings import Settings
from lms_pipeline.tables.attention import ATTENTION, REASONS
from lms_pipeline.tables.catalog import LATEST_DAY_TABLES
from lms_pipeline.tables.measures import RATES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.tables.pulled import COURSES, LEARNERS, PULLED_TABLES, RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import Column, Table
from lms_pipeline.transform.shapes import list_api_fields

if TYPE_CHECKING:
    from pathlib import Path

    from lms_pipeline.lake.paths import DataDir
    from lms_pipeline.lake.publishing import Published
    from lms_pipeline.snapshot.job import SnapshotResult

OWNERS = ["team:learning-data"]
ACCOUNT_TAG = "account"
"""The tag of a run with the display name of its account."""
PERSONAL_COLUMNS = {"user_name", "user_email", "payload"}
"""Columns with names or e-mails. Their tables get a tag, by which the catalog finds them."""
PERSONAL_IDS = frozenset({"user_id", "enrollment_id", "assigned_by_id"})
"""Columns that identify a person. No event has their values: Dagster's index keeps events forever, and ids can be guessed
from a hash of them."""
ACCOUNT_FIGURES = ("n_all", "n_completed", "learners")
"""Counts of an account that the UI plots beside its rates."""
MAX_SHOWN = 5
"""Statuses and fields that are shown: Dagster keeps the event of each partition for ever."""
MAX_STATUS_LENGTH = 24
"""Characters of an undocumented status that are shown: it is text from an LMS, without a limit of its own."""
UNREADABLE_PREFIX = "unreadable_"
"""Begins the counts of values that could not be read, one count for each field."""
SENTINEL_PREFIX = "sentinel_"
"""Begins the counts of timestamps that mean "no date", one count for each field."""


def build_table_spec(
    table: Table, *, group: str, upstream: str, kinds: set[str], skippable: bool = False
) -> dg.AssetSpec:
    """Build the asset of a table: descriptions of table and columns, and lineage to the columns of `upstream`.

    A run may leave a `skippable` table out, and then skips what depends on it.
    """
    return dg.AssetSpec(
        table.name,
        deps=[upstream],
        description=f"{table.doc}{_describe_basis(table)}{_describe_queries(table)}",
        group_name=group,
        skippable=skippable,
        owners=OWNERS,
        kinds=kinds,
        tags={"personal_data": ""} if PERSONAL_COLUMNS & set(table.column_names) else {},
        metadata={
            "dagster/column_schema": build_column_schema(table),
            "dagster/column_lineage": build_column_lineage(table, upstream),
            "dagster/table_name": table.name,
        },
    )


def build_column_schema(table: Table) -> dg.TableSchema:
    """Build the list of columns. Each description ends with its sources: only Dagster+ draws column lineage."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                type=str(column.type),
                description=f"{column.doc}{_describe_sources(column, table)}",
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ]
    )


def build_api_schema() -> dg.TableSchema:
    """Build the list of API fields, each with the columns that it determines."""
    columns: dict[str, list[str]] = {name: [] for name in list_api_fields()}
    for table in PULLED_TABLES:
        for column in table.columns:
            for name in column.sources:
                columns[name].append(f"{table.name}.{column.name}")
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name, type=kind, description=f"Determines {_join_names(columns[name])}")
            for name, kind in list_api_fields().items()
        ]
    )


def build_column_lineage(table: Table, upstream: str) -> dg.TableColumnLineage:
    """Map each column to the columns of `upstream` that determine it. The UI uses it for runs that report no lineage."""
    names = {source for column in table.columns for source in column.sources}
    deps = {name: dg.TableColumnDep(dg.AssetKey(upstream), name) for name in names}
    return dg.TableColumnLineage(
        {column.name: [deps[name] for name in sorted(column.sources)] for column in table.columns}
    )


def _describe_sources(column: Column, table: Table) -> str:
    own = column.sources - table.counted_by or column.sources
    return f"\n\nFrom {_join_names(own)}" if own else ""


def _describe_basis(table: Table) -> str:
    if not table.counted_by:
        return ""
    return f"\n\nAll figures also depend on {_join_names(table.counted_by)}, which determine what is counted."


def _describe_queries(table: Table) -> str:
    """Build queries to paste, in Markdown: in the description, since the event of each partition would repeat them."""
    where = "account_id = 'ACCOUNT' AND snapshot_date = 'DATE'" if table.per_account else "snapshot_date = 'DATE'"
    of_warehouse = f'```sh\nlms-pipeline query "FROM {table.name} WHERE {where}"\n```\n\n'
    if table in LATEST_DAY_TABLES:  # the warehouse has only their latest day
        of_warehouse = ""
    return f"\n\n{of_warehouse}The file of a partition, in DuckDB, with the `path` in its metadata:\n\n```sql\nFROM 'PATH'\n```"


def _join_names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def tag_frozen_now(context: dg.AssetExecutionContext | dg.OpExecutionContext, settings: Settings) -> None:
    """If `LMS_NOW` is set, warn about it in the log and add it as a tag of the run."""
    if settings.frozen_now is None:
        return
    now = settings.frozen_now.isoformat()
    context.log.warning("LMS_NOW is set: %s is used as the current time.", now)
    context.instance.add_run_tags(context.run.run_id, {"LMS_NOW": now})


def tag_account(context: dg.AssetExecutionContext, settings: Settings) -> str:
    """Return the display name of the run's account, which is a tag of the run beside the id in its partition key.

    Raises:
        SettingsError: LMS_ACCOUNTS_FILE, which sets names, can't be used.
    """
    account_id = read_partition(context).account_id
    name = load_display_names(settings).get(account_id, account_id)
    if context.run.tags.get(ACCOUNT_TAG) != name:  # to add a tag takes 10 ms
        context.instance.add_run_tags(context.run.run_id, {ACCOUNT_TAG: name})
    return name


def has_shown_rows(table: str, limit: int) -> bool:
    """Return whether the number of rows of a table may be shown: learners of courses that are left out have rows too."""
    return limit == 1 or table not in {LEARNER_COMPLETION.name, ATTENTION.name}


def build_published_metadata(
    data: DataDir,
    published: Published,
    account: str | None,
    figures: Mapping[str, Any],
    limit: int,
    size: int | None = None,
) -> dict[str, Any]:
    """Build the metadata of a materialization from its figures.

    `account` is the account's display name; None for a table over all accounts. `limit` is `LMS_MIN_COHORT`. `size` is that of
    a file without a local copy, in bytes.
    """
    return {
        **({} if account is None else {"account": account}),
        **({"dagster/partition_row_count": published.rows} if has_shown_rows(published.table.name, limit) else {}),
        **figures,
        **build_file_metadata(data, published.path, size),
    }


def build_file_metadata(data: DataDir, path: Path, size: int | None = None) -> dict[str, Any]:
    """Build the metadata of a file: where it is kept, and its bytes, which the local file has if they are not given."""
    size = path.stat().st_size if size is None else size
    return {"path": dg.MetadataValue.path(data.describe(path)), "file_bytes": size}


def read_provenance(path: Path) -> dict[str, Any]:
    """Read from a file's metadata which pull its rows come from: `complete`, `strategy`, `pulled_at`.

    `incomplete_because` says why raw records are missing although the enrollments are complete.
    """
    from lms_pipeline.lake.files import read_metadata

    return build_provenance(read_metadata(path))


def build_provenance(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Build what `read_provenance` returns from our entries in a file's metadata."""
    found: dict[str, Any] = {"complete": metadata.get("complete") == "true", "strategy": metadata.get("strategy")}
    if "incomplete_because" in metadata:
        found["incomplete_because"] = metadata["incomplete_because"]
    if "pulled_at" in metadata:
        found["pulled_at"] = dg.MetadataValue.timestamp(datetime.fromisoformat(metadata["pulled_at"]))
    return found


def build_pull_metadata(result: SnapshotResult, published: Published) -> dict[str, Any]:
    """Build the figures of one pulled table. `requests` and `seconds` are of the whole pull, which brings all tables."""
    if result.kept:
        return {"kept": True, **read_provenance(published.path)}
    figures = {
        "kept": False,
        **read_provenance(published.path),
        "complete": result.complete and not (published.table == RAW_ENROLLMENTS and result.raw_gaps),
        "why": result.choice.why,
        "requests": result.requests,
        "seconds": round(result.seconds, 3),
    }
    reading = result.reading.get(published.table.name)
    if published.table == UNIFIED_ENROLLMENTS:
        figures |= _count_enrollments(result)
        figures |= {} if result.choice.name == "sweep" else _count_pairs(result)
    elif published.table in {LEARNERS, COURSES} and reading is not None:
        figures |= {name: reading[name] for name in ("rejected", "duplicates")}
    return figures if reading is None else figures | _count_unreadable(reading)


def _count_enrollments(result: SnapshotResult) -> dict[str, Any]:
    """Return where the enrollments went: served = stored + rejected + duplicates, without those of `_count_pairs`."""
    return {
        "calls_saved": result.pairs.calls_saved,
        "served": result.rows.served,
        "rejected": result.rows.rejected,
        "duplicates": result.rows.duplicates.total,
        "duplicates_identical": result.rows.duplicates.identical,
        "duplicates_conflicting": result.rows.duplicates.conflicting,
        "repaired_pages": result.rows.repaired_pages,
        **_count_statuses(result.rows.undocumented_statuses),
    }


def _count_pairs(result: SnapshotResult) -> dict[str, Any]:
    """Return the figures of an account with one request for each learner and course."""
    rows = result.rows.received
    oldest = result.rows.oldest_fetch
    return {
        **{f"pairs_{kind}": result.pairs.planned[kind] for kind in ("new", "changed", "rotation", "carried")},
        "pairs_not_enrolled": result.pairs.not_enrolled,
        "rows_carried": result.rows.carried,
        "rows_roster": result.rows.roster,
        "share_carried": round(result.rows.carried / rows, 4) if rows else 0.0,
        "details_gone": result.pairs.gone,
        "unusable_entries": result.pairs.unusable,
        "carry_asked": result.pairs.rotation_fetched,
        "carry_differing": result.pairs.rotation_changed,
        **({} if oldest is None else {"oldest_fetched_at": dg.MetadataValue.timestamp(oldest)}),
    }


def _count_statuses(statuses: Counter[str]) -> dict[str, Any]:
    shown = {text[:MAX_STATUS_LENGTH] or "(none)": count for text, count in statuses.most_common(MAX_SHOWN)}
    which = {"which_statuses": dg.MetadataValue.json(shown)} if shown else {}
    return {"undocumented_statuses": statuses.total(), **which}


def _count_unreadable(reading: Counter[str]) -> dict[str, Any]:
    """Return how many records and values differ from the documented form."""
    fields = Counter(
        {
            name.removeprefix(UNREADABLE_PREFIX): count
            for name, count in reading.items()
            if name.startswith(UNREADABLE_PREFIX)
        }
    )
    which: dict[str, Any] = {}
    if fields:
        which["which_fields"] = dg.MetadataValue.json(dict(fields.most_common(MAX_SHOWN)))
    if sentinels := sum(count for name, count in reading.items() if name.startswith(SENTINEL_PREFIX)):
        which["sentinel_dates"] = sentinels
    return {"read_leniently": reading["read_leniently"], "unreadable_values": fields.total(), **which}


def build_metric_metadata(published: Published) -> dict[str, Any]:
    """Build the figures of one metric table."""
    if published.table == ACCOUNT_COMPLETION:
        return build_account_metadata(published)
    figures = read_provenance(published.path)
    if published.table == ATTENTION:
        return figures | _build_attention_metadata(published.path)
    return figures | _build_course_metadata(published.path) if published.table == COURSE_COMPLETION else figures


def build_account_metadata(published: Published) -> dict[str, Any]:
    """Build the figures of `account_completion`: each rate as a number that the UI plots."""
    return read_provenance(published.path) | _build_rate_metadata(published.path, ACCOUNT_FIGURES)


def build_portfolio_metadata(published: Published) -> dict[str, Any]:
    """Build the figures of `portfolio_completion`, as those of an account, and how many accounts are in it."""
    return _build_rate_metadata(published.path, ("accounts", "accounts_missing", *ACCOUNT_FIGURES))


def _build_rate_metadata(path: Path, counts: Iterable[str]) -> dict[str, Any]:
    """Build the figures of a table with one row: the counts and rates that are known."""
    import pyarrow.parquet as pq

    names = [*counts, *(rate.name for rate in RATES)]
    with pq.ParquetFile(path) as file:  # reading all columns takes five times as long
        (row,) = file.read(names).to_pylist()
    return {name: row[name] for name in names if row[name] is not None}


def _build_attention_metadata(path: Path) -> dict[str, Any]:
    """Build the number of enrollments by their strongest reason, and of how many idleness is not known."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from lms_pipeline.lake.files import read_metadata

    with pq.ParquetFile(path) as file:
        counted = pc.value_counts(file.read(["reason"])["reason"])
    counts = Counter({one["values"]: one["counts"] for one in counted.to_pylist()})
    metadata = read_metadata(path)
    unknown = {"idle_unknown": int(metadata["idle_unknown"])} if "idle_unknown" in metadata else {}
    return {**{reason: counts[reason] for reason in REASONS}, **unknown}


def _build_course_metadata(path: Path) -> dict[str, Any]:
    """Build the figures of `course_completion`: the largest courses, and the lowest and highest rate."""
    from lms_pipeline.report.completion import Courses

    courses = Courses(path)
    figures: dict[str, Any] = {"largest_courses": dg.MetadataValue.md(courses.format_largest())}
    for name, course in courses.find_extremes().items():
        figures |= {f"{name}_rate": course.rate, f"{name}_rate_course_id": course.course_id}
    return figures
