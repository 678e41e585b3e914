"""The accounts we know: `state/accounts.json`.

What belongs here: who is in, since when, and in which state. Accounts never leave the file: what was pulled of them
stays, and so do their partitions. Asking Truto for its accounts is the client's.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec
from filelock import FileLock

from lms_pipeline.accounts.options import read_options
from lms_pipeline.errors import LmsPipelineError, WrongUseError
from lms_pipeline.lake.disk import atomic_write, disk_errors
from lms_pipeline.lake.paths import BadIdError, DataDir, check_account_id
from lms_pipeline.settings import Settings
from lms_pipeline.truto.models import IntegratedAccount

log = logging.getLogger(__name__)

Strategy = Literal["auto", "sweep", "roster", "learner", "pairs"]
ACTIVE, INACTIVE, GONE = "active", "inactive", "gone"


class UnknownAccountError(WrongUseError):
    """An account that isn't in the registry."""


class RegisteredAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One account we pull, or once did."""

    id: str
    name: str
    status: str = ACTIVE
    """Truto's status; or `inactive`, removed by hand; or `gone`, no longer listed by Truto."""
    integration: str = ""
    """The LMS behind it; empty where it was added by hand and never seen at Truto."""
    strategy: Strategy = "auto"
    """What was chosen for it where nothing is set; `auto` as long as nothing was."""
    why: str = ""
    """Why that was chosen."""
    carrying_stopped: date | None = None
    """The day on which too many enrollments that seemed unchanged had changed; from then on all are asked for."""
    first_day: date
    """The first day that can be pulled; missing days count from here."""
    last_day: date | None = None
    """The day on which it was removed or gone; None while it is in."""
    origin: Literal["truto", "hand"] = "truto"

    @property
    def is_active(self) -> bool:
        """Whether its days are asked for."""
        return self.status == ACTIVE


class Registry:
    """The file, read and written whole under a lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def accounts(self) -> list[RegisteredAccount]:
        """All accounts in the order in which they came.

        Raises:
            LmsPipelineError: the file is damaged.
        """
        if not self._path.exists():
            return []
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[RegisteredAccount])
        except OSError as error:
            raise LmsPipelineError(f"The registry {self._path} can't be read: {error.strerror}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise LmsPipelineError(
                f"The registry {self._path} is damaged: restore it, or remove it and run `lms-pipeline accounts sync`."
            ) from None

    def active(self) -> list[RegisteredAccount]:
        """Those whose days are asked for."""
        return [account for account in self.accounts() if account.is_active]

    def get(self, account_id: str) -> RegisteredAccount:
        """The account with this id.

        Raises:
            BadIdError: it can't be an id.
            UnknownAccountError: nobody has it.
        """
        check_account_id(account_id)
        for account in self.accounts():
            if account.id == account_id:
                return account
        raise UnknownAccountError(
            f"Account {account_id} is not in the registry: see `lms-pipeline accounts list`, "
            f"or take it in with `lms-pipeline accounts add {account_id}`."
        )

    def add(self, account_id: str, *, name: str | None, first_day: date) -> RegisteredAccount:
        """Take an account in by hand, or make it active again; what was chosen for it is forgotten."""
        check_account_id(account_id)
        with self._rewriting() as accounts:
            known = accounts.get(account_id)
            if known is None:
                account = RegisteredAccount(
                    id=account_id, name=name or account_id, first_day=first_day, origin="hand"
                )
            else:
                account = msgspec.structs.replace(
                    known,
                    name=name or known.name,
                    status=ACTIVE,
                    last_day=None,
                    strategy="auto",
                    why="",
                    carrying_stopped=None,
                )
            accounts[account_id] = account
        return account

    def remember_strategy(self, account_id: str, strategy: Strategy, why: str) -> None:
        """Keep what was chosen, where it is another than before."""
        known = self.get(account_id)
        if (known.strategy, known.why) != (strategy, why):
            self._replace(account_id, strategy=strategy, why=why)

    def stop_carrying(self, account_id: str, day: date) -> None:
        """Carry nothing over any more, until somebody makes the account active again."""
        if self.get(account_id).carrying_stopped is None:
            self._replace(account_id, carrying_stopped=day)

    def _replace(self, account_id: str, **changes: object) -> None:
        with self._rewriting() as accounts:
            accounts[account_id] = msgspec.structs.replace(accounts[account_id], **changes)

    def remove(self, account_id: str, *, last_day: date) -> RegisteredAccount:
        """Stop asking for its days; its data stays.

        Raises:
            UnknownAccountError: nobody has this id.
        """
        self.get(account_id)
        with self._rewriting() as accounts:
            known = accounts[account_id]
            account = msgspec.structs.replace(known, status=INACTIVE, last_day=known.last_day or last_day)
            accounts[account_id] = account
        return account

    def sync(
        self, listed: Iterable[IntegratedAccount], *, integrations: Collection[str], day: date
    ) -> list[str]:
        """Bring the registry up to what Truto lists: new LMSs come in, statuses follow, the missing are `gone`.

        `day` is the latest that ended: the first of the new ones, the last of the missing. An account that was
        removed by hand stays out; one whose id can't become a path is left out, and logged. Returns the new ids.
        """
        lms = {
            account.id: account
            for account in listed
            if is_lms(account, integrations) and _has_usable_id(account)
        }
        with self._rewriting() as accounts:
            new = [account_id for account_id in lms if account_id not in accounts]
            for account_id, account in lms.items():
                accounts[account_id] = _updated(accounts.get(account_id), account, day)
            for account_id, known in accounts.items():
                if known.origin == "truto" and known.status not in {INACTIVE, GONE} and account_id not in lms:
                    accounts[account_id] = msgspec.structs.replace(known, status=GONE, last_day=day)
        return new

    @contextmanager
    def _rewriting(self) -> Iterator[dict[str, RegisteredAccount]]:
        with disk_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._path.with_suffix(".lock")):
                accounts = {account.id: account for account in self.accounts()}
                yield accounts
                text = msgspec.json.format(msgspec.json.encode(list(accounts.values())))
                with atomic_write(self._path) as new:
                    new.write_bytes(text)


def is_lms(account: IntegratedAccount, integrations: Collection[str]) -> bool:
    """Whether there are enrollments behind the account: by its category, else by the integrations we were told of."""
    return account.integration.category == "lms" or account.integration.name.lower() in integrations


def _has_usable_id(account: IntegratedAccount) -> bool:
    try:
        check_account_id(account.id)
    except BadIdError as error:
        log.warning("An account that Truto lists is left out: %s", error)
        return False
    return True


def _updated(known: RegisteredAccount | None, account: IntegratedAccount, day: date) -> RegisteredAccount:
    integration = account.integration.name.lower()
    if known is None:
        name = account.tenant_id or account.id
        return RegisteredAccount(
            id=account.id, name=name, status=account.status, integration=integration, first_day=day
        )
    if known.status == INACTIVE:
        return msgspec.structs.replace(known, integration=integration)
    return msgspec.structs.replace(known, status=account.status, integration=integration, last_day=None)


def display_names(settings: Settings) -> dict[str, str]:
    """What people call the accounts of the registry, by id."""
    options = read_options(settings.accounts_file)
    accounts = Registry(DataDir(settings.data_dir).registry).accounts()
    chosen = {account_id: of.name for account_id, of in options.items() if of.name}
    return {account.id: chosen.get(account.id, account.name) for account in accounts}
