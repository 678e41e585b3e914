"""The checks on the asset pages.

What belongs here: the Dagster face of `checks/`. Those of a snapshot run after what they look at, in the same run; those of
the fleet when the warehouse is built, and by their own schedule.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from lms_pipeline.checks.base import BlockedError, Check, Finding, Subject, together
from lms_pipeline.checks.fleet import FLEET_CHECKS, accounts_are_fresh
from lms_pipeline.checks.snapshot import METRIC_CHECKS, PULL_CHECKS
from lms_pipeline.defs.failures import as_dagster_failure
from lms_pipeline.defs.partitions import account_days, partition_of
from lms_pipeline.defs.run_requests import DAILY_SNAPSHOT, FAILED
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings
from lms_pipeline.tables.schema import Table

if TYPE_CHECKING:
    pass


def build_snapshot_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Two steps, so that the metrics wait for what blocks them alone."""
    return [
        _of_partition(settings, "pull_checks", PULL_CHECKS),
        _of_partition(settings, "metric_checks", METRIC_CHECKS),
    ]


def _of_partition(
    settings: Settings, name: str, checks: Sequence[Check[Subject]]
) -> dg.AssetChecksDefinition:
    looks = {dg.AssetCheckKey(dg.AssetKey(check.tables[0].name), check.name): check for check in checks}

    @dg.multi_asset_check(name=name, specs=_specs(settings, looks), can_subset=True)
    def of_partition(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[DataDir]
    ) -> Iterator[dg.AssetCheckResult]:
        from lms_pipeline.checks.base import open_subject

        with (
            as_dagster_failure(context),
            open_subject(settings, lake, partition_of(context.op_execution_context)) as at,
        ):
            for key, check in looks.items():
                if key in context.selected_asset_check_keys:
                    finding = _look(check, at)
                    yield check_result(key, check, finding)
                    if check.blocks and not finding.passed:
                        # in our words, before Dagster says the same in its own
                        raise BlockedError(
                            f"What is published of {context.op_execution_context.partition_key} fails {check.name}, and "
                            f"nothing is worked out from it: {finding.message}"
                        )

    return of_partition


def _look(check: Check[Subject], at: Callable[[Table], Subject]) -> Finding:
    """At the table that it stands on, and at the others where they are there."""
    first, *others = map(at, check.tables)
    there = [first, *(other for other in others if other.is_there)]
    return together({subject.table.name: check.look(subject) for subject in there})


def check_result(key: dg.AssetCheckKey, check: Check[Any], finding: Finding) -> dg.AssetCheckResult:
    """A finding in Dagster's words."""
    rows = [dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in finding.rows]
    shown = {"rows_in_question": dg.MetadataValue.table(rows)} if rows else {}
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=finding.passed,
        severity=dg.AssetCheckSeverity.ERROR if check.is_grave else dg.AssetCheckSeverity.WARN,
        description=finding.message,
        metadata={**finding.figures, **shown},
    )


def _cell(value: object) -> str | int | float | bool:
    return value if isinstance(value, str | int | float | bool) else "" if value is None else str(value)


def _specs(settings: Settings, looks: Mapping[dg.AssetCheckKey, Check[Subject]]) -> list[dg.AssetCheckSpec]:
    with warnings.catch_warnings():
        # without its partitions a check would show one account's result for all
        warnings.filterwarnings(
            "ignore", "Specifying a partitions_def on an AssetCheckSpec", dg.PreviewWarning
        )
        return [
            dg.AssetCheckSpec(
                key.name,
                asset=key.asset_key,
                description=check.doc,
                blocking=check.blocks,
                partitions_def=account_days(settings),
            )
            for key, check in looks.items()
        ]


FAILURE_LOOKBACK = timedelta(days=30)
"""Runs that failed before are taken for never asked: Dagster is not asked for all of its log each hour."""
KEYS = {dg.AssetCheckKey(dg.AssetKey("warehouse"), check.name): check for check in FLEET_CHECKS}


def build_fleet_checks(settings: Settings) -> dg.AssetChecksDefinition:
    """One step for all of them."""
    specs = [
        dg.AssetCheckSpec(check.name, asset=key.asset_key, description=check.doc)
        for key, check in KEYS.items()
    ]

    @dg.multi_asset_check(specs=specs, can_subset=True)
    def fleet_checks(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[DataDir]
    ) -> Iterator[dg.AssetCheckResult]:
        from lms_pipeline.checks.fleet import load_fleet

        with as_dagster_failure(context):
            fleet = load_fleet(lake, settings, _failed(context.instance))
            for key, check in KEYS.items():
                if key in context.selected_asset_check_keys:
                    finding = check.look(fleet)
                    yield check_result(key, check, finding)
                    if check.look is accounts_are_fresh and not finding.passed:
                        _tell(settings, lake, finding, context.run.run_id)

    return fleet_checks


def _tell(settings: Settings, data: DataDir, finding: Finding, run_id: str) -> None:
    """A run that fails is told of by `failure_alerts`; what was never run is told of here, once a day."""
    from lms_pipeline.alerts import Alerts, RunFailure

    if settings.alert_webhook is not None:
        alerts = Alerts(data, settings.alert_webhook.get_secret_value())
        alerts.send_once(RunFailure(None, "The daily snapshot", finding.message, run_id))


def _failed(instance: dg.DagsterInstance) -> set[Partition]:
    """The partitions for which a run failed of late."""
    of_late = dg.RunsFilter(
        job_name=DAILY_SNAPSHOT, statuses=FAILED, created_after=datetime.now(UTC) - FAILURE_LOOKBACK
    )
    keys = (run.tags.get("dagster/partition", "").split("|") for run in instance.get_runs(of_late))
    return {Partition(key[0], date.fromisoformat(key[1])) for key in keys if len(key) == 2}
