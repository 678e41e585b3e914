"""Sentences for people: the root of every error whose message is one, and the words in them that go with a number.

Belongs here: the base classes, singular and plural. An error of one package is defined in that package, but for the two of
the lake and its storage, which several raise. A message says what happened, to what, and what to do. It never carries a token, a
name or an e-mail address.
"""

from __future__ import annotations


class LmsPipelineError(Exception):
    """A problem that a person has to know about, described in one sentence."""

    may_pass: bool = False
    """Whether the same may succeed later, so that a failed run is tried again."""
    sends_alert: bool = True
    """False if nobody can do anything about it."""


class WrongUseError(LmsPipelineError):
    """A request that can't be carried out. Nothing was attempted."""


class SettingsError(WrongUseError):
    """A setting is missing or can't be used."""


class LakeError(LmsPipelineError):
    """The lake can't be written or read, or a file of it is damaged."""


class StorageError(LmsPipelineError):
    """The store or the state can't be used now, whatever it holds. The same may succeed later.

    It is no LakeError: what is done about a damaged file would be wrong for good once the file can be read again.
    """

    may_pass = True


def choose_form(number: int, singular: str, plural: str) -> str:
    """Return the form of a word that goes with a number."""
    return singular if number == 1 else plural


def format_count(number: int, noun: str) -> str:
    """Format a number with its noun, given in the singular: `1 account`, `1,200 active accounts`."""
    return f"{number:,} {choose_form(number, noun, f'{noun}s')}"
