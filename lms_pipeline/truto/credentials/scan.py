"""The search for possible credentials in a body, at the speed of a few comparisons of bytes.

Belongs here: where a key, a link or a text may hold one. Not here: whether it does (`names.py`), and what
replaces it (`truto/secret_keys.py`). Python's regular expressions need 20 times as long, since no literal begins the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, product

import numpy as np
import numpy.typing as npt

from lms_pipeline.truto.credentials import bounds
from lms_pipeline.truto.credentials.bounds import TooManyCredentialsError, limit_candidates
from lms_pipeline.truto.credentials.names import (
    MAX_KEY_BYTES,
    TAIL_BYTES,
    can_end_credential,
    is_credential_key,
    list_tails,
    list_value_tails,
)

Positions = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.bool_]

CHUNK_BYTES = 1 << 18
"""Bytes that are searched at once: the intermediate arrays stay in the processor's cache."""
SMALL_BYTES = 4_096
"""Up to this size a body is not compared as an array: above 500 bytes numpy lets other threads run, which takes longer."""
MIN_NAME_LETTERS = 3
"""Letters of the shortest name of a credential, such as `pin`."""
MARGIN_BYTES = TAIL_BYTES
"""A name that ends before is not compared, but found."""
MIN_BYTES = 4 * MARGIN_BYTES
"""A shorter body is filled up with spaces."""
MAX_COMPARED_TAILS = 16
"""Different ends of names that are compared at once; those of a chunk with more are compared one by one."""
MAX_STRIPPED_BYTES = 64
"""Backslashes, spaces, digits and the like after a name that are skipped; with more of them, it is found."""
_TABLE_BITS = 20
_FACTOR = np.uint32(2_654_435_761)
"""Knuth's multiplicative hash: as many slots that few of a page's keys meet one by chance."""
_LOWER_CASE = np.uint32(0x20202020)
_CREDENTIAL, _VALUE, _TRUTO = np.uint8(1), np.uint8(2), np.uint8(4)
_DEBUG, _CONTEXT = (np.uint32(int.from_bytes(start, "little")) for start in (b'"deb', b'"con'))
_QUOTE, _BACKSLASH, _COLON, _SLASH = map(ord, '"\\:/')
_NO_NAME_LETTERS = bytes(byte for byte in range(256) if not 97 <= byte | 0x20 <= 122 and chr(byte) not in ":=")
"""The bytes that are left out before names are compared: all but letters, colons and equals signs."""
_NAME_LETTERS = bytes(ord(":") if chr(byte) == "=" else byte | 0x20 for byte in range(256))
"""Letters in lower case, and a colon for each colon and equals sign."""
_ESCAPED_ASCII = re.compile(rb"\\u00(?:2[02dDeEfF]|3[0-9aAdD]|4[0-9a-fA-F]|5[0-9aAcCfF]|6[1-9a-fA-F]|7[0-9aA])")
_ESCAPE = re.compile(rb"\\(?:u00([2-7][0-9a-fA-F])|.)", re.DOTALL)
_CLEAR = re.compile(rb"[A-Za-z0-9_. /:=@-]\Z")
_SHORT = {b'"': rb"\"", b"\\": rb"\\"}
_TWICE_ESCAPED = re.compile(rb"\\\\u00[2-7]")


@dataclass
class Candidates:
    """Where credentials may be in a body: positions of bytes, in order."""

    keys: list[int] = field(default_factory=list)
    """The closing quotes of keys that are credentials' names."""
    texts: list[int] = field(default_factory=list)
    """Positions in strings that may hold JSON or a link with a credential."""
    has_named_values: bool = False
    """Whether there are values beside a text that is a credential's name."""
    has_truto_keys: bool = False
    """Whether a key may be `debug` or `context`."""

    def check_count(self) -> None:
        """Check that they are not too many.

        Raises:
            TooManyCredentialsError: they are.
        """
        if len(self.keys) + len(self.texts) > bounds.MAX_CANDIDATES:
            raise TooManyCredentialsError


def unescape_ascii(body: bytes) -> bytes:
    """Return the JSON with letters, digits and delimiters that are escaped, as no server does, in clear.

    A quote or a backslash that is escaped by its number, as PHP can do, is escaped by a backslash instead.
    """
    if b"\\" not in body or _ESCAPED_ASCII.search(body) is None:
        return body
    clear, end = bytearray(), 0
    for escape in _ESCAPE.finditer(body):
        if escape[1] is not None and (char := _shorten_escape(escape[1])):
            clear += memoryview(body)[end : escape.start()]
            clear += char
            end = escape.end()
    clear += memoryview(body)[end:]
    return bytes(clear)


def _shorten_escape(code: bytes) -> bytes:
    char = bytes([int(code, 16)])
    return char if _CLEAR.match(char) else _SHORT.get(char, b"")


def find_candidates(body: bytes) -> Candidates:
    """Return where a body may hold credentials; a name that is escaped is found only after `unescape_ascii`.

    Raises:
        TooManyCredentialsError: at too many places.
    """
    found = Candidates()
    if len(body) <= SMALL_BYTES and not _may_have_candidates(body):
        return found
    search = _Search(body.ljust(MIN_BYTES))
    for start in range(0, len(body), CHUNK_BYTES):
        search.add_names(start, found)
        found.check_count()
    if search.has_values:
        for start in range(0, len(body), CHUNK_BYTES):
            search.add_named_values(start, found)
            found.check_count()
    if b"\\" in body and b"\\\\u00" in body:
        found.texts.extend(match.start() for match in limit_candidates(_TWICE_ESCAPED.finditer(body)))
        found.check_count()
    found.keys.sort()
    found.texts.sort()
    return found


def _may_have_candidates(body: bytes) -> bool:
    """Return whether a small body may hold a credential. Most responses about one pair hold none: arrays need 60 µs for it.

    The letters before each colon and equals sign are those of a name, whatever stands between them.
    """
    if b"\\" in body:
        return True
    texts = body.translate(_NAME_LETTERS, _NO_NAME_LETTERS).split(b":")
    ends = list(accumulate(texts, lambda before, text: (before + text)[-4:], initial=b""))
    flagged = _list_flagged_ends()
    if not (flagged.isdisjoint(ends) and flagged.isdisjoint([end[-3:] for end in ends])):
        return True
    return any(_may_end_user_info(body, at.start()) for at in re.finditer(b"@", body))


def _may_end_user_info(body: bytes, at: int) -> bool:
    """Return whether an `@` follows a colon that stands in a text, not before a space or a slash."""
    colon = body.rfind(b":", 0, at)
    if colon < 0:
        return True
    before, after = body[colon - 1], body[colon + 1]
    return before > 0x20 and before != _QUOTE and after > 0x20 and after != _SLASH


class _Search:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._bytes: Bytes = np.frombuffer(body, np.uint8)
        self._words: Words = np.ndarray((len(body) - 3,), np.dtype("<u4"), body, 0, (1,))
        self._tails: npt.NDArray[np.uint64] = np.ndarray((len(body) - 7,), np.dtype("<u8"), body, 0, (1,))
        self.has_values = False

    def _find(self, char: bytes, start: int) -> Positions:
        """Return where a character stands in a chunk."""
        end = start + CHUNK_BYTES
        if self._body.find(char, start, end) < 0:
            return np.empty(0, np.int64)
        if len(self._body) <= SMALL_BYTES:
            return np.array([match.start() for match in re.finditer(char, self._body)], np.int64)
        return np.flatnonzero(self._bytes[start:end] == np.uint8(ord(char))) + start

    def add_names(self, start: int, found: Candidates) -> None:
        """Add what the names before colons, equals signs and `@` of a chunk show."""
        colons = self._find(b":", start)
        before = self._bytes[colons - 1]
        is_key = before == _QUOTE
        spaced = colons[before <= 0x20]
        quotes = colons[is_key] - 1
        if spaced.size:
            ends = self._strip(spaced, is_space=True)
            quotes = np.concatenate([quotes, ends[self._bytes[ends - 1] == _QUOTE] - 1])
        self._add_keys(quotes, found)
        is_in_text = ~is_key & (before > 0x20)
        delimiters = np.concatenate([colons[is_in_text], self._find(b"=", start)])
        found.texts += delimiters[_look_up(self._words[delimiters - 4], delimiters) & _CREDENTIAL > 0].tolist()
        ats = self._find(b"@", start)
        if ats.size:
            found.texts += ats[self._find_user_infos(ats, colons, is_in_text)].tolist()

    def _find_user_infos(self, ats: Positions, colons: Positions, is_in_text: Flags) -> Flags:
        """Return which `@` follow a colon that stands in a text, not before a space or a slash: `https://user:word@host`."""
        index = np.searchsorted(colons, ats) - 1
        if not colons.size:
            return np.ones(ats.size, bool)
        after = self._bytes[np.minimum(colons + 1, self._bytes.size - 1)]
        is_possible = is_in_text & (after > 0x20) & (after != _SLASH)
        found: Flags = is_possible[index] | (index < 0)
        return found

    def _add_keys(self, quotes: Positions, found: Candidates) -> None:
        if not quotes.size:
            return
        ends, flags = self._look_up_quoted(quotes)
        self.has_values |= bool((flags & _VALUE).any())
        truto = ends[flags & _TRUTO > 0]
        if truto.size:
            is_truto = (self._words[truto - 8] == _CONTEXT) | (self._words[truto - 6] == _DEBUG)
            found.has_truto_keys |= bool(is_truto.any())
        for quote, is_escaped in self._confirm(quotes, ends, flags):
            (found.texts if is_escaped else found.keys).append(quote)

    def add_named_values(self, start: int, found: Candidates) -> None:
        """Add whether a text of a chunk is a credential's name, and no key."""
        quotes = self._find(b'"', start)
        after = self._bytes[np.minimum(quotes + 1, self._bytes.size - 1)]
        quotes = quotes[after != _COLON]
        if not quotes.size:
            return
        for quote, is_escaped in self._confirm(quotes, *self._look_up_quoted(quotes)):
            found.has_named_values = True
            if is_escaped:
                found.texts.append(quote)

    def _confirm(self, quotes: Positions, ends: Positions, flags: Bytes) -> Iterator[tuple[int, bool]]:
        """Yield the quotes of the texts that are credentials' names, and whether they are quotes inside of a string."""
        is_possible = flags & _CREDENTIAL > 0
        quotes, ends = quotes[is_possible], ends[is_possible]
        if not quotes.size:
            return
        tails = self._tails[ends - TAIL_BYTES]
        is_near, is_left = ends < TAIL_BYTES, np.ones(ends.size, bool)
        for _ in range(MAX_COMPARED_TAILS):
            tail = tails[is_left.argmax()]
            same = tails == tail
            is_left &= ~same
            if can_end_credential(int(tail).to_bytes(TAIL_BYTES, "little")):
                is_near |= same
            if not is_left.any():
                break
        is_near |= is_left
        for quote in quotes[is_near].tolist():
            end = quote
            while end and self._body[end - 1] == _BACKSLASH:
                end -= 1
            start = self._body.rfind(b'"', max(0, end - MAX_KEY_BYTES - 1), end) + 1
            if start and is_credential_key(self._body[start:end]):
                yield quote, end != quote

    def _look_up_quoted(self, quotes: Positions) -> tuple[Positions, Bytes]:
        """Return where the texts before quotes end, and their flags."""
        ends, tails = quotes, self._words[quotes - 4]
        is_odd = (tails >> np.uint32(24) | np.uint32(0x20)) - np.uint32(97) > 25
        if is_odd.any():
            ends = quotes.copy()
            ends[is_odd] = self._strip(quotes[is_odd])
            tails = self._words[ends - 4]
        return ends, _look_up(tails, ends)

    def _strip(self, ends: Positions, *, is_space: bool = False) -> Positions:
        """Return where the names end without the characters after their last letter, or without white space only."""
        ends = ends.copy()
        open_ = np.arange(ends.size)
        for _ in range(MAX_STRIPPED_BYTES):
            last = self._bytes[ends[open_] - 1]
            is_stripped = last <= 0x20 if is_space else ((last | 0x20) - np.uint8(97) > 25) & (last != _QUOTE)
            open_ = open_[is_stripped & (ends[open_] > 0)]
            if not open_.size:
                return ends
            ends[open_] -= 1
        ends[open_] = 0  # found: what stands before the margin is
        return ends


def _look_up(tails: Words, ends: Positions) -> Bytes:
    """Return the flags of names; all of them for one that ends before the margin, whose tail is another one's."""
    flags: Bytes = _build_table().take(_hash(tails | _LOWER_CASE))  # indexing takes three times as long
    if ends.size and ends.min() < MARGIN_BYTES:
        flags[ends < MARGIN_BYTES] = _CREDENTIAL | _VALUE
    return flags


def _hash(tails: Words) -> Words:
    return (tails * _FACTOR) >> np.uint32(32 - _TABLE_BITS)


@cache
def _build_table() -> Bytes:
    """Return the flags of the hashes of four bytes, in lower case, at the end of a name."""
    table: Bytes = np.zeros(1 << _TABLE_BITS, np.uint8)
    for tail, flag in _flag_tails():
        ends = np.array([int.from_bytes(one, "little") for one in _expand(tail)], np.uint32)
        table[_hash(ends | _LOWER_CASE)] |= flag
    return table


@cache
def _list_flagged_ends() -> frozenset[bytes]:
    """Return the last three or four letters, in lower case, of each name that has a flag; none has fewer."""
    ends = (tail.translate(_NAME_LETTERS, _NO_NAME_LETTERS) for tail, _ in _flag_tails())
    return frozenset(end for end in ends if len(end) >= MIN_NAME_LETTERS)


def _flag_tails() -> Iterator[tuple[bytes, np.uint8]]:
    for tails, flag in ((list_tails(), _CREDENTIAL), (list_value_tails(), _VALUE), ((b"ebug", b"text"), _TRUTO)):
        for tail in tails:
            yield tail, flag


def _expand(tail: bytes) -> Iterator[bytes]:
    """Yield the tail with each byte in place of each `?`."""
    choices = [range(256) if byte == ord("?") else [byte] for byte in tail]
    return map(bytes, product(*choices))
