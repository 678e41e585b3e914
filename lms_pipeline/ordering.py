"""Orders for snapshots from what is known of an account, and what is remembered of it afterwards.

What belongs here: the way between the registry, the options of an account, and an order. Dagster, the command line and
a replay go it alike.
"""

from __future__ import annotations

import logging
from datetime import date
from typing import TYPE_CHECKING

from lms_pipeline.accounts.options import AccountOptions, read_options
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings
from lms_pipeline.tables.pulled import identity_of

if TYPE_CHECKING:
    from lms_pipeline.snapshot.job import Order, Report

log = logging.getLogger(__name__)


def order_for(
    settings: Settings,
    data: DataDir,
    account_id: str,
    day: date,
    run_id: str,
    *,
    tables: frozenset[str] | None = None,
    allow_drop: bool = False,
) -> Order:
    """The order for the snapshot of an account and day; all tables where none are named.

    Raises:
        UnknownAccountError: nobody has this id.
        SettingsError: the file of options can't be used.
    """
    from lms_pipeline.extract.budget import Limits
    from lms_pipeline.extract.strategy_selection import Choice
    from lms_pipeline.snapshot.job import TABLES, Order

    account = Registry(data.registry).get(account_id)
    options = read_options(settings.accounts_file).get(account.id, AccountOptions())
    return Order(
        account_id=account.id,
        day=day,
        run_id=run_id,
        identity=identity_of(account.integration, options.identity),
        options=options,
        tables=tables or frozenset(TABLES),
        limits=Limits.of(options, account.integration, settings.account_calls_per_10s),
        remembered=None if account.strategy == "auto" else Choice(account.strategy, account.why),
        may_carry=account.carrying_stopped is None,
        allow_drop=allow_drop,
    )


def remember(data: DataDir, order: Order, report: Report) -> None:
    """Keep in the registry what was chosen, and that nothing is carried any more where too much had changed."""
    if report.kept or order.lists_only:
        return
    registry = Registry(data.registry)
    if order.options.strategy == "auto" and report.is_settled:
        registry.remember_strategy(order.account_id, report.strategy, report.why)
    if report.carrying_stops:
        registry.stop_carrying(order.account_id, order.day)
        log.warning(
            "%d of %d enrollments of %s that seemed unchanged had changed: from now on all are asked for. Look at its "
            "runs, and carry again with `lms-pipeline accounts add %s`.",
            report.carry_differing,
            report.carry_asked,
            order.account_id,
            order.account_id,
        )
