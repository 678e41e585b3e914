"""What a user may set for a single account: the tables `[accounts.<id>]` of `LMS_ACCOUNTS_FILE`.

What belongs here: these options and their defaults. Which accounts there are is `registry.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from lms_pipeline.errors import SettingsError
from lms_pipeline.lake.paths import check_account_id
from lms_pipeline.tables.pulled import Identity
from lms_pipeline.truto.query import QueryError, encode_parameters


class AccountOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one account is pulled."""

    name: str | None = None
    """What people call it; Truto's tenant where not set."""
    strategy: Literal["auto", "sweep", "roster", "learner", "pairs"] = "auto"
    """Which requests bring its enrollments; `auto` finds out."""
    identity: Identity | None = None
    """What an enrollment is known by: `pair` (learner and course) or `enrollment_id`; by integration if not set."""
    remote_data: Literal["keep", "drop"] = "keep"
    """Whether the provider's own answer is asked for, and kept in `raw_enrollments`."""
    remote_query: dict[str, Any] = {}
    """Query parameters for the LMS behind Truto, passed on untouched; tables in it are nested."""
    page_size: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 500
    calls_per_hour: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Calls in any hour, 0 for no limit; 2,000 for TalentLMS where not set."""
    calls_per_snapshot: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Calls that one snapshot may cost."""
    max_hours: Annotated[float, msgspec.Meta(gt=0, le=24)] = 6
    """Hours that one snapshot may take; it waits for the next hour's calls until then."""
    when_spent: Literal["publish", "fail"] = "publish"
    """What becomes of enrollments for which no call is left: told as their course's or learner's details show them,
    or the snapshot fails."""
    rotation_days: Annotated[int, msgspec.Meta(ge=0, le=365)] = 7
    """Every unchanged enrollment is asked for again within so many days; 0: only when its details change."""
    carry_errors: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01
    """The share of those asked again that may differ although their details didn't; beyond it nothing is carried."""
    max_drop: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """The share of the enrollments of the snapshot before that may be missing; beyond it nothing is published."""
    pairs_file: str | None = None
    """A CSV with the columns `user_id` and `course_id`: the enrollments that `pairs` asks for."""
    resume_hours: Annotated[float, msgspec.Meta(ge=0)] = 1
    """A list that was left off longer ago begins anew, since it may have changed meanwhile."""
    answer_days: Annotated[int, msgspec.Meta(ge=0)] = 30
    """Days for which answers are kept."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=50)] = 4
    """Calls on their way at once, as far as the limits allow."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    accounts: dict[str, AccountOptions] = {}


def read_options(path: Path | None) -> dict[str, AccountOptions]:
    """The options by account id; none where there is no file.

    Raises:
        SettingsError: the file can't be read, or says something that can't be set.
        BadIdError: an id that can't be one.
    """
    if path is None:
        return {}
    try:
        options = msgspec.toml.decode(path.read_bytes(), type=_File).accounts
    except OSError as error:
        raise SettingsError(f"LMS_ACCOUNTS_FILE {path} can't be read: {error.strerror}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"LMS_ACCOUNTS_FILE {path} can't be used: {error}.") from None
    for account_id, of in options.items():
        check_account_id(account_id)
        try:
            list(encode_parameters("remote_query", of.remote_query))
        except QueryError as error:
            raise SettingsError(f"LMS_ACCOUNTS_FILE {path} can't be used for {account_id}: {error}") from None
    return {account_id: _beside(path, of) for account_id, of in options.items()}


def _beside(path: Path, options: AccountOptions) -> AccountOptions:
    """The options with a `pairs_file` that is told from where the file of options is."""
    if options.pairs_file is None:
        return options
    return msgspec.structs.replace(options, pairs_file=str(path.parent / options.pairs_file))
