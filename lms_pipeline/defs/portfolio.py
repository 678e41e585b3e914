"""The asset of the portfolio, one partition a day, and its refresh after the days of accounts changed.

Belongs here: Dagster's part of it. Not here: which days changed (`metrics/portfolio_days.py`), and their sums
(`metrics/portfolio.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from lms_pipeline.accounts.listed_days import find_first_day
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.defs.asset_checks import evaluate_portfolio_checks
from lms_pipeline.defs.failures import convert_errors
from lms_pipeline.defs.metadata import build_published_metadata, build_table_spec, tag_frozen_now
from lms_pipeline.defs.partitions import build_days, build_same_day_mapping, read_day
from lms_pipeline.defs.shown_metadata import build_shown_metadata
from lms_pipeline.errors import LmsPipelineError, format_count
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, PORTFOLIO_COMPLETION

if TYPE_CHECKING:
    from lms_pipeline.lake.publishing import Published

PORTFOLIO_KEY = dg.AssetKey(PORTFOLIO_COMPLETION.name)


def build_portfolio(settings: Settings) -> dg.AssetsDefinition:
    """Build the asset of the portfolio. A day depends on the same day of every account."""
    dep = dg.AssetDep(ACCOUNT_COMPLETION.name, partition_mapping=build_same_day_mapping())
    spec = build_table_spec(
        PORTFOLIO_COMPLETION, group="metrics", upstream=ACCOUNT_COMPLETION.name, kinds={"duckdb", "sql", "parquet"}
    ).replace_attributes(deps=[dep])

    @dg.multi_asset(
        name="portfolio",
        specs=[spec],
        partitions_def=build_days(settings),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    )
    def portfolio(
        context: dg.AssetExecutionContext, lake: dg.ResourceParam[DataDir]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from lms_pipeline.metrics.portfolio import publish_portfolio
        from lms_pipeline.metrics.portfolio_days import describe_origin

        tag_frozen_now(context, settings)
        with convert_errors(context):
            day = read_day(context)
            accounts = Registry(lake).read_accounts()
            origin = describe_origin(lake, accounts, day)
            published = publish_portfolio(lake, day, accounts, run_id=context.run.run_id, origin=origin)
            yield dg.MaterializeResult(asset_key=PORTFOLIO_KEY, metadata=_build_metadata(lake, settings, published))

    return portfolio


def refresh_portfolio(context: dg.AssetExecutionContext, lake: DataDir, settings: Settings) -> list[LmsPipelineError]:
    """Compute the days of the portfolio that changed, check each, and log its materialization.

    A day that can't be computed does not stop the others. Return what failed.
    """
    from lms_pipeline.metrics.portfolio import NoAccountMetricsError, publish_portfolio
    from lms_pipeline.metrics.portfolio_days import find_portfolio_changes, remember_changes, remove_day

    failed: list[LmsPipelineError] = []

    @contextmanager
    def keep_on() -> Iterator[None]:
        try:
            yield
        except LmsPipelineError as error:
            context.log.error("%s", error)  # noqa: TRY400 - the sentence is enough
            failed.append(error)

    with keep_on():
        accounts, first = Registry(lake).read_accounts(), find_first_day(settings)
        changes = find_portfolio_changes(lake, accounts)
        for day, origin in changes.outdated.items():
            with keep_on():
                try:
                    published = publish_portfolio(lake, day, accounts, run_id=context.run.run_id, origin=origin)
                except NoAccountMetricsError as error:  # every file is damaged; the warehouse leaves them out too
                    context.log.warning("%s", error)
                    remove_day(lake, day)
                else:
                    if day >= first:  # Dagster does not list the others
                        _log_events(context, lake, settings, day, published)
        for day in changes.orphaned:
            remove_day(lake, day)
            context.log.info("Removed the portfolio of %s: no account has the day any more.", day)
        if not failed:
            remember_changes(lake, changes)
        if changes.outdated:
            context.log.info("%s of the portfolio changed.", format_count(len(changes.outdated), "day"))
    return failed


def _log_events(
    context: dg.AssetExecutionContext, lake: DataDir, settings: Settings, day: date, published: "Published"
) -> None:
    """Log what a run of the asset itself would: the materialization, and the results of the checks."""
    partition = day.isoformat()
    metadata = _build_metadata(lake, settings, published)
    context.log_event(dg.AssetMaterialization(PORTFOLIO_KEY, partition=partition, metadata=metadata))
    for evaluation in evaluate_portfolio_checks(settings, lake, day, partition):
        context.log_event(evaluation)


def _build_metadata(lake: DataDir, settings: Settings, published: "Published") -> dict[str, Any]:
    limit = settings.min_cohort
    return build_published_metadata(lake, published, None, build_shown_metadata(lake, published, limit), limit)
