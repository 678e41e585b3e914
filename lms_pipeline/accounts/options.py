"""Options of single accounts: the tables `[accounts.<id>]` of `LMS_ACCOUNTS_FILE`.

Belongs here: the options, their defaults and limits. Not here: which accounts exist (`registry.py`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from lms_pipeline.accounts.toml_files import read_toml
from lms_pipeline.errors import SettingsError
from lms_pipeline.lake.paths import check_account_id
from lms_pipeline.settings import Settings
from lms_pipeline.tables.pulled import Identity
from lms_pipeline.truto.list_bounds import MAX_RECORDS
from lms_pipeline.truto.query import QueryError, encode_parameters

Strategy = Literal["auto", "sweep", "roster", "learner", "pairs"]

PAIR_INTEGRATIONS = frozenset({"talentlms"})
"""Integrations whose enrollments are always identified by the pair."""


class AccountOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to pull one account."""

    name: str | None = None
    """Name for people. Default: Truto's tenant id."""
    strategy: Strategy = "auto"
    """Which requests find the enrollments. `auto` probes the account and chooses."""
    identity: Identity | None = None
    """Key of an enrollment: `pair` (learner and course) or `enrollment_id`. Default: by integration."""
    remote_data: Literal["keep", "drop", "raw_format"] = "keep"
    """Where the provider's own records in `raw_enrollments` come from.

    `keep`: from `remote_data` of the unified record, without another request. `raw_format`: from one more request in
    Truto's raw format for each page or pair. `drop`: they are not requested.
    """
    remote_query: dict[str, Any] = {}
    """Query parameters for the LMS behind Truto, sent unchanged. Tables become nested parameters."""
    page_size: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 500
    """Records on one page of a list."""
    calls_per_hour: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Maximum calls in any hour; 0 means no limit. Default: 2,000 for TalentLMS, else none."""
    calls_per_snapshot: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Maximum calls for one snapshot."""
    max_hours: Annotated[float, msgspec.Meta(gt=0, le=24)] = 6
    """Maximum hours for one snapshot. Until then it waits for the calls of the next hour."""
    max_gigabytes: Annotated[float, msgspec.Meta(gt=0)] = 50
    """Maximum gigabytes of the responses of one snapshot, unpacked.

    Five million enrollments with their raw records are 10 GB, 20 GB with `raw_format`, and twice that if the list shifts
    and is read again.
    """
    max_records: Annotated[int, msgspec.Meta(ge=1)] = MAX_RECORDS
    """Maximum records of one list."""
    when_spent: Literal["publish", "fail"] = "publish"
    """What to do with enrollments when no call is left: publish them from the roster response, or fail the snapshot."""
    rotation_days: Annotated[int, msgspec.Meta(ge=0, le=365)] = 7
    """Fetch every unchanged enrollment again within this many days; 0: only when its roster entry changes."""
    carry_errors: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01
    """Maximum share of these enrollments that may differ although their roster entry did not. Above it, the
    pipeline stops carrying enrollments over."""
    max_drop: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """Maximum share of the previous snapshot's enrollments that may be missing. Above it, nothing is published."""
    pairs_file: str | None = None
    """CSV with the columns `user_id` and `course_id`: the enrollments that the strategy `pairs` fetches.

    A relative path is resolved against the folder of `LMS_ACCOUNTS_FILE`.
    """
    resume_hours: Annotated[float, msgspec.Meta(ge=0, le=48)] = 1
    """Hours after which an interrupted list restarts from its first page, since it may have changed."""
    answer_days: Annotated[int, msgspec.Meta(ge=0)] = 30
    """Days for which responses are stored for `replay`."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=50)] = 4
    """Maximum concurrent calls, within the rate limits."""
    excluded_roles: tuple[str, ...] | None = None
    """Roles whose enrollments the metrics leave out; an empty list leaves out none. Default: `LMS_EXCLUDED_ROLES`."""

    @property
    def uses_raw_format(self) -> bool:
        """Whether raw records are requested in a format of their own."""
        return self.remote_data == "raw_format"

    @property
    def calls_per_page(self) -> int:
        """Calls for one page of enrollments, or for the enrollment of one pair."""
        return 2 if self.uses_raw_format else 1


# parts of msgspec's messages, like "Expected `int` >= 1 - at `$.workers`"
_PLACE = re.compile(r"`\$\.(\w+)(?:\[[^]]*\])?`$")
_EXPECTED = re.compile(r"^Expected `(\w+)(?: \| null)?`(?: (>=|>|<=) ([\d.]+))?")
_TYPES = {"int": "a whole number", "float": "a number", "str": "a text in quotes", "object": "a table"}
_BOUNDS = {">=": "at least", ">": "above", "<=": "at most"}


def load_options(settings: Settings) -> dict[str, AccountOptions]:
    """Return the options by account id from `LMS_ACCOUNTS_FILE`; none without a file.

    Raises:
        SettingsError: the file can't be read, or holds an option that can't be used.
        BadIdError: the file names an account by an invalid id.
    """
    path = settings.accounts_file
    if path is None:
        return {}
    options = {}
    for account_id, table in _read_tables(path).items():
        check_account_id(account_id)
        try:
            account = msgspec.convert(table, AccountOptions)
            list(encode_parameters("remote_query", account.remote_query))
        except msgspec.ValidationError as error:
            problem = _describe_problem(table, str(error))
            raise SettingsError(f"LMS_ACCOUNTS_FILE {path} can't be used for {account_id}: {problem}.") from None
        except QueryError as error:
            raise SettingsError(f"LMS_ACCOUNTS_FILE {path} can't be used for {account_id}: {error}") from None
        if account.pairs_file is not None:
            account = msgspec.structs.replace(account, pairs_file=str(path.parent / account.pairs_file))
        options[account_id] = account
    return options


def _read_tables(path: Path) -> dict[str, dict[str, Any]]:
    """Return the tables `[accounts.<id>]` of the file by id, unchecked."""
    document = read_toml(path, "LMS_ACCOUNTS_FILE")
    if unknown := [name for name in document if name != "accounts"]:
        raise SettingsError(
            f"LMS_ACCOUNTS_FILE {path} can't be used: there is no {unknown[0]!r}, only [accounts.<id>]."
        )
    try:
        return msgspec.convert(document.get("accounts", {}), dict[str, dict[str, Any]])
    except msgspec.ValidationError:
        raise SettingsError(
            f"LMS_ACCOUNTS_FILE {path} can't be used: every account must be a table [accounts.<id>]."
        ) from None


def _describe_problem(table: dict[str, Any], error: str) -> str:
    """Return msgspec's message in plain words, without the options' values, which may be secret."""
    if unknown := [name for name in table if name not in AccountOptions.__struct_fields__]:
        return f"there is no option {unknown[0]!r}: docs/settings.md lists them"
    place = _PLACE.search(error)
    if place is None:
        return error
    option = place[1]
    hint = get_type_hints(AccountOptions)[option]
    literals = (part for part in (hint, *get_args(hint)) if get_origin(part) is Literal)
    choices = [choice for literal in literals for choice in get_args(literal)]
    if choices:
        return f"{option} must be {', '.join(choices[:-1])} or {choices[-1]}"
    if option == "excluded_roles":
        return f'{option} must be a list of texts in quotes, like ["instructor", "mentor"]'
    expected = _EXPECTED.search(error)
    if expected is None or expected[1] not in _TYPES:
        return error
    bound = f", {_BOUNDS[expected[2]]} {float(expected[3]):,g}" if expected[2] else ""
    return f"{option} must be {_TYPES[expected[1]]}{bound}"


def resolve_identity(integration: str, configured: Identity | None) -> Identity:
    """Return the identity of an account's enrollments: always the pair for TalentLMS, otherwise as configured."""
    return "pair" if integration in PAIR_INTEGRATIONS else configured or "enrollment_id"


def resolve_excluded_roles(settings: Settings, options: AccountOptions) -> tuple[str, ...]:
    """Return the roles that the metrics of an account leave out: those of its options, otherwise of the settings."""
    return settings.excluded_roles if options.excluded_roles is None else options.excluded_roles
