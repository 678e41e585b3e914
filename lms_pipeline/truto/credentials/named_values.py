"""Credentials that another member of their object names, as in `{"name": "Password", "value": ...}`.

Belongs here: reading a body token by token, which takes long and is done only for a body with such a name. Not here:
credentials under keys (`truto/secret_keys.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lms_pipeline.truto.credentials import bounds
from lms_pipeline.truto.credentials.bounds import TooDeepError, TooManyCredentialsError
from lms_pipeline.truto.credentials.names import MAX_KEY_BYTES, is_credential_key, is_naming_key, is_value_key
from lms_pipeline.truto.credentials.spans import TOKEN, Span, is_credential_value


@dataclass(slots=True)
class _Container:
    """An object or a list that is being read."""

    start: int
    is_object: bool
    key: bytes | None = None
    """The key whose value comes next."""
    name: bytes | None = None
    """The credential's name among its members."""
    values: list[Span] = field(default_factory=list)

    def add(self, body: bytes, span: Span | None) -> bool:
        """Add a value to the key before it; None is a number, a boolean or null. Return whether it may be a credential."""
        key, self.key = self.key, None
        if key is None or span is None:
            return False
        text = _read_name(body, span)
        if is_naming_key(key) and is_credential_key(text):
            self.name = text
        elif is_value_key(key):
            self.values.append(span)
            return True
        return False


def _read_name(body: bytes, span: Span) -> bytes:
    """Return a string as it stands between its quotes; empty for another value, and for one that is too long for a name."""
    start, end = span
    is_short = body[start] == ord('"') and end - start <= MAX_KEY_BYTES
    return body[start + 1 : end - 1] if is_short else b""


class _Reader:
    """Reads the containers of a body, one inside of another."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._open: list[_Container] = []
        self._held = 0
        """Values in the open containers."""
        self._value: Span | None = None
        """The value that was read last, or a key."""

    def read(self) -> Iterator[Span]:
        for token in TOKEN.finditer(self._body):
            match self._body[token.start()]:
                case 0x22:  # "
                    self._value = token.span()
                case 0x7B | 0x5B as char:  # { [
                    self._begin_container(token.start(), is_object=char == 0x7B)
                case 0x3A:  # :
                    self._begin_value()
                case 0x2C:  # ,
                    self._end_value()
                case _:
                    yield from self._close(token.end())

    def _begin_container(self, start: int, *, is_object: bool) -> None:
        if len(self._open) >= bounds.MAX_DEPTH:
            raise TooDeepError
        self._open.append(_Container(start, is_object))

    def _begin_value(self) -> None:
        if self._value is not None and self._open and self._open[-1].is_object:
            self._open[-1].key = _read_name(self._body, self._value)
        self._value = None

    def _end_value(self) -> None:
        if self._open:
            self._held += self._open[-1].add(self._body, self._value)
            if self._held > bounds.MAX_CANDIDATES:
                raise TooManyCredentialsError
        self._value = None

    def _close(self, end: int) -> Iterator[Span]:
        self._end_value()
        if not self._open:
            return
        closed = self._open.pop()
        self._held -= len(closed.values)
        if (name := closed.name) is not None:
            yield from (span for span in closed.values if is_credential_value(self._body, name, span))
        self._value = closed.start, end


def find_named_values(body: bytes) -> Iterator[Span]:
    """Yield where the values stand that are credentials by the name beside them.

    Raises:
        TooDeepError: the containers are nested too deeply.
        TooManyCredentialsError: an object holds too many values.
    """
    return _Reader(body).read()
