"""`lms-pipeline materialize`: the assets of chosen accounts and days, from a shell.

Belongs here: arguments, their checks, and output. Not here: the runs (`defs/instance.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import click

from lms_pipeline.accounts.listed_days import check_first_day
from lms_pipeline.accounts.names import find_account, load_display_names
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.commands.common import (
    load_settings,
    parse_day,
    print_continued,
    print_outcomes,
    print_warehouse,
    warn_of_unregistered_options,
)
from lms_pipeline.commands.interrupts import stop_on_signals
from lms_pipeline.commands.selection import GROUPS, has_pulls, keep_stored, parse_selection
from lms_pipeline.commands.terminal import echo
from lms_pipeline.errors import LmsPipelineError, WrongUseError, choose_form, format_count
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings
from lms_pipeline.tables.catalog import BY_DAY, MATERIALIZABLE_ASSETS
from lms_pipeline.tables.metrics import PORTFOLIO_COMPLETION

if TYPE_CHECKING:  # Dagster takes a second to import
    from lms_pipeline.defs.instance import RunOutcome
    from lms_pipeline.truto.store import ResponseStore
    from lms_pipeline.truto.transport import Gate


@click.command()
@click.option("--account", "accounts", multiple=True, metavar="ID", help="Only this account. Can be repeated.")
@click.option("--date", "first", type=parse_day, metavar="YYYY-MM-DD", help="The day. Default: the latest ended day.")
@click.option("--to", "last", type=parse_day, metavar="YYYY-MM-DD", help="The last day of a range.")
@click.option(
    "--select",
    metavar="ASSETS",
    help=f"Only these assets, separated by commas: {', '.join(MATERIALIZABLE_ASSETS)}. Or groups of them: {', '.join(GROUPS)}.",
)
@click.option("--dry-run", is_flag=True, help="Estimate calls and time. Fetches lists only.")
@click.option(
    "--allow-drop", is_flag=True, help="Publish even if far fewer enrollments arrive than the previous snapshot has."
)
def materialize(
    accounts: tuple[str, ...],
    first: date | None,
    last: date | None,
    select: str | None,
    *,
    dry_run: bool,
    allow_drop: bool,
) -> None:
    """Pull days, compute their metrics and the portfolio, and rebuild the warehouse.

    Default: all active accounts and the latest ended day. At the end, removes old responses of the pulled accounts, and what
    killed commands left.
    Exit status: 0 if everything was published, 1 if something failed, 2 for wrong use, 130 or 143 if it was interrupted.
    A failed check of what was published is printed, and changes no exit status.
    """
    from lms_pipeline.connection import Truto
    from lms_pipeline.defs.instance import ACCOUNT_ASSETS

    settings = load_settings()
    selection = parse_selection(select)
    of_accounts = not selection or not ACCOUNT_ASSETS.isdisjoint(selection)
    _refuse_options_without_effect(selection, accounts if not of_accounts else (), first, last)
    days = _list_days(settings, first, last) if selection != ["warehouse"] else []
    names = load_display_names(settings)
    account_ids = _find_accounts(settings, accounts) if of_accounts else []
    partitions = [Partition(account_id, day) for day in days for account_id in account_ids]
    is_pull = has_pulls(selection)
    if not is_pull:
        partitions = _skip_missing(settings, partitions)
    elif settings.calendar.find_open_day(settings.now()) in days:
        Truto(settings).check_settings()  # once, instead of one failed run for each account
    warn_of_unregistered_options(settings)
    selected = _Selected(
        assets=selection,
        partitions=partitions,
        portfolio_days=days if PORTFOLIO_COMPLETION.name in selection else [],
        rolled_up_days=days if BY_DAY in selection else [],
    )
    if dry_run and is_pull:
        _print_estimates(settings, partitions, names)
    elif dry_run:
        echo(selected.describe() if of_accounts else selected.describe_days())
    if dry_run:
        return
    if settings.frozen_now:
        echo(f"LMS_NOW is set: {settings.now():%Y-%m-%d %H:%M} UTC is used as the current time.", err=True)
    failed = _run(settings, selected, names, days[0] if days else None, allow_drop=allow_drop)
    _remove_expired(settings, account_ids if is_pull else [], partitions)
    if failed:
        echo(f"{len(failed)} of {format_count(selected.count_runs(), 'run')} failed.", err=True)
        sys.exit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Selected:
    """What is selected: assets of accounts and days, and days over all accounts. The warehouse is built in any case."""

    assets: list[str]
    partitions: list[Partition]
    portfolio_days: list[date]
    rolled_up_days: list[date]

    def count_runs(self) -> int:
        """Return the number of runs, with that of the warehouse."""
        return len(self.partitions) + len(self.portfolio_days) + len(self.rolled_up_days) + 1

    def describe(self) -> str:
        """Return what would be computed of a selection with tables of accounts and without a pull."""
        days = f" and {self._format_days()} over all accounts" if self.portfolio_days or self.rolled_up_days else ""
        return f"{format_count(len(self.partitions), 'account-day')}{days} would be computed, without a call."

    def describe_days(self) -> str:
        """Return what would be computed of a selection without tables of accounts."""
        what = f"{self._format_days()} over all accounts"
        return f"{what if self.portfolio_days or self.rolled_up_days else 'The warehouse'} would be computed, without a call."

    def _format_days(self) -> str:
        return format_count(len(self.portfolio_days or self.rolled_up_days), "day")


def _run(
    settings: Settings, selected: _Selected, names: dict[str, str], first_day: date | None, *, allow_drop: bool
) -> list[RunOutcome]:
    """Run what is selected, build the warehouse, and return the outcomes that failed; each is printed."""
    from lms_pipeline.definitions import build_defs
    from lms_pipeline.defs.instance import (
        compute_portfolio,
        open_instance,
        rebuild_warehouse,
        roll_up_days,
        run_partitions,
    )

    defs, partitions = build_defs(settings, first_day), selected.partitions
    failed: list[RunOutcome] = []
    ended: list[RunOutcome] = []
    with stop_on_signals(lambda: _summarize_interrupted(ended, len(partitions))), open_instance(settings) as instance:
        runs = run_partitions(
            defs, instance, partitions, selected.assets, names, allow_drop=allow_drop, report_continued=print_continued
        )
        failed += print_outcomes(_record(runs, ended), len(partitions))
        days = selected.portfolio_days
        failed += print_outcomes(compute_portfolio(defs, instance, days), len(days))
        days = selected.rolled_up_days
        failed += print_outcomes(roll_up_days(defs, instance, days), len(days))
        failed += print_warehouse(rebuild_warehouse(defs, instance), DataDir.open(settings))
    return failed


def _refuse_options_without_effect(
    selection: list[str], accounts: tuple[str, ...], first: date | None, last: date | None
) -> None:
    """Refuse accounts for a selection without tables of accounts, and days for the warehouse alone.

    Raises:
        WrongUseError: with the option that would change nothing.
    """
    selected = ",".join(selection)
    if accounts:
        raise WrongUseError(
            f"--account changes nothing with --select {selected}, which is over all accounts: leave it out."
        )
    if selection == ["warehouse"] and (first or last):
        raise WrongUseError(
            f"--date and --to change nothing with --select {selected}, which has all days: leave them out."
        )


def _skip_missing(settings: Settings, partitions: list[Partition]) -> list[Partition]:
    """Return the account-days of a selection of metrics that have a snapshot. Print the number of the others."""
    stored = keep_stored(DataDir.open(settings), partitions)
    if missing := len(partitions) - len(stored):
        echo(f"{format_count(missing, 'account-day')} {choose_form(missing, 'has', 'have')} no snapshot.", err=True)
    return stored


def _record(outcomes: Iterable[RunOutcome], ended: list[RunOutcome]) -> Iterator[RunOutcome]:
    for outcome in outcomes:
        ended.append(outcome)
        yield outcome


def _summarize_interrupted(ended: list[RunOutcome], total: int) -> str:
    finished = {outcome.subject for outcome in ended if outcome.continues_at is None}
    published = sum(outcome.error is None and outcome.continues_at is None for outcome in ended)
    waiting = len({outcome.subject for outcome in ended} - finished)
    wait = choose_form(waiting, "waits for its LMS", "wait for their LMS")
    waits = f", {waiting} {wait}" if waiting else ""
    if len(finished) == total:
        todo = "The warehouse was not built: run `lms-pipeline materialize --select warehouse`."
    else:
        todo = (
            "Start the others again with --account and --date, before their day closes: what they have fetched is not requested "
            "again."
        )
    return f"Interrupted: {published} of {format_count(total, 'run')} {choose_form(published, 'is', 'are')} published{waits}. {todo}"


def _remove_expired(settings: Settings, account_ids: list[str], partitions: list[Partition]) -> None:
    """Do this part of the job `housekeeping` for installations without Dagster's daemon.

    Removes old responses of the accounts, leftovers of killed processes, and empty folders of the partitions.
    """
    from lms_pipeline.housekeeping.cleanup import (
        find_empty_folders,
        find_old_responses,
        find_temporary_folders,
        load_policy,
        remove,
    )
    from lms_pipeline.housekeeping.policy import format_totals

    data, policy = DataDir.open(settings), load_policy(settings)
    expired = list(find_old_responses(data, policy, account_ids)) if account_ids else []
    expired += find_temporary_folders(data, policy)
    removed = remove(data, expired, lambda warning: echo(warning, err=True))
    remove(data, find_empty_folders(data, policy, partitions), lambda _warning: None)  # no news after a failed pull
    if removed:
        echo(f"Removed {format_totals(removed)}.")


def _print_estimates(settings: Settings, partitions: list[Partition], names: dict[str, str]) -> None:
    """Print one line for each account and day. Exit with 1 if an estimate fails."""
    from lms_pipeline.connection import Truto
    from lms_pipeline.snapshot.estimate import estimate_snapshot
    from lms_pipeline.snapshot.job import SnapshotJob
    from lms_pipeline.truto.client import TrutoClient

    data, is_failed = DataDir.open(settings), False
    truto, clients = Truto(settings), list[TrutoClient]()

    @contextmanager
    def connect(gate: Gate, store: ResponseStore) -> Iterator[TrutoClient]:
        with truto.connect(gate, store) as client:
            clients.append(client)
            yield client

    for partition in partitions:
        job = SnapshotJob.load(settings, partition, "dry-run")
        try:
            estimate = estimate_snapshot(job, connect=connect, data=data, calendar=settings.calendar, now=settings.now)
        except LmsPipelineError as error:
            estimate, is_failed = str(error), True
        echo(f"{names[partition.account_id]} on {partition.day}: {estimate}")
    echo(f"The estimate cost {format_count(sum(client.requests for client in clients), 'call')}; nothing was stored.")
    if is_failed:
        sys.exit(1)


def _list_days(settings: Settings, first: date | None, last: date | None) -> list[date]:
    latest = settings.calendar.find_latest_ended(settings.now())
    if last is not None and first is None:
        raise WrongUseError("--to needs --date, the first day of the range.")
    first = first or latest
    last = last or first
    if last < first:
        raise WrongUseError(f"--to {last} is before --date {first}: give the earlier day first.")
    if last > latest:
        raise WrongUseError(f"{last} has not ended yet: the latest day that can be pulled is {latest}.")
    check_first_day(settings, first)
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def _find_accounts(settings: Settings, requested: tuple[str, ...]) -> list[str]:
    """Return the ids of the requested accounts, else of all active ones."""
    if requested:
        return list(dict.fromkeys(find_account(settings, account_id).id for account_id in requested))
    active = [account.id for account in Registry.open(settings).read_active()]
    if not active:
        raise WrongUseError("No account is active: add some with `lms-pipeline accounts sync` or `accounts add`.")
    return active
