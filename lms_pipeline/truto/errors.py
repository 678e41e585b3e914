"""What goes wrong between us and Truto, mapped once: to what may pass and what won't.

What belongs here: the two classes of errors, and the reading of an error answer. A message names the request
without its secrets, and ends with what to do. Statuses and bodies: https://truto.one/docs, "Errors".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from lms_pipeline.errors import LmsPipelineError

_SECRETS = re.compile(r"[^\s@\"'<>]+@[^\s@\"'<>]+|(?i:bearer)\s+\S+|[A-Za-z0-9_\-.+/=]{32,}")


class TrutoError(LmsPipelineError):
    """A request that brought no answer to use."""

    def __init__(
        self,
        what: str,
        *,
        request: str,
        todo: str,
        status: int | None = None,
        remote: bool = False,
        retry_after: float | None = None,
        missing_parameters: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"{what} ({request}{f', status {status}' if status else ''}): {todo}.")
        self.status = status
        self.remote = remote
        """Whether the provider behind Truto said it, not Truto itself."""
        self.retry_after = retry_after
        """Seconds that the server asks to wait; None where it doesn't say."""
        self.missing_parameters = missing_parameters
        """Query parameters without which the provider gives no answer."""


class PermanentError(TrutoError):
    """Asking again brings the same answer."""


class TransientError(TrutoError):
    """Asking again may bring an answer."""


class _Insight(msgspec.Struct):
    missing_required_query_parameters: dict[str, msgspec.Raw] = {}


class _Body(msgspec.Struct):
    message: str = ""
    truto_is_remote_error: bool = False
    truto_error_insight: _Insight | None = None


_TODO = {
    400: "check the account's settings",
    403: "give the token or the connection the right to read it",
    404: "check the id, and whether the token's environment can see it",
    405: "this LMS does not offer it",
    409: "look at the account in Truto",
    422: "check the account's settings",
}
_AGAIN = {408, 425, 429, 500, 502, 503, 504}


def error_of(status: int, headers: Mapping[str, str], body: bytes, request: str) -> TrutoError:
    """The error that an answer without success means."""
    try:
        told = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = _Body()
    insight = told.truto_error_insight or _Insight()
    kind = TransientError if status in _AGAIN else PermanentError
    what, todo = _words(status, told)
    return kind(
        what,
        request=request,
        todo=todo,
        status=status,
        remote=told.truto_is_remote_error,
        retry_after=_retry_after(headers),
        missing_parameters=_names(insight.missing_required_query_parameters.get("value")),
    )


def _words(status: int, told: _Body) -> tuple[str, str]:
    if status == 401 and told.truto_is_remote_error:
        return "The account's connection to its LMS is broken", "have its owner connect it again in Truto"
    if status == 401:
        return "Truto does not accept the token", "check TRUTO_API_TOKEN"
    if status == 429:
        return "Too many requests", "try again later, or lower the account's calls_per_hour"
    who = "The LMS behind Truto" if told.truto_is_remote_error else "Truto"
    said = f" and says {redacted(told.message)!r}" if told.message else ""
    if status in _AGAIN:
        return f"{who} failed to answer{said}", "try again later"
    return f"{who} refused the request{said}", _TODO.get(
        status, "check TRUTO_BASE_URL and the account's settings"
    )


def redacted(text: str) -> str:
    """What a server says, without what looks like an e-mail address or a token, and not too long."""
    return _SECRETS.sub("***", text)[:200]


def _names(value: msgspec.Raw | None) -> tuple[str, ...]:
    if value is None:
        return ()
    try:
        return tuple(msgspec.json.decode(value, type=list[str]))
    except msgspec.DecodeError:
        return ()


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds or as a date, else `ratelimit-reset` in seconds."""
    value = headers.get("retry-after", "").strip() or headers.get("ratelimit-reset", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
