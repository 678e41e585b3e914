"""The asset checks: those of a snapshot run in the run of its tables, those of the fleet each hour.

Belongs here: their Dagster definitions. What they examine is in `checks/`.
"""

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.checks.base import (
    BlockedError,
    Check,
    Finding,
    NothingToCheckError,
    Subject,
    merge_accounts,
    merge_findings,
    open_subject,
)
from lms_pipeline.checks.fleet import FLEET_CHECKS, accounts_are_fresh
from lms_pipeline.checks.metrics import METRIC_CHECKS, PORTFOLIO_CHECKS
from lms_pipeline.checks.snapshot import PULL_CHECKS
from lms_pipeline.defs.failures import convert_errors
from lms_pipeline.defs.metadata import PERSONAL_IDS, tag_frozen_now
from lms_pipeline.defs.partitions import build_account_days, build_days, build_partition_key, has_partition, read_day
from lms_pipeline.defs.ranges import AccountOrder
from lms_pipeline.defs.run_requests import FAILED_STATUSES
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.metrics import PORTFOLIO_COMPLETION
from lms_pipeline.tables.schema import Table

FAILURE_LOOKBACK = timedelta(days=30)
"""Older failed runs are not read, since the checks run each hour; their days count as never requested."""
PORTFOLIO_CHECK_KEYS = {
    dg.AssetCheckKey(dg.AssetKey(PORTFOLIO_COMPLETION.name), check.name): check for check in PORTFOLIO_CHECKS
}
FLEET_CHECK_KEYS = {dg.AssetCheckKey(dg.AssetKey("warehouse"), check.name): check for check in FLEET_CHECKS}


def build_snapshot_check_specs(settings: Settings) -> list[dg.AssetCheckSpec]:
    """Build the specs of the checks of a snapshot, which run between and after the steps of its pull and its metrics."""
    return _build_specs(_key_checks(PULL_CHECKS, METRIC_CHECKS), build_account_days(settings))


def list_snapshot_check_keys() -> list[dg.AssetCheckKey]:
    """Return the checks of a snapshot, of its pulled tables and of its metrics."""
    return list(_key_checks(PULL_CHECKS, METRIC_CHECKS))


def select_pull_checks(selected: AbstractSet[dg.AssetCheckKey]) -> dict[dg.AssetCheckKey, Check[Subject]]:
    """Return the selected checks of the pulled tables, which run before the metrics."""
    return {key: check for key, check in _key_checks(PULL_CHECKS).items() if key in selected}


def select_metric_checks(selected: AbstractSet[dg.AssetCheckKey]) -> dict[dg.AssetCheckKey, Check[Subject]]:
    """Return the selected checks of the metric tables."""
    return {key: check for key, check in _key_checks(METRIC_CHECKS).items() if key in selected}


def select_optional_checks(selected: AbstractSet[dg.AssetCheckKey]) -> dict[dg.AssetCheckKey, Check[Subject]]:
    """Return the selected checks of a snapshot that have nothing to check in some accounts."""
    checks = _key_checks(PULL_CHECKS, METRIC_CHECKS)
    return {key: check for key, check in checks.items() if key in selected and check.applies is not None}


def _key_checks(*groups: Sequence[Check[Subject]]) -> dict[dg.AssetCheckKey, Check[Subject]]:
    return {
        dg.AssetCheckKey(dg.AssetKey(check.tables[0].name), check.name): check for checks in groups for check in checks
    }


def check_partition(
    settings: Settings,
    data: DataDir,
    partition: Partition,
    checks: Mapping[dg.AssetCheckKey, Check[Subject]],
    unfetched: Collection[Table] = tuple(TABLES.values()),
    *,
    leave_out: bool = False,
) -> Iterator[dg.AssetCheckResult]:
    """Check the files of one partition, up to the first blocking check that fails.

    `unfetched` are the tables that this run has neither fetched nor published, see `open_subject`. With `leave_out`, a check
    that has nothing to check there has no result.

    Raises:
        BlockedError: such a check, with our own sentence, before Dagster fails the run with a general one.
    """
    with open_subject(settings, data, partition, unfetched) as open_table:
        for key, check in checks.items():
            if leave_out and check.applies is not None and not check.applies(open_table(check.tables[0])):
                continue
            finding = _run_check(check, open_table)
            yield build_check_result(key, check, finding)
            if check.is_blocking and not finding.passed:
                raise BlockedError(
                    f"The published files of {build_partition_key(partition)} fail the check {check.name}, so no metrics are "
                    f"computed: {finding.message}"
                )


def check_latest(
    settings: Settings, data: DataDir, selected: AbstractSet[dg.AssetCheckKey]
) -> Iterator[dg.AssetCheckEvaluation]:
    """Check the latest snapshot of each active account: the UI's button "Execute all" starts a run without a partition.

    A file that can't be read fails the checks of its account alone. The evaluations belong to no partition. Dagster can't
    build them from an `AssetCheckResult` without one.

    Raises:
        NothingToCheckError: no active account has a file for one of the checks.
        BlockedError: a blocking check failed; all results were yielded.
    """
    keys: dict[Partition, list[dg.AssetCheckKey]] = {}
    checks = select_pull_checks(selected) | select_metric_checks(selected)
    latest = {table: _find_latest(data, table) for table in {check.tables[0] for check in checks.values()}}
    for key, check in checks.items():
        for partition in latest[check.tables[0]]:
            keys.setdefault(partition, []).append(key)
    findings: dict[dg.AssetCheckKey, dict[Partition, Finding]] = {key: {} for key in checks}
    for partition, of_partition in keys.items():
        with open_subject(settings, data, partition) as open_table:
            for key in of_partition:
                try:
                    findings[key][partition] = _run_check(checks[key], open_table)
                except LmsPipelineError as error:
                    findings[key][partition] = Finding(passed=False, message=str(error))
    merged = {key: merge_accounts(found) for key, found in findings.items()}
    for key, check in checks.items():
        yield build_evaluation(build_check_result(key, check, merged[key]))
    for key, check in checks.items():
        if check.is_blocking and not merged[key].passed:
            raise BlockedError(f"The published files fail the check {check.name}: {merged[key].message}")


def _find_latest(data: DataDir, table: Table) -> list[Partition]:
    """Return the latest published partition of a table for each active account.

    Raises:
        NothingToCheckError: there is none.
    """
    from lms_pipeline.lake.index_sync import read_index  # imports Arrow

    active = {account.id for account in Registry(data).read_active()}
    latest = read_index(data, lambda index: index.find_latest_days(table.name))
    found = [Partition(account_id, day) for account_id, day in latest.items() if account_id in active]
    if not found:
        raise NothingToCheckError(f"There is no {table.name} of any active account to check: materialize it first.")
    return found


def _build_specs(
    by_key: Mapping[dg.AssetCheckKey, Check[Subject]], partitions: dg.PartitionsDefinition
) -> list[dg.AssetCheckSpec]:
    with warnings.catch_warnings():
        # a preview feature: without partitions the result of one account would be shown for all
        warnings.filterwarnings("ignore", "Specifying a partitions_def on an AssetCheckSpec", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                key.name,
                asset=key.asset_key,
                description=check.doc,
                blocking=check.is_blocking,
                partitions_def=partitions,
            )
            for key, check in by_key.items()
        ]


def _run_check(check: Check[Subject], open_table: Callable[[Table], Subject]) -> Finding:
    """Run a check on its first table, and on each of its other tables that is published."""
    first, *others = map(open_table, check.tables)
    subjects = [first, *(other for other in others if other.exists)]
    return merge_findings({subject.table.name: check.run(subject) for subject in subjects})


def build_portfolio_checks(settings: Settings) -> dg.AssetChecksDefinition:
    """Build the checks of the portfolio as one step, by day. Without a day they check its latest one."""

    @dg.multi_asset_check(
        name="portfolio_checks", specs=_build_specs(PORTFOLIO_CHECK_KEYS, build_days(settings)), can_subset=True
    )
    def portfolio_checks(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[DataDir]
    ) -> Iterator[dg.AssetCheckEvaluation]:
        selected = context.selected_asset_check_keys
        tag_frozen_now(context.op_execution_context, settings)
        with convert_errors(context):
            if has_partition(context.op_execution_context):
                day = read_day(context.op_execution_context)
                evaluations = evaluate_portfolio_checks(settings, lake, day, day.isoformat())
            else:
                evaluations = evaluate_portfolio_checks(settings, lake, _find_latest_day(lake), None)
            yield from (one for one in evaluations if one.asset_check_key in selected)

    return portfolio_checks


def evaluate_portfolio_checks(
    settings: Settings, data: DataDir, day: date, partition: str | None
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield the results of all checks of the portfolio of a day; `partition` is the partition to which they belong."""
    with open_subject(settings, data, DayPartition(day)) as open_table:
        for key, check in PORTFOLIO_CHECK_KEYS.items():
            yield build_evaluation(build_check_result(key, check, _run_check(check, open_table)), partition)


def _find_latest_day(data: DataDir) -> date:
    """Return the latest day of the portfolio.

    Raises:
        NothingToCheckError: it has none.
    """
    days = [partition.day for partition in data.find_any_partitions(PORTFOLIO_COMPLETION)]
    if not days:
        raise NothingToCheckError(f"There is no {PORTFOLIO_COMPLETION.name} to check: materialize it first.")
    return max(days)


def build_evaluation(result: dg.AssetCheckResult, partition: str | None = None) -> dg.AssetCheckEvaluation:
    """Build the event of a result; of a result itself, Dagster builds one with the partition of the run."""
    if result.asset_key is None or result.check_name is None:
        raise TypeError("a result of ours names its asset and its check")
    key = dg.AssetCheckKey(result.asset_key, result.check_name)
    return dg.AssetCheckEvaluation(
        key.asset_key,
        key.name,
        result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
        blocking=(_key_checks(PULL_CHECKS, METRIC_CHECKS) | PORTFOLIO_CHECK_KEYS)[key].is_blocking,
        partition=partition,
    )


def build_fleet_checks(settings: Settings) -> dg.AssetChecksDefinition:
    """Build the checks over all accounts as one step."""
    specs = [
        dg.AssetCheckSpec(check.name, asset=key.asset_key, description=check.doc)
        for key, check in FLEET_CHECK_KEYS.items()
    ]

    @dg.multi_asset_check(specs=specs, can_subset=True)
    def fleet_checks(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[DataDir]
    ) -> Iterator[dg.AssetCheckResult]:
        from lms_pipeline.checks.fleet import load_fleet

        tag_frozen_now(context.op_execution_context, settings)
        with convert_errors(context):
            fleet = load_fleet(lake, settings, _find_recently_failed(context.instance))
            stale: Finding | None = None
            for key, check in FLEET_CHECK_KEYS.items():
                if key in context.selected_asset_check_keys:
                    finding = check.run(fleet)
                    yield build_check_result(key, check, finding)
                    if check.run is accounts_are_fresh and not finding.passed:
                        stale = finding
            if stale is not None:  # last: that it can't be sent fails the run
                _send_alert(settings, lake, fleet.closed, stale, context.run.run_id)

    return fleet_checks


def _find_recently_failed(instance: dg.DagsterInstance) -> set[Partition]:
    """Find the partitions with a failed run within `FAILURE_LOOKBACK`, of any job: Dagster's Catalog has one of its own."""
    recently_failed = dg.RunsFilter(statuses=FAILED_STATUSES, created_after=datetime.now(UTC) - FAILURE_LOOKBACK)
    order = AccountOrder.load(instance)
    return {one for run in instance.get_runs(recently_failed) for one in order.list_partitions(run.tags)}


def _send_alert(settings: Settings, data: DataDir, day: date, finding: Finding, run_id: str) -> None:
    """Report active accounts without a snapshot of a day, once for each day and number of accounts.

    Failed runs are reported by the sensor `failure_alerts`.
    """
    from lms_pipeline.alerts import Alerts

    if settings.alert_webhook is not None:
        alerts = Alerts(data, settings.alert_webhook.get_secret_value())
        key = f"{accounts_are_fresh.__name__} {finding.figures['stale']}"
        alerts.send_daily(key, day, f"The daily snapshot failed: {finding.message} (run {run_id[:8]})")


def build_check_result(key: dg.AssetCheckKey, check: Check[Any], finding: Finding) -> dg.AssetCheckResult:
    """Convert a finding into Dagster's result: its message, its figures, and the rows that it names as a table.

    Ids of people are left out of the rows, see `PERSONAL_IDS`.
    """
    shown = [{name: value for name, value in row.items() if name not in PERSONAL_IDS} for row in finding.rows]
    rows = [dg.TableRecord({name: _convert_cell(value) for name, value in row.items()}) for row in shown if row]
    table = {"rows_in_question": dg.MetadataValue.table(rows)} if rows else {}
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=finding.passed,
        severity=dg.AssetCheckSeverity.ERROR if check.is_error else dg.AssetCheckSeverity.WARN,
        description=finding.message,
        metadata={**finding.figures, **table},
    )


def _convert_cell(value: object) -> str | int | float | bool:
    return value if isinstance(value, str | int | float | bool) else "" if value is None else str(value)
