"""How uvicorn speaks HTTP here.

What belongs here: that a request knows its connection, without which none could be reset or cut.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol


class Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type] # uvicorn chooses the class at run time
    """uvicorn's own, but the state of each request has the `transport` of its connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport where the application finds it."""
        super().connection_made(transport)
        self.app_state: dict[str, Any] = {**self.app_state, "transport": transport}
