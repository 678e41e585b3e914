"""Where strings, objects and lists begin and end in JSON that is not decoded.

Belongs here: spans of bytes. Not here: which of them hold credentials. Each function reads a byte once: no pattern tries a
string again that is not closed.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from lms_pipeline.truto.credentials.bounds import MAX_STRING_BYTES
from lms_pipeline.truto.credentials.names import decode_string, is_credential_text

_STRING = rb'"(?:[^"\\]++|\\.)*+(?:"|(\\?\Z))'
"""Group 1 matches, perhaps nothing, if the string is not closed: it goes on to the end of the body."""
STRING = re.compile(_STRING, re.DOTALL)
TOKEN = re.compile(_STRING + rb"|[\[\]{}:,]", re.DOTALL)
"""A string, or a character that begins, ends or parts values."""
_SPACE = re.compile(rb"[ \t\r\n]*+")
_QUOTE, _BACKSLASH = b'"\\'

Span = tuple[int, int]
"""Where something begins in a body, and where it ends."""


def find_string(body: bytes, start: int) -> Span | None:
    """Return the string that starts there; None if there is none, or it is not closed."""
    string = STRING.match(body, start)
    return None if string is None or string[1] is not None else string.span()


def find_value(body: bytes, start: int) -> Span | None:
    """Return the string, object or list that starts there; None if it is something else, or is cut short."""
    if body[start : start + 1] == b'"':
        return find_string(body, start)
    if body[start : start + 1] not in {b"{", b"["}:
        return None
    depth = 0
    for token in TOKEN.finditer(body, start):
        match body[token.start()]:
            case 0x5B | 0x7B:  # [ {
                depth += 1
            case 0x5D | 0x7D:  # ] }
                depth -= 1
                if depth == 0:
                    return start, token.end()
    return None


def find_member_values(body: bytes, names: Container[str]) -> Iterator[Span]:
    """Yield the strings, objects and lists under these names in the object that the body is, not in those inside of it."""
    depth = 0
    for token in TOKEN.finditer(body):
        match body[token.start()]:
            case 0x5B | 0x7B:  # [ {
                depth += 1
            case 0x5D | 0x7D:  # ] }
                depth -= 1
            case 0x22 if depth == 1:  # "
                colon = skip_space(body, token.end())
                is_key = body[colon : colon + 1] == b":"
                if is_key and decode_string(body[token.start() + 1 : token.end() - 1]) in names:
                    value = find_value(body, skip_space(body, colon + 1))
                    if value is not None:
                        yield value


def find_opening_quote(body: bytes, position: int, first: int = 0) -> int:
    """Return the quote before a position inside of a string that begins the string; -1 if there is none from `first` on."""
    quote = body.rfind(b'"', first, position)
    while quote > 0 and body[quote - 1] == _BACKSLASH:
        before = quote
        while before and body[before - 1] == _BACKSLASH:
            before -= 1
        if (quote - before) % 2 == 0:
            break
        quote = body.rfind(b'"', first, before)
    return quote


def skip_space(body: bytes, position: int) -> int:
    """Return where the white space at a position ends."""
    space = _SPACE.match(body, position)
    return position if space is None else space.end()


def is_credential_value(body: bytes, key: bytes, span: Span) -> bool:
    """Return whether a value under a credential's name is one: a text, or an object or a list that is not empty."""
    start, end = span
    if body[start] != _QUOTE:
        return skip_space(body, start + 1) < end - 1
    if end - start > MAX_STRING_BYTES:
        return True
    return is_credential_text(decode_string(key), decode_string(body[start + 1 : end - 1]))
