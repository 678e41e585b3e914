"""Faults in a body that looks like an answer.

What belongs here: what is done to finished bytes. What is done to the connection is `sending.py`.
"""

from __future__ import annotations

import re

from lms_pipeline.sandbox.faults.fault import Fault
from lms_pipeline.sandbox.wire.answers import Answer
from lms_pipeline.sandbox.wire.debugging import with_debug

_FIRST_STRING = re.compile(rb'(:\s*")')
_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head><body>Please wait.</body></html>\n"
)


class Html(Fault, frozen=True):
    """A page for people under status 200, as a proxy in between sends it."""

    def spoil(self, answer: Answer) -> Answer:  # noqa: ARG002
        """Send the page instead."""
        return Answer(_PAGE, media_type="text/html; charset=utf-8")


class BadUtf8(Fault, frozen=True):
    """A byte that UTF-8 doesn't have, inside the first string of the body."""

    def spoil(self, answer: Answer) -> Answer:
        """Put it in."""
        spoiled = _FIRST_STRING.sub(rb"\1" + b"\xff", answer.whole(), count=1)
        return answer._replace(body=spoiled)


class Debug(Fault, frozen=True):
    """Truto tells `debug` and `context`, with secrets in them, in the envelope, in every record, and in errors."""

    def spoil(self, answer: Answer) -> Answer:
        """Put them in, where there is JSON to put them into."""
        if not answer.media_type.startswith("application/json"):
            return answer
        return answer._replace(body=with_debug(answer.whole(), in_records=True))
