"""The format `debug`, of which the newest docs tell: it may hold credentials.

What belongs here: what it adds to a body, so that a client can show that none of it is kept.
"""

from __future__ import annotations

import msgspec

SECRET = "Bearer provider-secret-8f14e45fceea167a"  # noqa: S105 - nobody's
"""Stands where the real format tells how Truto signs in to the provider."""

_TOLD = msgspec.Raw(
    msgspec.json.encode({"request": {"headers": {"authorization": SECRET}}, "response": {"status": 200}})
)
_CONTEXT = msgspec.Raw(msgspec.json.encode({"oauth": {"token": {"access_token": SECRET}}}))

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


def with_debug(body: bytes, *, in_records: bool = False) -> bytes:
    """The body with `debug` and `context`, and with the same in each record of its `result`; a bare list as it is."""
    if not body.startswith(b"{"):
        return body
    members = _members(body)
    result = bytes(members.get("result", b""))
    if in_records and result.startswith(b"["):
        records = [msgspec.Raw(with_debug(bytes(record))) for record in _items(result)]
        members["result"] = msgspec.Raw(msgspec.json.encode(records))
    return msgspec.json.encode(members | {"debug": _TOLD, "context": _CONTEXT})
