"""The removal of credentials from bodies, before anything else reads or stores them.

Belongs here: the keys under which Truto may show how it signs in to the LMS, which go; and the credentials inside of the
LMS's own data, whose values are replaced by `[removed]`. Every other byte stays as it is. Not here: which names are
credentials' (`credentials/names.py`), the reading of a body (`response.py`), secrets in messages (`errors.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import msgspec

from lms_pipeline.truto.credentials.bounds import MAX_STRING_BYTES, MAX_STRING_DEPTH, TooDeepError, limit_candidates
from lms_pipeline.truto.credentials.links import remove_link_credentials
from lms_pipeline.truto.credentials.named_values import find_named_values
from lms_pipeline.truto.credentials.names import MAX_KEY_BYTES, REMOVED, is_credential_key
from lms_pipeline.truto.credentials.scan import Candidates, find_candidates, unescape_ascii
from lms_pipeline.truto.credentials.spans import (
    Span,
    find_member_values,
    find_opening_quote,
    find_string,
    find_value,
    is_credential_value,
    skip_space,
)
from lms_pipeline.truto.raw_json import read_field, replace_lone_surrogates
from lms_pipeline.truto.response import SECRET_KEYS, BadBodyError, is_envelope, is_too_large

_REMOVED = json.dumps(REMOVED).encode()


def remove_secrets(body: bytes) -> bytes:
    """Return Truto's JSON without `debug` and `context` in envelope and records, and without the LMS's credentials.

    A body with none of them stays as it is. A record that is too large to be decoded keeps the two keys, with `[removed]`
    under them.

    Raises:
        TooManyCredentialsError: the body has too many places where a credential may be.
        BadBodyError: it is nested too deeply.
    """
    body, candidates = _remove_credentials(body)
    if not candidates.has_truto_keys:
        return body
    members = _read_members(body)
    if members is None:
        return body
    for name in members.keys() & {"result", "results"}:
        if (keyed := _read_members(members[name])) is not None:
            members[name] = _encode({key: _clean_record(record) for key, record in keyed.items()})
        elif (records := read_field(_repair(members[name]), list[msgspec.Raw], None)) is not None:
            members[name] = _encode([_clean_record(record) for record in records])
    return bytes(_encode(_drop_secret_keys(members)))


def remove_envelope_secrets(body: bytes) -> bytes:
    """Return a provider's own body without its credentials, and without `debug` and `context` of Truto's envelope.

    Raises:
        TooManyCredentialsError: as for `remove_secrets`.
        BadBodyError: as for `remove_secrets`.
    """
    body, candidates = _remove_credentials(body)
    members = _read_members(body) if candidates.has_truto_keys else None
    if members is None or not is_envelope(members) or not members.keys() & set(SECRET_KEYS):
        return body
    return bytes(_encode(_drop_secret_keys(members)))


def _clean_record(record: msgspec.Raw) -> msgspec.Raw:
    if is_too_large(record):
        body = bytes(record)
        return msgspec.Raw(_replace(body, [(span, _REMOVED) for span in find_member_values(body, SECRET_KEYS)]))
    members = _read_members(record)
    if members is None or not members.keys() & set(SECRET_KEYS):
        return record
    return _encode(_drop_secret_keys(members))


def _drop_secret_keys(members: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    return {name: value for name, value in members.items() if name not in SECRET_KEYS}


def _read_members(body: bytes | msgspec.Raw) -> dict[str, msgspec.Raw] | None:
    """Return the members of an object; None for anything else, which stays as it is."""
    return read_field(_repair(body), dict[str, msgspec.Raw], None)


def _repair(body: bytes | msgspec.Raw) -> bytes:
    return replace_lone_surrogates(bytes(body))


def _encode(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def remove_credentials(body: bytes) -> bytes:
    """Return the JSON, or the text with pieces of JSON, with `[removed]` in place of each credential.

    A credential is a text, an object or a list under a credential's name, at any depth; the value that another member
    names, as in `{"name": "Password", "value": ...}`; and such a parameter of a link. Numbers, booleans, null and empty
    values stay. A string that holds JSON is treated alike. A string that may hold a credential is removed whole if it is
    larger than 8 MB, or has more strings of JSON inside of one another than are read.

    Raises:
        TooManyCredentialsError: as for `remove_secrets`.
        BadBodyError: as for `remove_secrets`.
    """
    return _remove_credentials(body)[0]


def _remove_credentials(body: bytes) -> tuple[bytes, Candidates]:
    try:
        return _remove(body, 0)
    except TooDeepError:
        raise BadBodyError("is nested too deeply") from None


def _remove(body: bytes, depth: int) -> tuple[bytes, Candidates]:
    """Return a body, or the text in a number of strings, without credentials, and where they may have been.

    Raises:
        TooManyCredentialsError: at too many places.
        TooDeepError: its containers are nested too deeply.
    """
    plain = unescape_ascii(body)
    candidates = find_candidates(plain)
    values = list(_find_values(plain, candidates.keys))
    spans = [(span, _REMOVED) for span in values]
    if candidates.has_named_values:
        spans += [(span, _REMOVED) for span in limit_candidates(find_named_values(plain))]
    spans += _clean_strings(plain, _list_outside(candidates.texts, values), depth)
    return (_replace(plain, spans) if spans else body), candidates


def _replace(body: bytes, spans: list[tuple[Span, bytes]]) -> bytes:
    """Return the body with other bytes in place of the spans; of two spans, one inside of the other, the larger counts."""
    replaced, end = bytearray(), 0
    view = memoryview(body)
    spans.sort(key=lambda one: (one[0][0], -one[0][1]))
    for (start, stop), replacement in spans:
        if start >= end:
            replaced += view[end:start]
            replaced += replacement
            end = stop
    replaced += view[end:]
    return bytes(replaced)


def _find_values(body: bytes, keys: Iterable[int]) -> Iterator[Span]:
    """Yield the credentials under keys, which end with these quotes; none inside of another."""
    end = 0
    for quote in keys:
        if quote < end:
            continue
        start = skip_space(body, skip_space(body, quote + 1) + 1)
        key = _read_key(body, quote)
        if body[start : start + 1] not in {b'"', b"{", b"["} or not is_credential_key(key):
            continue
        span = find_value(body, start)
        if span is None:  # the body is cut short, and nobody will read it
            return
        if is_credential_value(body, key, span):
            yield span
            end = span[1]


def _read_key(body: bytes, quote: int) -> bytes:
    first = max(0, quote - MAX_KEY_BYTES - 1)
    return body[max(find_opening_quote(body, quote, first), first - 1) + 1 : quote]


def _list_outside(positions: Iterable[int], spans: Iterable[Span]) -> Iterator[int]:
    """Yield the positions that are in none of the spans; both are in order."""
    left = iter(spans)
    span = next(left, None)
    for position in positions:
        while span is not None and span[1] <= position:
            span = next(left, None)
        if span is None or position < span[0]:
            yield position


def _clean_strings(body: bytes, positions: Iterable[int], depth: int) -> Iterator[tuple[Span, bytes]]:
    """Yield the strings around these positions that hold credentials, and what replaces them."""
    end = 0  # of the last string, or a position before which no other one begins
    for position in positions:
        if position < end:
            continue
        start = find_opening_quote(body, position, end)
        if start < 0:
            end = position
            continue
        span = find_string(body, start)
        if span is None:  # it is cut short, and goes on to the end
            return
        end = span[1]
        replacement = _clean_string(memoryview(body)[start:end], depth)
        after = skip_space(body, end)
        if replacement is not None and body[after : after + 1] != b":":  # a key stays
            yield span, replacement


def _clean_string(string: memoryview, depth: int) -> bytes | None:
    """Return a string of JSON whose text holds no credentials; None if it holds none or is no JSON."""
    if depth >= MAX_STRING_DEPTH or len(string) > MAX_STRING_BYTES:
        return _REMOVED
    try:
        text = json.loads(bytes(string).decode())
    except ValueError:
        return None
    clean = remove_link_credentials(text)
    if '"' in clean:
        try:
            body, _ = _remove(clean.encode(errors="surrogatepass"), depth + 1)
        except TooDeepError:
            return _REMOVED
        clean = body.decode(errors="surrogatepass")
    if clean == text:
        return None
    try:
        return json.dumps(clean, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half an emoji, which stays an escape
        return json.dumps(clean).encode()
