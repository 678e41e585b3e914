"""The removal of credentials from bodies, before anything else reads or stores them.

Belongs here: the keys under which Truto may show how it signs in to the LMS, which go; and the credentials inside of the
LMS's own data, whose values are replaced by `[removed]`. Every other byte stays as it is. Not here: which names are
credentials' (`credentials/names.py`), the reading of a body (`response.py`), secrets in messages (`errors.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import msgspec

from lms_pipeline.truto.credentials.links import remove_link_credentials
from lms_pipeline.truto.credentials.names import MAX_KEY_BYTES, REMOVED, is_credential_key
from lms_pipeline.truto.credentials.pairs import find_paired_values
from lms_pipeline.truto.credentials.scan import Candidates, find_candidates, unescape_ascii
from lms_pipeline.truto.credentials.spans import (
    STRING,
    Span,
    find_opening_quote,
    find_value,
    is_credential_value,
    skip_space,
)
from lms_pipeline.truto.raw_json import read_field, replace_lone_surrogates
from lms_pipeline.truto.response import SECRET_KEYS, is_envelope

_REMOVED = json.dumps(REMOVED).encode()


def remove_secrets(body: bytes) -> bytes:
    """Return Truto's JSON without `debug` and `context` in envelope and records, and without the LMS's credentials.

    A body with none of them stays as it is.
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
    """Return a provider's own body without its credentials, and without `debug` and `context` of Truto's envelope."""
    body, candidates = _remove_credentials(body)
    members = _read_members(body) if candidates.has_truto_keys else None
    if members is None or not is_envelope(members) or not members.keys() & set(SECRET_KEYS):
        return body
    return bytes(_encode(_drop_secret_keys(members)))


def _clean_record(record: msgspec.Raw) -> msgspec.Raw:
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

    A credential is a text, an object or a list under a credential's name, at any depth; the value in a pair as
    `{"name": "Password", "value": ...}`; and such a parameter of a link. Numbers, booleans, null and empty values stay. A
    string that holds JSON is treated alike.
    """
    return _remove_credentials(body)[0]


def _remove_credentials(body: bytes) -> tuple[bytes, Candidates]:
    plain = unescape_ascii(body)
    candidates = find_candidates(plain)
    values = list(_find_values(plain, candidates.keys))
    spans = [(span, _REMOVED) for span in values]
    if candidates.has_pairs:
        spans += [(span, _REMOVED) for span in find_paired_values(plain)]
    spans += _clean_strings(plain, _list_outside(candidates.texts, values))
    return (_replace(plain, spans) if spans else body), candidates


def _replace(body: bytes, spans: list[tuple[Span, bytes]]) -> bytes:
    """Return the body with other bytes in place of the spans; of two spans, one inside of the other, the larger counts."""
    pieces: list[bytes | memoryview] = []
    end = 0
    view = memoryview(body)
    for (start, stop), replacement in sorted(spans, key=lambda one: (one[0][0], -one[0][1])):
        if start >= end:
            pieces += [view[end:start], replacement]
            end = stop
    return b"".join([*pieces, view[end:]])


def _find_values(body: bytes, keys: Iterable[int]) -> Iterator[Span]:
    """Yield the credentials under keys, which end with these quotes; none inside of another."""
    end = 0
    for quote in keys:
        if quote < end:
            continue
        start = skip_space(body, skip_space(body, quote + 1) + 1)
        if body[start : start + 1] not in {b'"', b"{", b"["}:
            continue
        span = find_value(body, start)
        if span is None:  # the body is cut short, and nobody will read it
            return
        key = _read_key(body, quote)
        if is_credential_key(key) and is_credential_value(body, key, span):
            yield span
            end = span[1]


def _read_key(body: bytes, quote: int) -> bytes:
    return body[max(find_opening_quote(body, quote), quote - MAX_KEY_BYTES) + 1 : quote]


def _list_outside(positions: Iterable[int], spans: Iterable[Span]) -> Iterator[int]:
    """Yield the positions that are in none of the spans; both are in order."""
    left = iter(spans)
    span = next(left, None)
    for position in positions:
        while span is not None and span[1] <= position:
            span = next(left, None)
        if span is None or position < span[0]:
            yield position


def _clean_strings(body: bytes, positions: Iterable[int]) -> Iterator[tuple[Span, bytes]]:
    """Yield the strings around these positions that hold credentials, and what replaces them."""
    end = 0
    for position in positions:
        if position < end:
            continue
        start = find_opening_quote(body, position)
        string = None if start < 0 else STRING.match(body, start)
        if string is None or string.end() <= position:
            continue
        end = string.end()
        replacement = _clean_string(string[0])
        after = skip_space(body, end)
        if replacement != string[0] and body[after : after + 1] != b":":  # a key stays
            yield (start, end), replacement


def _clean_string(string: bytes) -> bytes:
    """Return a string of JSON whose text holds no credentials; as it is, if it holds none or is no JSON."""
    try:
        text = json.loads(string.decode())
    except ValueError:
        return string
    clean = remove_link_credentials(text)
    if '"' in clean:
        clean = remove_credentials(clean.encode(errors="surrogatepass")).decode(errors="surrogatepass")
    if clean == text:
        return string
    try:
        return json.dumps(clean, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half an emoji, which stays an escape
        return json.dumps(clean).encode()
