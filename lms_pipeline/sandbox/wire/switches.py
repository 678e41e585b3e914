"""What of the API can be one way or the other: unknown of the real one, or a matter of plan and provider.

What belongs here: the switches and what they mean. They are set from Python, by `PUT /_sandbox/switches`, and by a
script file.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many calls within any stretch of so many seconds."""

    calls: Annotated[int, msgspec.Meta(ge=1)]
    seconds: Annotated[int, msgspec.Meta(ge=1)] = 10


TRUTO_TOKEN_TIER = Tier(500)
TRUTO_ACCOUNT_TIER = Tier(50)


class Switches(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the sandbox behaves; what isn't told is as in the docs, and without limits."""

    token_tier: Tier | None = None
    """Truto's limit for a token, over all accounts; the real one is 500 calls in 10 s."""
    account_tier: Tier | None = None
    """Truto's limit for an integrated account; the real one is 50 calls in 10 s."""
    provider_tier: Tier | None = None
    """The limit of the LMS behind each account; where it is set, answers carry `ratelimit-*` headers."""
    accounts_under: Literal["result", "results"] = "result"
    """Where `GET /integrated-account` puts its list."""
    raw_body: Literal["envelope", "bare"] = "envelope"
    """Whether a raw list comes as `{"result": [...], "next_cursor": ...}`, or as the provider's array alone."""
    not_enrolled: Literal[400, 404] = 404
    """The status with which a provider says that a learner isn't enrolled in a course."""
