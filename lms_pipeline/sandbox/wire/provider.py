"""What the invented providers do with the parameters that Truto passes on to them.

What belongs here: `remote_query`. A provider filters by the plain fields of its own records, `remote_query[role]=learner`,
and ignores what it doesn't know, as providers do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lms_pipeline.sandbox.listing import Listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lms_pipeline.sandbox.wire.parameters import Name
    from lms_pipeline.sandbox.world import Record

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def answering_listing(listing: Listing, remote_query: Sequence[tuple[Name, str]]) -> Listing:
    """The records that the provider answers such a query with."""
    wanted = {name[0]: value for name, value in remote_query if len(name) == 1}
    return listing.where(lambda record: _is_told(record, wanted)) if wanted else listing


def _is_told(record: Record, wanted: dict[str, str]) -> bool:
    if record.remote is None or not record.remote.startswith(b"{"):
        return True
    members = _members(record.remote)
    return all(_text(members[name]) == value for name, value in wanted.items() if name in members)


def _text(raw: msgspec.Raw) -> str:
    value = bytes(raw)
    return str(msgspec.json.decode(value)) if value.startswith(b'"') else value.decode()
