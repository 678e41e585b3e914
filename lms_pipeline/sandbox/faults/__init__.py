"""Faults between a client and the API, scripted by account, route, count and rate."""

from lms_pipeline.sandbox.faults.fault import Fault
from lms_pipeline.sandbox.faults.pages import Drift, EmptyPage, Endless, Partial, RepeatedCursor, ShiftedPage
from lms_pipeline.sandbox.faults.responses import (
    BadUtf8,
    ByteOrderMark,
    Cut,
    Debug,
    ExpiredCursor,
    FailedBody,
    Gzip,
    GzipBomb,
    Html,
    Reset,
    RevokedConnection,
    RevokedToken,
    Slow,
    Status,
)

AnyFault = (
    Status
    | RevokedToken
    | RevokedConnection
    | ExpiredCursor
    | RepeatedCursor
    | EmptyPage
    | ShiftedPage
    | Endless
    | Partial
    | Drift
    | Html
    | FailedBody
    | BadUtf8
    | ByteOrderMark
    | Debug
    | Slow
    | Cut
    | Reset
    | Gzip
    | GzipBomb
)
"""All faults that can be scripted; `{"fault": "shifted_page", ...}` in JSON."""

__all__ = [
    "AnyFault",
    "BadUtf8",
    "ByteOrderMark",
    "Cut",
    "Debug",
    "Drift",
    "EmptyPage",
    "Endless",
    "ExpiredCursor",
    "FailedBody",
    "Fault",
    "Gzip",
    "GzipBomb",
    "Html",
    "Partial",
    "RepeatedCursor",
    "Reset",
    "RevokedConnection",
    "RevokedToken",
    "ShiftedPage",
    "Slow",
    "Status",
]
