"""The query of a request, with its names in one spelling.

What belongs here: the encodings that clients send. `a[b][c]=x` is nested, arrays come as `a[]=x`, `a[0]=x`, `a=x&a=y`
or `a=x,y`, and every bracket may be percent-encoded. What a parameter means is `query.py`.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

_NAME = re.compile(r"[^\[\]]+(\[[^\[\]]*\])*")
_PART = re.compile(r"[^\[\]]+|(?<=\[)(?=\])")
"""What stands before and between brackets; nothing between them is a part as well."""

Name = tuple[str, ...]
"""`user[emails][0][type]` is `("user", "emails", "0", "type")`."""


class Parameters:
    """The parameters of a query string, in the order in which they came."""

    def __init__(self, query: str) -> None:
        self.pairs = [(name_of(key), value) for key, value in parse_qsl(query, keep_blank_values=True)]

    def text(self, *name: str) -> str:
        """The value of a parameter, the last where there are several; empty where there is none."""
        return next((value for given, value in reversed(self.pairs) if given == name), "")

    def items(self, name: str) -> list[str]:
        """The values of an array, whichever way it is written."""
        texts = [
            value
            for given, value in self.pairs
            if given[0] == name and (len(given) == 1 or (len(given) == 2 and _is_position(given[1])))
        ]
        return [item for text in texts for item in text.split(",") if item]

    def below(self, name: str) -> list[tuple[Name, str]]:
        """The parameters nested in `name`, as they came, with the rest of their names."""
        return [(given[1:], value) for given, value in self.pairs if given[0] == name and len(given) > 1]


def name_of(key: str) -> Name:
    """The parts of a name; one whose brackets don't match is a part as it stands."""
    return tuple(_PART.findall(key)) if _NAME.fullmatch(key) else (key,)


def _is_position(part: str) -> bool:
    return not part or part.isdecimal()
