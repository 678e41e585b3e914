"""Output to a terminal. Texts from outside, such as names, titles and statuses, can't control it.

Belongs here: escaping and tables. Not here: what a command prints (its own module).
"""

from __future__ import annotations

import unicodedata

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 160
"""Characters in a line of a table that goes to a file or a pipe."""
_BIDI_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""They change the order in which other characters are shown."""
_ESCAPED_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}
"""Control characters, half surrogates, and the separators of lines and paragraphs."""


def escape_controls(text: str) -> str:
    r"""Return the text with what would control a terminal in visible form: an escape character becomes `\x1b`."""
    if text.isprintable():
        return text
    return "".join(_escape(character) if _is_control(character) else character for character in text)


def echo(text: str, *, err: bool = False) -> None:
    """Print one line, with `escape_controls`."""
    click.echo(escape_controls(text), err=err)


def build_cell(value: object) -> Text:
    """Return a cell of a table: markup in it is text."""
    return Text(escape_controls(str(value)))


def print_table(table: Table) -> None:
    """Print a table in the terminal's width, or in `PIPE_WIDTH` elsewhere."""
    Console(width=None if Console().is_terminal else PIPE_WIDTH).print(table)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _ESCAPED_CATEGORIES or character in _BIDI_CONTROLS


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
