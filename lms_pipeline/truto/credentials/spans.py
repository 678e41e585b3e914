"""Where strings, objects and lists begin and end in JSON that is not decoded.

Belongs here: spans of bytes. Not here: which of them hold credentials.
"""

from __future__ import annotations

import re

from lms_pipeline.truto.credentials.names import decode_key, is_credential_text

STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}:,]', re.DOTALL)
"""A string, or a character that begins, ends or parts values."""
_SPACE = re.compile(rb"[ \t\r\n]*")

Span = tuple[int, int]
"""Where something begins in a body, and where it ends."""


def find_value(body: bytes, start: int) -> Span | None:
    """Return the string, object or list that starts there; None if it is something else, or is cut short."""
    if body[start : start + 1] == b'"':
        string = STRING.match(body, start)
        return None if string is None else (start, string.end())
    if body[start : start + 1] not in {b"{", b"["}:
        return None
    depth = 0
    for token in TOKEN.finditer(body, start):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(token[0], 0)
        if depth == 0:
            return start, token.end()
    return None


def find_opening_quote(body: bytes, position: int) -> int:
    """Return the quote before a position inside of a string that begins the string; -1 if there is none."""
    quote = body.rfind(b'"', 0, position)
    while quote > 0 and body[quote - 1] == ord("\\"):
        before = quote
        while before and body[before - 1] == ord("\\"):
            before -= 1
        if (quote - before) % 2 == 0:
            break
        quote = body.rfind(b'"', 0, before)
    return quote


def skip_space(body: bytes, position: int) -> int:
    """Return where the white space at a position ends."""
    space = _SPACE.match(body, position)
    return position if space is None else space.end()


def is_credential_value(body: bytes, key: bytes, span: Span) -> bool:
    """Return whether a value under a credential's name is one: a text, or an object or a list that is not empty."""
    start, end = span
    if body[start] != ord('"'):
        return bool(body[start + 1 : end - 1].strip())
    return is_credential_text(decode_key(key), decode_key(body[start + 1 : end - 1]))
