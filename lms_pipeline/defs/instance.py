"""Dagster for the command line: opens the instance and runs jobs in this process, recorded in the same log as the UI's.

Not here: what the commands print (`commands/`).
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from operator import itemgetter
from time import sleep

import dagster as dg

# no public name: what Dagster raises for a class in `dagster.yaml` that does not exist
from dagster._check import CheckError

# no public name: why a run failed; an interrupt of this process is UNEXPECTED_TERMINATION
from dagster._core.events import RunFailureReason

# no public name: a new run id, which has to be known before the run starts
from dagster._core.utils import make_new_run_id

from lms_pipeline.defs.asset_checks import FLEET_CHECK_KEYS
from lms_pipeline.defs.failures import CONTINUES_AT_TAG, MAX_RETRIES_TAG, SHELL_TAG, describe_failure
from lms_pipeline.defs.home import prepare_home
from lms_pipeline.defs.launching import identify_process
from lms_pipeline.defs.metadata import ACCOUNT_TAG
from lms_pipeline.defs.partitions import PARTITION_TAG, add_accounts, build_partition_key
from lms_pipeline.defs.run_locks import run_lock
from lms_pipeline.defs.run_requests import COMPUTE_PORTFOLIO, DAILY_SNAPSHOT, REBUILD_WAREHOUSE, ROLL_UP_DAY
from lms_pipeline.defs.run_sessions import run_session
from lms_pipeline.errors import SettingsError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.waiting import utc_now
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.pulled import PULLED_TABLES, UNIFIED_ENROLLMENTS

QUIET_CONFIG = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config that keeps Dagster's log off the terminal."""
INTERRUPTED = "interrupted; the responses so far are stored, and the next pull of this day does not request them again."
PULLED_ASSETS = {table.name for table in PULLED_TABLES}
ACCOUNT_ASSETS = {name for name, table in TABLES.items() if table.per_account}
"""The assets with a partition for each account and day."""


@dataclass(frozen=True, slots=True)
class FailedCheck:
    """A check that failed although its run published."""

    name: str
    asset: str
    message: str
    is_error: bool
    """False for a warning."""
    day: str | None = None
    """Its day, if its run has none of its own."""

    def __str__(self) -> str:
        """Return a sentence for a person."""
        where = f"{self.asset} on {self.day}" if self.day else self.asset
        return f"check {self.name} of {where} {'failed' if self.is_error else 'warns'}: {self.message}"


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended."""

    subject: str
    """What it materialized, for messages."""
    error: str | None
    """Why it failed; None if everything was published."""
    seconds: float
    enrollments: int | None = None
    """Published rows of `unified_enrollments`; None if the run did not publish the table."""
    is_interrupted: bool = False
    """Whether a signal ended the run."""
    kept: bool = False
    """Whether the day was closed and its published snapshot stayed as it was."""
    continues_at: datetime | None = None
    """When another run continues, since its LMS allows no call before."""
    failed_checks: tuple[FailedCheck, ...] = ()
    """Its failed checks and warnings, without the one that `error` states."""


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the Dagster instance of this installation; the first use creates it.

    Raises:
        LakeError: its folder can't be written.
        SettingsError: its `dagster.yaml` can't be used.
    """
    home = settings.dagster_home.resolve()
    config = prepare_home(home)
    os.environ["DAGSTER_HOME"] = str(home)
    try:
        return dg.DagsterInstance.get()
    except (dg.DagsterInvalidConfigError, CheckError, ImportError):  # its message shows values, which may be secret
        raise SettingsError(
            f"{config} can't be used: Dagster does not know an entry or its value; "
            f"`DAGSTER_HOME={home} dagster instance info` shows which."
        ) from None


def run_partitions(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    partitions: Sequence[Partition],
    select: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    *,
    allow_drop: bool = False,
    report_continued: Callable[[str], None] = lambda _subject: None,
) -> Generator[RunOutcome]:
    """Run the daily job for each partition, one after the other, and yield the outcomes; a failure does not stop the next.

    A partition whose LMS allows no call for a while gets another run when its time has come, after those of the others.
    `names` maps account ids to names for the subjects of outcomes. `allow_drop` publishes even where many enrollments
    are missing. `report_continued` receives the subject of each pull that continues, before its run starts.
    """
    pulls = not select or not PULLED_ASSETS.isdisjoint(select)
    config = {**QUIET_CONFIG, "ops": {"pull": {"config": {"allow_drop": allow_drop}}}} if pulls else QUIET_CONFIG
    job = defs.resolve_job_def(DAILY_SNAPSHOT)
    add_accounts(instance, dict.fromkeys(partition.account_id for partition in partitions))
    with closing(_Queue(partitions)) as queue:
        for partition, is_continued in queue:
            account = partition.account_id
            name = (names or {}).get(account, account)
            subject = f"{name} on {partition.day}"
            if is_continued:
                report_continued(subject)
            started, run_id, lock = time.monotonic(), make_new_run_id(), ExitStack()
            with ExitStack() as until_end:
                until_end.push(lock)
                lock.enter_context(_being_alive(defs, instance, run_id))
                result = job.execute_in_process(
                    run_config=config,
                    instance=instance,
                    partition_key=build_partition_key(partition),
                    asset_selection=[dg.AssetKey(name) for name in select if name in ACCOUNT_ASSETS] or None,
                    raise_on_error=False,
                    run_id=run_id,
                    tags=_build_tags() | {ACCOUNT_TAG: name},
                )
                outcome = _build_outcome(
                    subject, result, time.monotonic() - started, _read_continues_at(instance, run_id)
                )
                if outcome.continues_at is not None:
                    queue.put_off(partition, outcome.continues_at, lock.pop_all())
            yield outcome


class _Queue:
    """The partitions in their order; those whose LMS allows no call for a while come when their time has come.

    Until then the lock of their ended run is held: the sensor `waiting_pulls` leaves them to this process.
    """

    def __init__(self, partitions: Sequence[Partition]) -> None:
        self._left = deque(partitions)
        self._waiting: list[tuple[float, Partition, ExitStack]] = []

    def __iter__(self) -> Iterator[tuple[Partition, bool]]:
        """Yield each partition, and whether it was put off before."""
        while self._left or self._waiting:
            if self._left and not (self._waiting and self._waiting[0][0] <= time.monotonic()):
                yield self._left.popleft(), False
                continue
            due, partition, lock = self._waiting[0]
            sleep(max(0.0, due - time.monotonic()))
            self._waiting.pop(0)
            lock.close()
            yield partition, True

    def put_off(self, partition: Partition, at: datetime, lock: ExitStack) -> None:
        """Put a partition back until an instant. `lock` is closed then."""
        seconds = (at - utc_now()).total_seconds()
        self._waiting.append((time.monotonic() + seconds, partition, lock))
        self._waiting.sort(key=itemgetter(0))

    def close(self) -> None:
        """Release the locks."""
        for _, _, lock in self._waiting:
            lock.close()


def compute_portfolio(
    defs: dg.Definitions, instance: dg.DagsterInstance, days: Iterable[date]
) -> Generator[RunOutcome]:
    """Run the job that computes a day of the portfolio, for each day, and yield the outcomes."""
    for day in days:
        yield _run_job(defs, instance, COMPUTE_PORTFOLIO, f"the portfolio of {day}", day.isoformat())


def roll_up_days(defs: dg.Definitions, instance: dg.DagsterInstance, days: Iterable[date]) -> Generator[RunOutcome]:
    """Run the job that writes the roll-ups of a day, for each day, and yield the outcomes."""
    for day in days:
        yield _run_job(defs, instance, ROLL_UP_DAY, f"the roll-ups of {day}", day.isoformat())


def rebuild_warehouse(defs: dg.Definitions, instance: dg.DagsterInstance) -> RunOutcome:
    """Run the job that computes the days of the portfolio that changed, and builds the warehouse from the lake."""
    outcome = _run_job(defs, instance, REBUILD_WAREHOUSE, "the warehouse")
    return replace(outcome, error="interrupted; the old one stays.") if outcome.is_interrupted else outcome


def _run_job(
    defs: dg.Definitions, instance: dg.DagsterInstance, name: str, subject: str, partition_key: str | None = None
) -> RunOutcome:
    """Run a job that requests nothing from an LMS."""
    started, run_id = time.monotonic(), make_new_run_id()
    with _being_alive(defs, instance, run_id):
        result = defs.resolve_job_def(name).execute_in_process(
            run_config=QUIET_CONFIG,
            instance=instance,
            partition_key=partition_key,
            raise_on_error=False,
            run_id=run_id,
            tags=_build_tags(),
        )
    return _build_outcome(subject, result, time.monotonic() - started)


@contextmanager
def _being_alive(defs: dg.Definitions, instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Let other processes see that this one has not ended, during the block: by a lock, and on other hosts by a session."""
    data = (defs.resources or {}).get("lake")
    with run_lock(instance, run_id), run_session(data.storage.database if isinstance(data, DataDir) else None, run_id):
        yield


def _build_tags() -> dict[str, str]:
    """Build the tags of a run whose command waits for it: no retries, and lost if this process dies."""
    return {SHELL_TAG: identify_process(), MAX_RETRIES_TAG: "0"}


def _read_continues_at(instance: dg.DagsterInstance, run_id: str) -> datetime | None:
    run = instance.get_run_by_id(run_id)
    at = run.tags.get(CONTINUES_AT_TAG) if run else None
    return datetime.fromisoformat(at) if at else None


def _build_outcome(
    subject: str, result: dg.ExecuteInProcessResult, seconds: float, continues_at: datetime | None = None
) -> RunOutcome:
    metadata = {
        event.asset_key.to_user_string(): event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }
    enrollments = metadata.get(UNIFIED_ENROLLMENTS.name, {})
    rows = enrollments.get("dagster/partition_row_count")
    is_interrupted = any(
        event.is_job_failure and event.job_failure_data.failure_reason is RunFailureReason.UNEXPECTED_TERMINATION
        for event in result.all_events
    )
    error = None if result.success else describe_failure(result.all_events, with_error_text=True)
    return RunOutcome(
        subject,
        INTERRUPTED if is_interrupted else error,
        seconds,
        is_interrupted=is_interrupted,
        enrollments=rows.value if isinstance(rows, dg.IntMetadataValue) else None,
        kept=enrollments.get("kept") == dg.MetadataValue.bool(True),
        continues_at=continues_at,
        failed_checks=tuple(_find_failed_checks(result, error or "")),
    )


def _find_failed_checks(result: dg.ExecuteInProcessResult, error: str) -> Iterator[FailedCheck]:
    """Find the failed checks of what a run published.

    Left out are the blocking one whose message is in the error of the run, and those of all accounts, which run each hour and
    may fail for a day that no command can repair.
    """
    has_day = PARTITION_TAG in result.dagster_run.tags
    for evaluation in result.get_asset_check_evaluations():
        message = evaluation.description or "it gives no reason."
        is_of_run = evaluation.asset_check_key not in FLEET_CHECK_KEYS
        if is_of_run and not evaluation.passed and message not in error:
            yield FailedCheck(
                evaluation.check_name,
                evaluation.asset_key.to_user_string(),
                message,
                is_error=evaluation.severity is dg.AssetCheckSeverity.ERROR,
                day=None if has_day else evaluation.partition,
            )
