"""What goes wrong between us and Truto, mapped once: to what may pass and what won't.

What belongs here: the two classes of errors, and the reading of an error answer. A message names the request
without its secrets, and ends with what to do. Statuses and bodies: https://truto.one/docs, "Errors".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import msgspec

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.truto.response import ABSENT, without_lone_surrogates

T = TypeVar("T")

_SECRETS = re.compile(r"[^\s@\"'<>]+@[^\s@\"'<>]+|(?i:bearer|basic)\s+\S+|[A-Za-z0-9_\-.+/=%]{20,}")
_SEARCHED = 2_000
"""Characters of a message that are looked at: the pattern takes the square of a long word's length."""


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
        said: str = "",
        retry_after: float | None = None,
        missing_parameters: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"{what} ({request}{f', status {status}' if status else ''}): {todo}.")
        self.status = status
        self.remote = remote
        """Whether the provider behind Truto said it, not Truto itself."""
        self.said = said
        """The message of the answer, without secrets."""
        self.retry_after = retry_after
        """Seconds that the server asks to wait; None where it doesn't say."""
        self.missing_parameters = missing_parameters
        """Query parameters without which the provider gives no answer."""


class PermanentError(TrutoError):
    """Asking again brings the same answer."""


class TransientError(TrutoError):
    """Asking again may bring an answer."""


class _Missing(msgspec.Struct):
    value: list[str] = []


class _Insight(msgspec.Struct):
    missing_required_query_parameters: _Missing | None = None


class _Body(msgspec.Struct):
    """Each field is read by itself: one of another type must not hide the others."""

    message: msgspec.Raw = ABSENT
    truto_is_remote_error: msgspec.Raw = ABSENT
    truto_error_insight: msgspec.Raw = ABSENT


_TODO = {
    400: "check the account's settings",
    403: "give the token or the connection the right to read it",
    404: "check the id, and whether the token's environment can see it",
    405: "this LMS does not offer it",
    409: "look at the account in Truto",
    422: "check the account's settings",
}
_AGAIN = {408, 425, 429, 500, 502, 503, 504}


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, request: str, secrets: Iterable[str] = ()
) -> TrutoError:
    """The error that an answer without success means; its message holds none of the `secrets`, were they echoed."""
    told = _field(body, _Body, _Body())
    remote = _field(told.truto_is_remote_error, bool, otherwise=False)
    message = redacted(_field(told.message, str, ""), secrets)
    insight = _field(told.truto_error_insight, _Insight, _Insight())
    missing = insight.missing_required_query_parameters or _Missing()
    kind = TransientError if status in _AGAIN else PermanentError
    what, todo = _words(status, message, remote=remote)
    return kind(
        what,
        request=request,
        todo=todo,
        status=status,
        remote=remote,
        said=message,
        retry_after=_retry_after(status, headers),
        missing_parameters=tuple(redacted(name, secrets) for name in missing.value),
    )


def _field(raw: bytes | msgspec.Raw, of: type[T], otherwise: T) -> T:
    try:
        return msgspec.json.decode(without_lone_surrogates(bytes(raw)), type=of)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return otherwise


def _words(status: int, message: str, *, remote: bool) -> tuple[str, str]:
    if status == 401 and remote:
        return "The account's connection to its LMS is broken", "have its owner connect it again in Truto"
    if status == 401:
        return "Truto does not accept the token", "check TRUTO_API_TOKEN"
    if status == 429:
        return "Too many requests", "try again later"
    who = "The LMS behind Truto" if remote else "Truto"
    said = f" and says {message!r}" if message else ""
    if status in _AGAIN:
        return f"{who} failed to answer{said}", "try again later"
    return f"{who} refused the request{said}", _TODO.get(
        status, "check TRUTO_BASE_URL and the account's settings"
    )


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """What a server says, without the `secrets` and what looks like an e-mail address or a token, and not too long."""
    if len(text) > _SEARCHED:
        text = text[:_SEARCHED].rpartition(" ")[0]
    for secret in secrets:
        text = text.replace(secret, "***")
    return _SECRETS.sub("***", text)[:200]


def _retry_after(status: int, headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds or as a date, else, where a limit was met, `ratelimit-reset` in seconds."""
    asked = seconds_of(headers.get("retry-after", ""), since=headers.get("date", ""))
    if asked is None and status == 429:
        return seconds_of(headers.get("ratelimit-reset", ""))
    return asked


def seconds_of(value: str, since: str = "") -> float | None:
    """The seconds that a header tells, never less than 0; None where it tells none.

    A date is counted from `since`, the server's own present, since its clock need not be ours.
    """
    try:
        seconds = float(value)
    except ValueError:
        until = _instant(value)
        if until is None:
            return None
        seconds = (until - (_instant(since) or datetime.now(UTC))).total_seconds()
    return None if math.isnan(seconds) else max(0.0, seconds)


def _instant(value: str) -> datetime | None:
    """An HTTP date; one without a zone is in UTC."""
    try:
        instant = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
