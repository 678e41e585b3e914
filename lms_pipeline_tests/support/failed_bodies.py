"""Bodies that say under a success status that the request failed, and the requests that receive them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.response import Page
from lms_pipeline_tests.support.scripted_api import ScriptedResponse

ALL = ListQuery("acme")
RAW = ListQuery("acme", response_format="raw")
FAILURE = {"statusCode": 500, "error": "Internal Server Error", "message": "down"}
"""The body that Truto's docs give for every error."""


def describe(members: dict[str, Any]) -> str:
    return json.dumps(members)[:80]


def respond(body: Any) -> ScriptedResponse:
    return ScriptedResponse(json.dumps(body).encode())


def texts(pages: Iterable[Page]) -> list[str]:
    return [bytes(record).decode() for page in pages for record in page.records]
