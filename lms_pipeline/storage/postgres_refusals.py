"""Why PostgreSQL refuses a connection, as one sentence without the address, in whatever language the server speaks.

Belongs here: connections that can't be opened. Not here: statements that fail (`postgres.py`).
"""

# psycopg2 has no SQLSTATE of a failed connection, and the server's text is in the language of its `lc_messages`. libpq
# writes the code and the server's function into the text at a higher verbosity, for which a second connection is opened.

from __future__ import annotations

import ctypes
import re
import select
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lms_pipeline.errors import LmsPipelineError, SettingsError
from lms_pipeline.storage.state import StateError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with the name of a variable

MAX_REFUSAL_SECONDS: Final = 5.0
"""How long a server may take to refuse the second connection."""
_SEVERITY = ":  "
"""What stands behind the severity in the text of a server, in every language."""
_VERBOSE: Final = 2
"""`PQERRORS_VERBOSE` of libpq."""
_CODE = re.compile(r":  ([0-9A-Z]{5}): ")
_ROUTINE = re.compile(r":  (\w+), \w+\.c:\d+$", re.MULTILINE)
_UNKNOWN_ROLE = "28000 InitializeSessionUserId"
"""The code stands for many refusals; the function of the server's source finds the role."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A reason: its codes, the parts of texts of libpq and of proxies in front of the server, and its sentence."""

    codes: tuple[str, ...]
    parts: tuple[str, ...]
    kind: Callable[[str], LmsPipelineError]
    sentence: str


_REFUSALS: Final = (
    _Refusal(
        (),
        ("does not support SSL", "certificate", "SSL error"),
        SettingsError,
        "The database and this machine do not agree on TLS: correct sslmode or sslrootcert in LMS_STATE_URL, or the server.",
    ),
    _Refusal(
        ("28000",),
        ("no pg_hba.conf entry",),
        SettingsError,
        "The database refuses this user from this machine, perhaps without TLS: correct LMS_STATE_URL, or its pg_hba.conf.",
    ),
    _Refusal(
        ("28P01", _UNKNOWN_ROLE),
        ("authentication failed", "no password supplied", 'role "'),
        SettingsError,
        "The database refuses the user or the password of LMS_STATE_URL: correct it.",
    ),
    _Refusal(
        ("42501",),
        ("permission denied for database",),
        SettingsError,
        "The user of LMS_STATE_URL lacks a right: grant it CONNECT and CREATE on the database.",
    ),
    _Refusal(
        ("3D000",),
        ('" does not exist',),
        SettingsError,
        "The database that LMS_STATE_URL names does not exist: create it, or correct the name.",
    ),
    _Refusal(
        ("55000",),
        ("not currently accepting connections",),
        SettingsError,
        "The database that LMS_STATE_URL names is closed for connections: allow them (ALTER DATABASE), or name another one.",
    ),
    _Refusal(
        ("53300", "57P01", "57P03"),
        ("too many clients", "connection slots", "too many connections", "starting up", "shutting down"),
        StateError,
        "The database of LMS_STATE_URL allows no connection now: it starts, stops, or has as many as it allows; try again.",
    ),
    _Refusal(
        ("25006",),
        ("read-only",),
        StateError,
        "The database of LMS_STATE_URL can't be written, as a standby: name the server that can.",
    ),
)
"""The first that fits counts."""
_UNREACHABLE = "The database of LMS_STATE_URL can't be reached: check the address, and that it runs."


def explain_refusal(text: str, verbose_text: str) -> LmsPipelineError:
    """Return the error to raise for a connection that can't be opened, whose texts quote the address.

    Args:
        text: what libpq says.
        verbose_text: the same with code and function, as `read_verbose_text` returns it.
    """
    code, routine = (found[1] if (found := one.search(verbose_text)) else "" for one in (_CODE, _ROUTINE))
    by_code = [one for name in (f"{code} {routine}", code) for one in _REFUSALS if name in one.codes]
    by_text = [one for one in _REFUSALS if any(part in text for part in one.parts)]
    for refusal in (*by_code, *by_text):
        return refusal.kind(refusal.sentence)
    return StateError(_UNREACHABLE)


def is_from_server(text: str) -> bool:
    """Return whether a server refused a connection: otherwise none spoke, and another try shows nothing new."""
    return _SEVERITY in text


def read_verbose_text(url: str, options: Mapping[str, object]) -> str:
    """Return what libpq says about a connection with the server's code; empty if it is opened now, or not refused in time."""
    import psycopg2

    try:
        connection: Connection = psycopg2.connect(url, **options, async_=True)
    except psycopg2.Error as error:  # before anything is sent: of libpq itself
        return str(error)
    try:
        _set_verbosity(connection)
        _wait(connection)
    except psycopg2.Error as error:
        return str(error)
    finally:
        connection.close()
    return ""


def _set_verbosity(connection: Connection) -> None:
    """Let libpq write codes into its texts. psycopg2 does not offer it, and says where its own libpq has the connection."""
    from psycopg2 import _psycopg

    with suppress(AttributeError, OSError):
        function = ctypes.CDLL(_psycopg.__file__).PQsetErrorVerbosity
        function.argtypes = [ctypes.c_void_p, ctypes.c_int]
        function(connection.pgconn_ptr, _VERBOSE)


def _wait(connection: Connection) -> None:
    """Wait until a connection is open or refused, or the time is over."""
    from psycopg2.extensions import POLL_READ, POLL_WRITE

    events, ends_at = {POLL_READ: select.POLLIN, POLL_WRITE: select.POLLOUT}, time.monotonic() + MAX_REFUSAL_SECONDS
    while (state := connection.poll()) in events and (left := ends_at - time.monotonic()) > 0:
        waiting = select.poll()
        waiting.register(connection.fileno(), events[state])
        waiting.poll(left * 1_000)
