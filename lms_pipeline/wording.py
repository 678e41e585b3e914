"""Numbers in sentences: singular and plural.

Belongs here: words that depend on a number. Not here: sizes (`lake/disk.py`) and times (`lake/waiting.py`).
"""

from __future__ import annotations


def choose_form(number: int, singular: str, plural: str) -> str:
    """Return the form of a word that goes with a number."""
    return singular if number == 1 else plural


def format_count(number: int, noun: str) -> str:
    """Format a number with its noun, given in the singular: `1 account`, `1,200 active accounts`."""
    return f"{number:,} {choose_form(number, noun, f'{noun}s')}"
