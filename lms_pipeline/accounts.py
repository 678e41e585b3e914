"""What a user may set for a single account: the tables `[accounts.<id>]` of `LMS_ACCOUNTS_FILE`.

What belongs here: these options and their defaults. Which accounts there are is `registry.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from lms_pipeline.enrollments.identity import Identity
from lms_pipeline.errors import SettingsError
from lms_pipeline.lake.paths import check_account_id
from lms_pipeline.truto.encoding import QueryError, encoded


class AccountOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one account is pulled."""

    name: str | None = None
    """What people call it; Truto's tenant where not set."""
    strategy: Literal["auto", "sweep"] = "auto"
    identity: Identity | None = None
    """What an enrollment is known by: `pair` (learner and course) or `enrollment_id`; by integration if not set."""
    remote_data: Literal["keep", "drop"] = "keep"
    """Whether the provider's own answer is asked for, and kept in `raw_enrollments`."""
    remote_query: dict[str, Any] = {}
    """Query parameters for the LMS behind Truto, passed on untouched; tables in it are nested."""
    page_size: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 500


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
            list(encoded("remote_query", of.remote_query))
        except QueryError as error:
            raise SettingsError(f"LMS_ACCOUNTS_FILE {path} can't be used for {account_id}: {error}") from None
    return options
