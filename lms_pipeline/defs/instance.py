"""Running the same assets from a shell as in the UI, in this process, with the runs in Dagster's log.

What belongs here: Dagster for the command line. What is printed of it is `commands/`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import dagster as dg

from lms_pipeline.defs.failures import FROM_A_SHELL, MAX_RETRIES
from lms_pipeline.defs.launching import this_process
from lms_pipeline.defs.partitions import add_accounts, partition_key
from lms_pipeline.defs.run_requests import DAILY_SNAPSHOT, REBUILD_WAREHOUSE
from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.disk import disk_errors
from lms_pipeline.lake.paths import Partition
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.pulled import PULLED_TABLES

if TYPE_CHECKING:
    from dagster._core.execution.execute_in_process_result import ExecuteInProcessResult


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended."""

    subject: str
    """What it was about, for messages."""
    error: str | None
    """Why it failed; None where all was published."""
    seconds: float
    enrollments: int | None = None
    """Rows of `unified_enrollments` that were published."""
    kept: bool = False
    """The day was over and kept the snapshot it had."""


QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
MATERIALIZABLE = (*TABLES, "warehouse")
PULLED = {table.name for table in PULLED_TABLES}


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance of this installation, made on first use.

    Raises:
        LakeError: its folder can't be written.
    """
    home = settings.dagster_home.resolve()
    with disk_errors(home):
        home.mkdir(parents=True, exist_ok=True)
        config = home / "dagster.yaml"
        if not config.exists():
            template = files(__package__).joinpath("dagster.yaml").read_text(encoding="utf-8")
            config.write_text(template, encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home)
    return dg.DagsterInstance.get()


def check_selection(names: Iterable[str]) -> None:
    """Refuse names that are no assets.

    Raises:
        WrongUseError: listing those there are.
    """
    unknown = [name for name in names if name not in MATERIALIZABLE]
    if unknown:
        raise WrongUseError(f"There is no asset {unknown[0]!r}: there are {', '.join(MATERIALIZABLE)}.")


def run_partitions(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    partitions: Sequence[Partition],
    select: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    *,
    allow_drop: bool = False,
) -> Iterator[RunOutcome]:
    """One run for each partition, one after the other; a failed one doesn't stop the next.

    `names` says what people call an account in the outcome's subject; `allow_drop` publishes also where many
    enrollments are missing.
    """
    pulls = not select or not PULLED.isdisjoint(select)
    config = {**QUIET, "ops": {"pull": {"config": {"allow_drop": allow_drop}}}} if pulls else QUIET
    job = defs.resolve_job_def(DAILY_SNAPSHOT)
    add_accounts(instance, dict.fromkeys(partition.account_id for partition in partitions))
    for partition in partitions:
        started = time.monotonic()
        result = job.execute_in_process(
            run_config=config,
            instance=instance,
            partition_key=partition_key(partition.account_id, partition.day),
            asset_selection=[dg.AssetKey(name) for name in select if name in TABLES] or None,
            raise_on_error=False,
            tags=_tags(),
        )
        account = partition.account_id
        subject = f"{(names or {}).get(account, account)} on {partition.day}"
        yield _outcome(subject, result, time.monotonic() - started)


def rebuild_warehouse(defs: dg.Definitions, instance: dg.DagsterInstance) -> RunOutcome:
    """Bring the warehouse up to date."""
    started = time.monotonic()
    job = defs.resolve_job_def(REBUILD_WAREHOUSE)
    result = job.execute_in_process(run_config=QUIET, instance=instance, raise_on_error=False, tags=_tags())
    return _outcome("the warehouse", result, time.monotonic() - started)


def _tags() -> dict[str, str]:
    """Of runs for which somebody waits: not tried again, and over where this process is."""
    return {FROM_A_SHELL: this_process(), MAX_RETRIES: "0"}


def _outcome(subject: str, result: ExecuteInProcessResult, seconds: float) -> RunOutcome:
    metadata = {
        event.asset_key.to_user_string(): event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }
    enrollments = metadata.get("unified_enrollments", {})
    rows = enrollments.get("dagster/partition_row_count")
    return RunOutcome(
        subject,
        None if result.success else _cause(result),
        seconds,
        enrollments=rows.value if isinstance(rows, dg.IntMetadataValue) else None,
        kept=enrollments.get("kept") == dg.MetadataValue.bool(True),
    )


def _cause(result: ExecuteInProcessResult) -> str:
    """Our own sentence where the run failed with one, else the error's first line."""
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            if failure.user_failure_data and failure.user_failure_data.description:
                return failure.user_failure_data.description
            if failure.error:
                innermost = failure.error.cause or failure.error
                return innermost.message.strip().splitlines()[0]
    return "the run failed before its first step; see its log in `make ui`"
