"""The registry of accounts: `state/accounts.json`, or rows of the database of LMS_STATE_URL.

Belongs here: which accounts exist, since when, and their status. An account never leaves it, since its data and its
partitions stay. Not here: requests to Truto (`sync.py`), names for people (`names.py`), where it is stored (`storage/state.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Literal

import msgspec

from lms_pipeline.accounts.options import Strategy, load_options
from lms_pipeline.errors import LmsPipelineError, WrongUseError, format_count
from lms_pipeline.lake.letter_case import describe_other_spelling, find_other_spelling, refuse_other_spelling
from lms_pipeline.lake.paths import BadIdError, DataDir, check_account_id
from lms_pipeline.settings import Settings
from lms_pipeline.truto.models import LMS_MODEL, IntegratedAccount

log = logging.getLogger(__name__)

ACTIVE, INACTIVE, GONE = "active", "inactive", "gone"
MAX_MISSING_SHARE = 0.5
"""Share of the active accounts that a list may lack."""
UNCHANGED = "and the registry was not changed"
ALLOW_ACCOUNT_DROP_ONCE = "run `lms-pipeline accounts sync --allow-drop` once."
"""What to do about a list that was refused although it is right."""

NOTHING_LISTED = (
    "Truto lists no account, and none is registered: connect an LMS in Truto, or set TRUTO_API_TOKEN to a token of the "
    "environment that has one."
)


class UnknownAccountError(WrongUseError):
    """An account that is not in the registry."""


class RegistryNotEmptyError(WrongUseError):
    """Accounts can't be imported, since there are others."""


class AccountDropError(LmsPipelineError):
    """Truto's list lacks too many accounts; the registry was not changed."""


class RegisteredAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One account that is pulled, or was."""

    id: str
    name: str
    status: str = ACTIVE
    """Truto's status; or `inactive` (removed by hand), or `gone` (no longer listed by Truto)."""
    integration: str = ""
    """The LMS behind the account; empty if it was added by hand and Truto never listed it."""
    strategy: Strategy = "auto"
    """The strategy that `auto` chose; `auto` before the first choice."""
    why: str = ""
    """Why this strategy was chosen."""
    carrying_stopped: date | None = None
    """The day on which too many enrollments that seemed unchanged had changed. From then on, all are fetched."""
    first_day: date
    """The first day that can be pulled. Missing days are counted from here."""
    last_day: date | None = None
    """The last day before the account was removed or gone; None while it is listed."""
    origin: Literal["truto", "hand"] = "truto"

    @property
    def is_active(self) -> bool:
        """Whether its days are pulled."""
        return self.status == ACTIVE


class Registry:
    """The accounts in the state of an installation. Changes are made one after the other."""

    def __init__(self, data: DataDir) -> None:
        self._data = data
        self._state = data.storage.state

    @classmethod
    def open(cls, settings: Settings) -> Registry:
        """Return the registry of this installation, which may be empty."""
        return cls(DataDir.open(settings))

    def read_accounts(self) -> list[RegisteredAccount]:
        """Return all accounts in the order in which they were added.

        Raises:
            LmsPipelineError: it is damaged, or can't be read.
        """
        return self._decode(self._state.read_registry())

    def _decode(self, content: bytes | None) -> list[RegisteredAccount]:
        if content is None:
            return []
        try:
            return decode_accounts(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            place = self._state.describe(self._data.registry.name)
            raise LmsPipelineError(
                f"The registry {place} is damaged: restore it, or remove it and run `lms-pipeline accounts sync`."
            ) from None

    def read_active(self) -> list[RegisteredAccount]:
        """Return the accounts whose days are pulled."""
        return [account for account in self.read_accounts() if account.is_active]

    def get(self, account_id: str) -> RegisteredAccount:
        """Return the account with this id.

        Raises:
            BadIdError: the id is invalid.
            UnknownAccountError: no account has this id.
        """
        check_account_id(account_id)
        for account in self._decode(self._state.read_registry(account_id)):
            if account.id == account_id:
                return account
        raise UnknownAccountError(
            f"Account {account_id} is not in the registry: `lms-pipeline accounts list` prints the accounts, and "
            "`lms-pipeline accounts sync` adds the new ones of Truto."
        )

    def add(self, account_id: str, *, name: str | None, first_day: date) -> RegisteredAccount:
        """Add an account by hand, or make it active again. One that Truto no longer lists stays as one added by hand.

        Discards the strategy that `auto` chose, and allows carrying over again.

        Raises:
            OtherSpellingError: its files would be those of an account whose id differs only in upper and lower case.
        """
        check_account_id(account_id)
        with self._rewrite() as accounts:
            refuse_other_spelling(account_id, accounts, self._data.state)
            known = accounts.get(account_id)
            if known is None:
                account = RegisteredAccount(id=account_id, name=name or account_id, first_day=first_day, origin="hand")
            else:
                reset = {"status": ACTIVE, "last_day": None, "strategy": "auto", "why": "", "carrying_stopped": None}
                if known.status == GONE:  # or the next sync would undo it
                    reset["origin"] = "hand"
                account = msgspec.structs.replace(known, name=name or known.name, **reset)
            accounts[account_id] = account
        return account

    def refuse_other_spelling(self, account_id: str, data: DataDir) -> None:
        """Refuse an account whose files would be those of another one, in the registry or with published files.

        Raises:
            OtherSpellingError: its id differs only in upper and lower case, which the disk does not distinguish.
        """
        refuse_other_spelling(account_id, self._iter_ids(data), self._data.state)

    def _iter_ids(self, data: DataDir) -> Iterator[str]:
        """Yield the ids of all accounts. Those with files come last: each pull of a fleet would list all folders."""
        yield from (account.id for account in self.read_accounts())
        yield from data.list_account_ids()

    def remember_strategy(self, account_id: str, strategy: Strategy, why: str) -> None:
        """Store the strategy that `auto` chose, if it differs from the stored one."""
        known = self.get(account_id)
        if (known.strategy, known.why) != (strategy, why):
            self._replace(account_id, strategy=strategy, why=why)

    def stop_carrying(self, account_id: str, day: date) -> None:
        """Stop carrying enrollments over until somebody adds the account again."""
        if self.get(account_id).carrying_stopped is None:
            self._replace(account_id, carrying_stopped=day)

    def _replace(self, account_id: str, **changes: object) -> None:
        with self._rewrite(account_id) as accounts:
            accounts[account_id] = msgspec.structs.replace(accounts[account_id], **changes)

    def remove(self, account_id: str, *, last_day: date) -> RegisteredAccount:
        """Make an account inactive. Its data stays.

        Raises:
            UnknownAccountError: no account has this id.
        """
        self.get(account_id)
        with self._rewrite(account_id) as accounts:
            last_day = accounts[account_id].last_day or last_day
            accounts[account_id] = msgspec.structs.replace(accounts[account_id], status=INACTIVE, last_day=last_day)
        return accounts[account_id]

    def sync(
        self,
        listed: Collection[IntegratedAccount],
        *,
        integrations: Collection[str],
        day: date,
        allow_drop: bool = False,
    ) -> list[str]:
        """Add new LMS accounts, update statuses, and mark accounts that Truto no longer lists as `gone`.

        An account that was removed by hand stays inactive. An account is skipped and logged if its id can't become a
        path, or if its files would be those of another account. Return the ids of the new accounts.

        Args:
            listed: all accounts that Truto lists.
            integrations: names of the integrations that are LMSs, in lower case.
            day: the latest ended day: the first day of new accounts, the last day of missing ones.
            allow_drop: whether a list may be empty, or lack more than `MAX_MISSING_SHARE` of the active accounts.

        Raises:
            AccountDropError: such a list, without `allow_drop`. Nothing was changed.
        """
        lms = {account.id: account for account in listed if is_lms(account, integrations) and has_usable_id(account)}
        with self._rewrite() as accounts:
            if not allow_drop:
                _check_drop(accounts.values(), lms, is_empty=not listed)
            new: list[str] = []
            for account_id, account in lms.items():
                if account_id not in accounts:
                    other = find_other_spelling(account_id, accounts, self._data.state)
                    if other is not None:
                        log.warning("Skipped an account: %s", describe_other_spelling(account_id, other))
                        continue
                    new.append(account_id)
                accounts[account_id] = _update(accounts.get(account_id), account, day)
            for account_id, known in accounts.items():
                if _is_managed_by_truto(known) and known.status not in {INACTIVE, GONE} and account_id not in lms:
                    accounts[account_id] = msgspec.structs.replace(known, status=GONE, last_day=day)
        return new

    def replace_all(self, accounts: Sequence[RegisteredAccount], *, only_if_empty: bool) -> None:
        """Store these accounts in place of all others.

        Raises:
            RegistryNotEmptyError: there are others, with `only_if_empty`. Nothing was changed.
        """
        with self._state.edit_registry() as edit:
            known = [account.id for account in self._decode(edit.content)]
            if known and only_if_empty:
                raise RegistryNotEmptyError(
                    f"The registry has {format_count(len(known), 'account')} already: add --replace to remove them from it."
                )
            edit.documents = {account.id: msgspec.json.encode(account) for account in accounts}
            edit.changed, edit.removed = edit.documents.keys(), known

    def store_copy(self) -> None:
        """Store a registry that is in a database as `state/accounts.json` too: what Truto does not list is only there.

        An empty one is not stored: the database may have been lost.

        Raises:
            LakeError: it can't be stored.
        """
        accounts = [] if self._state.is_local else self.read_accounts()
        if not accounts:
            return
        with self._data.replacing(self._data.registry) as new:
            new.write_bytes(encode_accounts(accounts))

    @contextmanager
    def _rewrite(self, account_id: str | None = None) -> Iterator[dict[str, RegisteredAccount]]:
        """Yield the accounts, or one of them if others may change meanwhile; what is changed is stored at the end."""
        with self._state.edit_registry(account_id) as edit:
            accounts = {account.id: account for account in self._decode(edit.content)}
            before = dict(accounts)
            yield accounts
            edit.documents = {known: msgspec.json.encode(account) for known, account in accounts.items()}
            edit.changed = [known for known, account in accounts.items() if before.get(known) != account]


def decode_accounts(content: bytes) -> list[RegisteredAccount]:
    """Return the accounts of a text like that of `accounts.json`.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it is none.
    """
    return msgspec.json.decode(content, type=list[RegisteredAccount])


def encode_accounts(accounts: Sequence[RegisteredAccount]) -> bytes:
    """Return accounts as the text of `accounts.json`."""
    return msgspec.json.format(msgspec.json.encode(accounts))


def _is_managed_by_truto(account: RegisteredAccount) -> bool:
    """Return whether the account is gone when Truto no longer lists it; one that was added by hand stays."""
    return account.origin == "truto"


def _check_drop(accounts: Collection[RegisteredAccount], listed: Collection[str], *, is_empty: bool) -> None:
    """Refuse a list without any account, or without more than `MAX_MISSING_SHARE` of the active accounts.

    Raises:
        AccountDropError: with the number of missing accounts.
    """
    active = [account.id for account in accounts if account.is_active and _is_managed_by_truto(account)]
    missing = [account_id for account_id in active if account_id not in listed]
    if is_empty and not accounts:
        raise AccountDropError(NOTHING_LISTED)
    if is_empty:
        fault = "Truto lists no account"
    elif len(missing) > MAX_MISSING_SHARE * len(active):
        fault = f"Truto's list of accounts lacks {len(missing):,} of {len(active):,} active ones"
    else:
        return
    raise AccountDropError(f"{fault}, {UNCHANGED}: if they are really gone, {ALLOW_ACCOUNT_DROP_ONCE}")


def is_lms(account: IntegratedAccount, integrations: Collection[str]) -> bool:
    """Return whether the account belongs to an LMS: by its category, else because `integrations` names its integration."""
    category = (account.integration.category or "").strip().lower()
    return category == LMS_MODEL or account.integration.name.lower() in integrations


def has_usable_id(account: IntegratedAccount) -> bool:
    """Return whether the account's id may become a path; another one is logged."""
    try:
        check_account_id(account.id)
    except BadIdError as error:
        log.warning("Skipped an account that Truto lists: %s", error)
        return False
    return True


def _update(known: RegisteredAccount | None, account: IntegratedAccount, day: date) -> RegisteredAccount:
    integration = account.integration.name.lower()
    if known is None:
        known = RegisteredAccount(id=account.id, name=account.tenant_id or account.id, first_day=day)
    if known.status == INACTIVE:
        return msgspec.structs.replace(known, integration=integration)
    status = account.status.strip().lower()
    if status in {INACTIVE, GONE}:  # these are ours; Truto's own ones are updated by each sync
        status = f"truto_{status}"
    return msgspec.structs.replace(known, status=status, integration=integration, last_day=None)


def find_unregistered_options(settings: Settings) -> list[str]:
    """Return the accounts that `LMS_ACCOUNTS_FILE` names and the registry doesn't: their options have no effect.

    Raises:
        SettingsError: the file can't be used.
    """
    registered = {account.id for account in Registry.open(settings).read_accounts()}
    return [account_id for account_id in load_options(settings) if account_id not in registered]
