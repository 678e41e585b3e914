"""Which partitions need a run, and the requests for these runs: what the schedule and the sensors share.

Dagster never starts two runs with one run key, so each key names the reason of its request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lms_pipeline.defs.partitions import ACCOUNT_TAG, DATE_TAG, RANGE_TAGS, build_partition_key, build_partition_tags
from lms_pipeline.defs.ranges import AccountOrder, build_range_tags, is_range
from lms_pipeline.defs.run_locks import LockState, probe_run_lock
from lms_pipeline.defs.run_sessions import has_run_session
from lms_pipeline.errors import LakeError, StorageError
from lms_pipeline.lake.lock import is_locked
from lms_pipeline.lake.paths import AnyPartition, DataDir, Partition
from lms_pipeline.lake.scan import find_unpublished
from lms_pipeline.lake.waiting import WaitingPull, find_waiting, utc_now
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.pulled import COURSES, LEARNERS, PULLED_TABLES, UNIFIED_ENROLLMENTS

if TYPE_CHECKING:
    from lms_pipeline.lake.index import PublicationIndex

DAILY_SNAPSHOT = "daily_snapshot"
COMPUTE_PORTFOLIO = "compute_portfolio"
REBUILD_WAREHOUSE = "rebuild_warehouse"
ROLL_UP_DAY = "roll_up_day"
HOUSEKEEPING = "housekeeping"
WATCH_FLEET = "watch_fleet"
WRITE_REPORT = "write_report"
JOB_NAMES = frozenset(
    {DAILY_SNAPSHOT, COMPUTE_PORTFOLIO, REBUILD_WAREHOUSE, ROLL_UP_DAY, HOUSEKEEPING, WATCH_FLEET, WRITE_REPORT}
)
"""The jobs of this code location."""

ENROLLMENTS = frozenset(dg.AssetKey(table.name) for table in PULLED_TABLES if table not in {LEARNERS, COURSES})
"""The assets that a pull of enrollments publishes."""

ACTIVE_STATUSES = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FAILED_STATUSES = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
START_GRACE_SECONDS = 600.0
"""Dagster queues a run some seconds after it has created it. A run whose creator died in between never starts."""
RETRY_GRACE_SECONDS = 120.0
"""Dagster creates the retry of a failed run within some ten seconds, or never: it misses a failure that it reads before
the run is marked for a retry. After this time the retry is not expected any more."""
PARTITION_SET = {"dagster/partition_set": f"{DAILY_SNAPSHOT}_partition_set"}
"""Dagster's tag of a run of a partition that a job requests."""
MAX_SELECTED_ACCOUNTS = 500
"""Accounts that a query of runs names at most; of more, it reads all runs of the day."""
MAX_TAGS_PER_QUERY = 5_000
"""Values of a tag that one query searches for: SQLite takes 32,766 parameters."""
NO_OPEN_DAY = "No day is open now: the grace period of the latest ended day is over."
"""Skip reason of a tick."""

log = logging.getLogger(__name__)


def find_missing_snapshots(data: DataDir, day: date, account_ids: Iterable[str]) -> list[Partition]:
    """Return the accounts for which nothing is published for a day, in their order.

    The index is read, and the folders of the accounts that it lacks are looked into; in a bucket only of those that a run is
    publishing, or was. If the index can't be used, or has to be built, all accounts are looked for. A snapshot that was
    removed by hand counts as published until the next comparison of the lake.
    """
    from lms_pipeline.lake.index_sync import read_index  # imports Arrow, which no other tick needs

    def read(index: PublicationIndex) -> tuple[set[AnyPartition], set[AnyPartition]]:
        published = {one.partition for one in index.find(day=day) if one.has_file(UNIFIED_ENROLLMENTS.name)}
        return published, {one.partition for one in index.find_pending()}

    partitions = [Partition(account_id, day) for account_id in account_ids]
    try:
        known, pending = read_index(data, read, is_compared=False, may_build=False)
    except (LakeError, StorageError) as error:
        log.warning("All accounts are looked for, to find their snapshots of %s: %s", day, error)
        return find_unpublished(data, UNIFIED_ENROLLMENTS, partitions)
    missing = [one for one in partitions if one not in known]
    uncertain = missing if data.store.is_local else [one for one in missing if one in pending]
    published = set(uncertain).difference(find_unpublished(data, UNIFIED_ENROLLMENTS, uncertain))
    return [one for one in missing if one not in published]


def find_open_day(settings: Settings, now: datetime) -> date | dg.SkipReason:
    """Return the day for which runs may be requested, or why there is none.

    Dagster does not look up the partition of a request that has its tags, so a day that is not listed is refused here.
    """
    day = settings.calendar.find_open_day(now)
    if day is None:
        return dg.SkipReason(NO_OPEN_DAY)
    if settings.start_date is not None and day < settings.start_date:
        return dg.SkipReason(f"{day} is before the first day, LMS_START_DATE {settings.start_date}.")
    return day


def find_latest_runs(
    instance: dg.DagsterInstance, day: date, account_ids: Collection[str] = ()
) -> dict[str, dg.RunRecord]:
    """Return the latest run of each account for a day, by account id: of these accounts at least, or of all.

    A run that succeeded without enrollments, such as one of `learners` alone, does not count: it hides no failed pull.
    Few queries, since a fleet has thousands of accounts; few accounts are selected by them, since each run is decoded.
    """
    tags: dict[str, str | list[str]] = {DATE_TAG: day.isoformat()}
    if 0 < len(account_ids) <= MAX_SELECTED_ACCOUNTS:
        tags[ACCOUNT_TAG] = list(account_ids)
    found = [
        (record, [record.dagster_run.tags.get(ACCOUNT_TAG, "")])
        for record in instance.get_run_records(dg.RunsFilter(tags=tags))
    ]
    found += _find_range_runs(instance, day)
    found = [one for one in found if not (one[0].dagster_run.is_success and has_no_pull(one[0].dagster_run))]
    found.sort(key=lambda one: one[0].storage_id)
    by_account = {account_id: record for record, account_ids in found for account_id in account_ids}
    by_account.pop("", None)  # runs of another project's assets, partitioned by date without accounts
    return by_account


def _find_range_runs(instance: dg.DagsterInstance, day: date) -> list[tuple[dg.RunRecord, list[str]]]:
    """Find the runs of a range that ends on a day, each with the accounts in it; also the runs of backfills.

    Any account can be the last one, and Dagster can't search for a part of a tag.
    """
    order = AccountOrder.load(instance)
    ends = [f"{account_id}|{day}" for account_id in order.account_ids]
    found: dict[str, dg.RunRecord] = {}
    for start in range(0, len(ends), MAX_TAGS_PER_QUERY):
        tags = {RANGE_TAGS[1]: ends[start : start + MAX_TAGS_PER_QUERY]}
        found |= {record.dagster_run.run_id: record for record in instance.get_run_records(dg.RunsFilter(tags=tags))}
    partitions = {run_id: order.list_partitions(record.dagster_run.tags) for run_id, record in found.items()}
    return [
        (record, [one.account_id for one in partitions[run_id] if one.day == day]) for run_id, record in found.items()
    ]


def has_no_pull(run: dg.DagsterRun) -> bool:
    """Return whether assets were selected for a run, and no enrollments among them."""
    return bool(run.asset_selection) and ENROLLMENTS.isdisjoint(run.asset_selection or ())


def is_active(record: dg.RunRecord) -> bool:
    """Return whether a run is queued or running, or Dagster is about to queue or to retry it."""
    run, now = record.dagster_run, time.time()
    if run.status is dg.DagsterRunStatus.NOT_STARTED:
        return now - record.create_timestamp.timestamp() < START_GRACE_SECONDS
    return run.status in ACTIVE_STATUSES or (
        run.is_complete_and_waiting_to_retry and now - (record.end_time or 0.0) < RETRY_GRACE_SECONDS
    )


def has_failed(record: dg.RunRecord) -> bool:
    """Return whether a run failed and no retry is expected."""
    return record.dagster_run.status in FAILED_STATUSES and not is_active(record)


def find_expected(data: DataDir, day: date) -> set[Partition]:
    """Find the partitions of a day that need no request: their pull waits for its LMS, or is about to continue."""
    now = utc_now()
    return {pull.partition for pull in find_waiting(data, day) if pull.is_expected(now)}


def find_due_pulls(
    instance: dg.DagsterInstance,
    data: DataDir,
    waiting: Iterable[WaitingPull],
    account_ids: AbstractSet[str],
    day: date,
) -> list[WaitingPull]:
    """Return the pulls of a day whose LMS allows calls again, and that nothing has continued yet.

    A command that waits for a pull itself holds the lock of the run that ended, or on another host its session. A run of
    several accounts, which has left this one and goes on with the others, holds its lock too, and does not come back. Nor
    does a retry of that run, which skipped this one: of a run of several accounts only the lock of the partition says what
    it pulls.
    """
    now = utc_now()
    due = [pull for pull in waiting if pull.is_due(now) and pull.account_id in account_ids]
    latest = find_latest_runs(instance, day, {pull.account_id for pull in due}) if due else {}
    ended = _read_runs(instance, due)

    def is_free(pull: WaitingPull) -> bool:
        record = latest.get(pull.account_id)
        is_newest = record is None or record.dagster_run.run_id == pull.run_id or not is_active(record)
        if record is not None and is_range(record.dagster_run.tags):
            is_newest = is_newest or not is_locked(data, pull.partition)
        run = ended.get(pull.run_id)
        goes_on = run is not None and not run.is_finished
        is_held = probe_run_lock(instance, pull.run_id) is LockState.HELD or has_run_session(
            data.storage.database, pull.run_id
        )
        return is_newest and (goes_on or not is_held)

    return [pull for pull in due if is_free(pull)]


def build_continuations(instance: dg.DagsterInstance, due: Sequence[WaitingPull]) -> list[dg.RunRequest]:
    """Build the requests of the runs that continue pulls. The runs that ended are read in one query."""
    ended = _read_runs(instance, due)
    return [_build_continuation(pull, ended.get(pull.run_id)) for pull in due]


def _read_runs(instance: dg.DagsterInstance, pulls: Sequence[WaitingPull]) -> dict[str, dg.DagsterRun]:
    """Return the runs that left these pulls, by their ids, in one query."""
    runs = instance.get_runs(dg.RunsFilter(run_ids=[pull.run_id for pull in pulls])) if pulls else []
    return {run.run_id: run for run in runs}


def _build_continuation(pull: WaitingPull, run: dg.DagsterRun | None) -> dg.RunRequest:
    """Build the request of the run that continues a pull, with the tables and `allow_drop` of the run that ended."""
    request = build_run_request(pull.partition, f"continues {pull.run_id}")
    if run is None:
        return request
    # a run from the UI may hold assets and configuration of others, which the job does not have
    selected = {key.to_user_string() for key in run.asset_selection or ()}
    tables = [dg.AssetKey(name) for name, table in TABLES.items() if name in selected and table.per_account]
    return request._replace(run_config=_find_pull_config(run.run_config), asset_selection=tables or None)


def _find_pull_config(config: object) -> dict[str, Any]:
    """Return the part of a run's configuration that sets `allow_drop`, empty if it does not."""
    for name in ("ops", "pull", "config", "allow_drop"):
        config = config.get(name) if isinstance(config, Mapping) else None
    return {"ops": {"pull": {"config": {"allow_drop": True}}}} if config is True else {}


def build_run_request(partition: Partition, reason: str) -> dg.RunRequest:
    """Build the request of one account and day; `reason` makes its run key unique.

    It has the tags that Dagster would add after a query for each request: 15 s with 10,000 accounts, 60 s with its own log.
    """
    key, tags = build_partition_key(partition), build_partition_tags(partition)
    return dg.RunRequest(run_key=f"{key} {reason}", partition_key=key, tags={**tags, **PARTITION_SET})


def build_run_requests(
    instance: dg.DagsterInstance, reasons: Mapping[Partition, str], accounts_per_run: int
) -> list[dg.RunRequest]:
    """Build the requests of some accounts and days, each with the reason that makes its run key unique.

    Neighboring accounts share a run, `accounts_per_run` at most. All accounts have partition keys, see `add_accounts`.
    """
    if accounts_per_run == 1:
        return [build_run_request(partition, reason) for partition, reason in reasons.items()]
    groups = AccountOrder.load(instance).group_neighbors(reasons, accounts_per_run)
    return [
        build_run_request(group[0], reasons[group[0]])
        if len(group) == 1
        else _build_range_request(group[0], group[-1], reasons[group[0]])
        for group in groups
    ]


def _build_range_request(first: Partition, last: Partition, reason: str) -> dg.RunRequest:
    start, end = build_partition_key(first), build_partition_key(last)
    return dg.RunRequest(run_key=f"{start}...{end} {reason}", tags=build_range_tags(first, last))
