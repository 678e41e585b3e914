"""Account ids that differ only in upper and lower case: on some disks their folders are the same.

Belongs here: whether the disk of the data directory distinguishes them, and the refusal. Not here: which characters an id
may have (`paths.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lms_pipeline.errors import WrongUseError


class OtherSpellingError(WrongUseError):
    """An account whose files would be those of another account."""


def ignores_letter_case(folder: Path) -> bool:
    """Return whether the disk takes the name of an existing folder in the other case for the same folder."""
    try:
        return folder.with_name(folder.name.swapcase()).samefile(folder)
    except FileNotFoundError:
        return False


def find_other_spelling(account_id: str, known: Iterable[str], folder: Path) -> str | None:
    """Return the id whose files would be those of the account, None if there is none.

    Args:
        account_id: the account.
        known: ids of accounts, with or without this one; not read if the disk distinguishes them.
        folder: an existing folder of the data directory, whose disk decides.
    """
    if not ignores_letter_case(folder):
        return None
    return next((other for other in known if other != account_id and other.lower() == account_id.lower()), None)


def refuse_other_spelling(account_id: str, known: Iterable[str], folder: Path) -> None:
    """Refuse an account whose files would be those of another account.

    Raises:
        OtherSpellingError: with both ids, and what to do.
    """
    other = find_other_spelling(account_id, known, folder)
    if other is not None:
        raise OtherSpellingError(describe_other_spelling(account_id, other))


def describe_other_spelling(account_id: str, other: str) -> str:
    """Return the sentence about two accounts whose files would be the same."""
    return (
        f"Account {account_id} can't be used beside {other}: the disk of LMS_DATA_DIR does not distinguish upper and lower "
        "case, so that both would have the same files; use a disk that does."
    )
