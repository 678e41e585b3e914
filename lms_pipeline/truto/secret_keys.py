"""The removal of keys under which Truto may show how it signs in to the LMS, before anything else reads a body.

Belongs here: which keys of envelopes and records go. Not here: the reading of a body (`response.py`), secrets in messages
(`errors.py`).
"""

from __future__ import annotations

import msgspec

from lms_pipeline.truto.response import SECRET_KEYS, is_envelope, read_field, replace_lone_surrogates


def remove_secrets(body: bytes) -> bytes:
    """Return Truto's JSON without `debug` and `context` in envelope and records; a body with neither stays as it is."""
    if not any(b'"%b"' % key.encode() in body for key in SECRET_KEYS):
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
    """Return a provider's own body without `debug` and `context` of Truto's envelope around it, if there is one."""
    members = _read_members(body)
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
