"""Errors of the API, mapped once: transient ones that may pass, and permanent ones.

Belongs here: the two classes, and how an error response is read. A message names the request without its secrets, and
ends with what to do. Statuses and bodies: https://truto.one/docs, "Errors".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.truto.credentials.links import remove_link_credentials
from lms_pipeline.truto.credentials.names import REMOVED, is_credential_name
from lms_pipeline.truto.failed_body import Failure
from lms_pipeline.truto.raw_json import read_field, read_object

MAX_SEARCHED_LENGTH = 2_000
"""Characters of a message that are searched for secrets: the pattern's time grows with the square of a word's length."""
NOT_ENROLLED = "not enrolled in this course"
"""TalentLMS's message for a pair that doesn't exist; https://truto.one/docs leaves open whether its status is 400 or 404."""

_SECRETS = re.compile(
    r"""
      [^\s@"'<>]+@[^\s@"'<>]+  # an e-mail address
    | (?i:bearer|basic)\s+\S+
    | (?![a-z_]+\.*(?![A-Za-z0-9_\-.+/=%]))  # the name of a parameter, perhaps at the end of a sentence, is no token
      [A-Za-z0-9_\-.+/=%]{20,}
    """,
    re.VERBOSE,
)
_NAMED_VALUE = re.compile(r"""([A-Za-z](?:[ ]?[\w.-]){0,40})(\\*["']?\s*[=:]\s*\\*["']?)((?!//)[^\s"',;&<>\\]+)""")
"""A name of a few words and a value: `API key: abc`, `"password": "abc"`."""
_TRANSIENT = {408, 425, 429}
_PERMANENT = {501, 505}
"""Failures of a server that don't pass: it has no such method or version. Any other of 500 to 599 may, also an unknown one."""
_PROXY = range(520, 531)
"""Statuses of the proxy in front of an API that gets no response from it: https://developers.cloudflare.com/support,
"Cloudflare 5xx errors"."""
_EXPIRED_CURSOR = {400, 404, 409, 410, 422}
"""Statuses with which servers refuse a cursor; https://truto.one/docs does not say which one Truto sends."""
_TODO = {
    400: "check the account's settings",
    403: "give the token or the connection the right to read it",
    404: "check the id, and whether the token's environment can see it",
    405: "this LMS does not offer it",
    409: "look at the account in Truto",
    422: "check the account's settings",
}


class TrutoError(LmsPipelineError):
    """A request without a usable response."""

    def __init__(
        self,
        what: str,
        *,
        request: str,
        todo: str,
        status: int | None = None,
        is_remote: bool = False,
        server_message: str = "",
        retry_after: float | None = None,
        missing_parameters: tuple[str, ...] = (),
        is_source_known: bool = True,
    ) -> None:
        super().__init__(f"{what} ({request}{f', status {status}' if status else ''}): {todo}.")
        self.status = status
        self.is_remote = is_remote
        """Whether the error comes from the provider behind Truto, not from Truto itself."""
        self.server_message = server_message
        """The message of the response, without secrets."""
        self.retry_after = retry_after
        """Seconds that the server demands to wait, above 0; None if it demands no wait."""
        self.missing_parameters = missing_parameters
        """Query parameters that the provider requires and the request lacks."""
        self.is_source_known = is_source_known
        """Whether the response could be read, which says if `is_remote`."""


class PermanentError(TrutoError):
    """Sending the request again brings the same response."""


class UnreadableFormatError(PermanentError):
    """After all attempts, the body was a text of another format than JSON."""


class ExpiredCursorError(PermanentError):
    """The cursor to the next page is refused: only the first page leads on."""


class TransientError(TrutoError):
    """Sending the request again may bring a usable response."""

    may_pass = True


def build_error(
    status: int, headers: Mapping[str, str], body: bytes | None, request: str, secrets: Iterable[str] = ()
) -> TrutoError:
    """Return the error that a response without success means; its message holds none of the `secrets`.

    `body` is None if it can't be read: then it is not known whether Truto or the provider refuses.
    """
    fields = read_object(body or b"")
    is_remote = read_field(fields.get("truto_is_remote_error"), bool, default=False)
    message = redact(read_field(fields.get("message"), str, ""), secrets)
    missing = read_object(read_object(fields.get("truto_error_insight")).get("missing_required_query_parameters"))
    kind = TransientError if is_transient(status) else PermanentError
    if status == 401 and body is None:
        what, todo = (
            "Truto or the LMS behind it refused the request",
            "check TRUTO_API_TOKEN and the account's connection",
        )
    else:
        what, todo = _describe(status, message, is_remote=is_remote)
    return kind(
        what,
        request=request,
        todo=todo,
        status=status,
        is_remote=is_remote,
        server_message=message,
        retry_after=_read_retry_after(status, headers),
        missing_parameters=tuple(redact(name, secrets) for name in read_field(missing.get("value"), list[str], [])),
        is_source_known=body is not None,
    )


def build_body_error(
    failure: Failure, headers: Mapping[str, str], request: str, secrets: Iterable[str] = ()
) -> TransientError:
    """Return the error of a response with a success status whose body says that the request failed.

    It is always transient: the status and the body contradict each other. Of the statuses in such a body only those
    that decide how the client waits are believed.
    """
    message = redact(failure.message, secrets)
    status = failure.status if failure.status in {429, 503} else None
    return TransientError(
        f"{_name_source(is_remote=failure.is_remote)} sent a failure under a success status, in "
        f"{redact(failure.field, secrets)!r}{_quote(message, ', and says')}",
        request=request,
        todo="try again later",
        status=status,
        is_remote=failure.is_remote,
        server_message=message,
        retry_after=_read_retry_after(status or 0, headers),
    )


def build_cursor_error(error: PermanentError, request: str) -> PermanentError:
    """Return what the refusal of a request with a cursor means: an expired cursor, or the same error."""
    if error.status not in _EXPIRED_CURSOR or error.missing_parameters:
        return error
    return ExpiredCursorError(
        f"{_name_source(is_remote=error.is_remote)} refused the cursor to the next page"
        f"{_quote(error.server_message, ' and says')}",
        request=request,
        todo="run it again, and report it to Truto if it lasts",
        status=error.status,
        is_remote=error.is_remote,
        server_message=error.server_message,
    )


def is_transient(status: int) -> bool:
    """Return whether a response with this status may be a usable one next time."""
    return status in _TRANSIENT or (500 <= status < 600 and status not in _PERMANENT)


def is_refused_token(error: TrutoError) -> bool:
    """Return whether Truto itself does not accept the token."""
    return error.status == 401 and error.is_source_known and not error.is_remote


def is_missing_record(error: TrutoError) -> bool:
    """Return whether the provider says that it has no such record, or sends a success without one."""
    return (error.status == 404 and error.is_remote) or error.status == 204


def is_not_enrolled(error: TrutoError) -> bool:
    """Return whether the provider says that a learner isn't in a course, or that it has no such learner or course."""
    return error.is_remote and (
        error.status == 404 or (error.status == 400 and NOT_ENROLLED in error.server_message.lower())
    )


def _describe(status: int, message: str, *, is_remote: bool) -> tuple[str, str]:
    """Return what happened, and what to do."""
    if status == 401 and is_remote:
        return "The account's connection to its LMS is broken", "ask its owner to connect it again in Truto"
    if status == 401:
        return "Truto does not accept the token", "check TRUTO_API_TOKEN"
    if status == 429:
        return "Too many requests", "try again later"
    who = _name_source(is_remote=is_remote)
    quoted = _quote(message, " and says")
    if is_transient(status):
        failed = "The proxy in front of Truto failed to reach it" if status in _PROXY and not is_remote else None
        return f"{failed or f'{who} failed to answer'}{quoted}", "try again later"
    todo = _TODO.get(status, "check TRUTO_BASE_URL and the account's settings")
    return f"{who} refused the request{quoted}", todo


def _name_source(*, is_remote: bool) -> str:
    return "The LMS behind Truto" if is_remote else "Truto"


def _quote(message: str, introduction: str) -> str:
    return f"{introduction} {message!r}" if message else ""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a server's text, shortened, without the `secrets` and without credentials.

    Removed are what looks like an e-mail address or a token, and what stands after a credential's name: `password: ...`.
    """
    if len(text) > MAX_SEARCHED_LENGTH:
        text = text[:MAX_SEARCHED_LENGTH].rpartition(" ")[0]
    for secret in secrets:
        text = text.replace(secret, REMOVED)
    text = _SECRETS.sub(REMOVED, remove_link_credentials(text))
    return _NAMED_VALUE.sub(_hide_value, text)[:200]


def _hide_value(named: re.Match[str]) -> str:
    name, separator, _ = named.groups()
    return f"{name}{separator}{REMOVED}" if is_credential_name(name) else named[0]


def _read_retry_after(status: int, headers: Mapping[str, str]) -> float | None:
    """Return `Retry-After`, in seconds or as a date; after a 429 without it, `ratelimit-reset`, in seconds.

    A wait of 0 s, a negative one and a date in the past say nothing: they must not replace the client's own wait.
    """
    seconds = parse_wait_seconds(headers.get("retry-after", ""), since=headers.get("date", ""))
    if not seconds and status == 429:
        seconds = parse_wait_seconds(headers.get("ratelimit-reset", ""))
    return seconds or None


def parse_wait_seconds(value: str, since: str = "") -> float | None:
    """Return the seconds that a header demands, at least 0; None if it holds neither seconds nor a date.

    A date counts from `since`, the server's own `Date`, since its clock need not be ours.
    """
    try:
        seconds = float(value)
    except ValueError:
        until = parse_http_date(value)
        if until is None:
            return None
        seconds = (until - (parse_http_date(since) or datetime.now(UTC))).total_seconds()
    return None if math.isnan(seconds) else max(0.0, seconds)


def parse_http_date(value: str) -> datetime | None:
    """Return an HTTP date; one without a zone is in UTC."""
    try:
        parsed = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
