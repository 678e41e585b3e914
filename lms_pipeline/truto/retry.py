"""Asking until there is an answer: tries, waits, and pauses.

What belongs here: what happens around single requests. How long the waits are is `waits.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from lms_pipeline.truto.errors import TransientError, seconds_of
from lms_pipeline.truto.pauses import Pauses
from lms_pipeline.truto.request import Wanted
from lms_pipeline.truto.response import BadBodyError
from lms_pipeline.truto.transport import Requests
from lms_pipeline.truto.waits import Patience

log = logging.getLogger(__name__)

T = TypeVar("T")


class Asking:
    """Sends requests again where that may help. An account that a server wants left alone is left alone by all."""

    def __init__(self, requests: Requests, pauses: Pauses, patience: Patience) -> None:
        self._requests = requests
        self._pauses = pauses
        self._patience = patience

    def ask(self, wanted: Wanted, read: Callable[[httpx.Response], T]) -> T:
        """What `read` makes of the answer.

        Raises:
            PermanentError: refused.
            TransientError: no answer to use, however often it was asked.
        """

        def attempt() -> T:
            self._requests.pass_gate(wanted)
            self._pauses.keep(
                wanted.account_id
            )  # after the gate: a pause may have begun while it was waited at
            try:
                with self._requests.sent(wanted) as response:
                    self._heed(response, wanted.account_id)
                    return read(response)
            except BadBodyError as bad:
                raise TransientError(
                    f"The answer {bad}", request=wanted.told, todo="try again later"
                ) from None
            except TransientError as error:
                if (pause := self._patience.pause(error)) is not None:
                    self._pauses.pause(wanted.account_id, pause)
                raise

        return Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=self._patience.gives_up,
            wait=self._patience.seconds,
            sleep=self._pauses.sleep,
            before_sleep=_tell,
            reraise=True,
        )(attempt)

    def _heed(self, response: httpx.Response, account_id: str | None) -> None:
        """A limit that this answer used up is waited for before the next request, instead of meeting it."""
        if response.headers.get("ratelimit-remaining") == "0":
            reset = seconds_of(response.headers.get("ratelimit-reset", ""))
            if reset is not None:
                self._pauses.pause(account_id, min(reset, self._patience.longest))


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait = state.next_action.sleep if state.next_action else 0
    log.warning("%s Attempt %d of a request; the next one in %.1f s.", error, state.attempt_number, wait)
