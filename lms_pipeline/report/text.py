"""Text from outside, made fit for a page.

What belongs here: titles, which may hold anything. What is written around them is ours.
"""

from __future__ import annotations

import re
import string

_UNFIT = re.compile(
    "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
"""What XML can't hold, controls, and what turns the direction of all text around it."""
_MARKS = re.compile(f"([{re.escape(string.punctuation)}])")


def one_line(text: str, longest: int) -> str:
    """The text without line breaks and controls, cut where it is longer."""
    plain = " ".join(_UNFIT.sub(" ", text).split())
    return plain if len(plain) <= longest else f"{plain[: longest - 1].rstrip()}…"


def in_markdown(text: str) -> str:
    """The text as Markdown that means nothing but it: no link, no picture, no cell of a table."""
    return _MARKS.sub(r"\\\1", text)


def text_bar(share: float | None, width: int = 10) -> str:
    """A bar of blocks; None is an empty one."""
    full = round((share or 0) * width)
    return "█" * full + "░" * (width - full)
