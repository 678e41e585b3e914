"""Objects that are an error in place of a record, and records that only look like one."""

import json
from typing import Any

import pytest

from lms_pipeline.truto.query import ObjectQuery
from lms_pipeline_tests.support.failed_bodies import ALL, FAILURE, RAW, describe, respond, texts
from lms_pipeline_tests.support.scripted_api import ScriptedClient, page
from lms_pipeline_tests.truto.test_store import Store

FAILED_RECORDS = [
    FAILURE,
    {"error": "down"},
    {"error": {"type": "invalid_request_error", "message": "down"}},
    {"errors": ["down"]},
    {"success": False, "data": None},
    {"ok": False, "message": "down"},
    {"status": "error", "message": "down"},
    {"status": 503, "title": "Service Unavailable", "detail": "down", "type": "about:blank"},
    {"code": 500, "message": "down"},
    {"id": "request-7", "statusCode": 500, "error": "Internal Server Error", "message": "down"},
    {"id": "u1", "name": "Ada", "truto_is_remote_error": True},
    {"id": "u1", "name": "Ada", **FAILURE},
    {"id": "u1", "truto_error_insight": {"remote_error": {}, "why": "down"}},
    {"message": "Internal server error"},
    {"message": "down", "requestId": "7", "timestamp": "2026-03-01T00:00:00Z"},
    {"result": None, "error": "down"},
    {"result": [], "success": False},
]
"""Objects that are an error and no record."""
RECORDS: list[dict[str, Any]] = [
    {"id": "e1", "status": "failed"},
    {"id": "e1", "status": "error"},
    {"id": "c404", "code": "404", "title": "Not Found", "status": "active"},
    {"id": "c1", "code": 500, "description": "down"},
    {"id": "u1", "status": "failed", "message": "welcome"},
    {"id": "u1", "name": "Ada", "error": "down"},
    {"id": "u1", "name": "Ada", "errors": ["down"], "success": False},
    {"id": "u1", "name": "Ada", "statusCode": 500},
    {"id": "u1", "name": "Ada", "statusCode": 200, "error": "", "message": "hello"},
    {"role": "learner", "status": "failed", "success": False},
    {"status": "failed"},
    {"message": "welcome", "role": "learner"},
    {"code": "404", "title": "Not Found"},
    {"result": "passed", "status": "failed", "score": 7},
    {"error": None, "success": True, "status": "ok"},
    {},
]
"""Objects of a provider whose members are those of an error by chance."""


@pytest.mark.parametrize("failed", FAILED_RECORDS, ids=describe)
class TestFailedObject:
    def test_is_no_record_and_is_not_stored(self, failed):
        store = Store()
        with ScriptedClient(respond(failed), respond({"id": "u1"}), store=store) as client:
            record = client.fetch_record("users", "u1", ObjectQuery("acme"))
        assert record is not None
        assert bytes(record.record) == b'{"id": "u1"}'
        assert [one.body for one in store.values()] == [b'{"id": "u1"}']

    def test_is_no_raw_record(self, failed):
        with ScriptedClient(respond(failed), respond({"id": "u1"})) as client:
            assert texts(client.fetch_pages("course-enrollments", RAW)) == ['{"id": "u1"}']

    def test_is_no_list_of_keyed_records(self, failed):
        with ScriptedClient(respond({"result": failed}), page("a")) as client:
            assert texts(client.fetch_pages("users", ALL)) == ['"a"']

    @pytest.mark.parametrize("query", [ALL, RAW], ids=["unified", "raw"])
    def test_is_no_record_of_a_page_that_holds_nothing_else(self, failed, query):
        with ScriptedClient(page(failed), page("a")) as client:
            assert texts(client.fetch_pages("users", query)) == ['"a"']

    def test_is_no_record_of_a_raw_list_without_an_envelope(self, failed):
        with ScriptedClient(respond([failed, failed]), page("a")) as client:
            assert texts(client.fetch_pages("users", RAW)) == ['"a"']


@pytest.mark.parametrize("record", RECORDS, ids=describe)
class TestObjectThatLooksLikeAnError:
    def test_is_a_record(self, record):
        with ScriptedClient(respond(record)) as client:
            read = client.fetch_record("users", "u1", ObjectQuery("acme"))
        assert read is not None
        assert json.loads(bytes(read.record)) == record

    @pytest.mark.parametrize("query", [ALL, RAW], ids=["unified", "raw"])
    def test_is_a_record_of_a_page(self, record, query):
        with ScriptedClient(page(record, record)) as client:
            assert len(texts(client.fetch_pages("course-enrollments", query))) == 2

    def test_is_a_raw_record(self, record):
        with ScriptedClient(respond(record)) as client:
            [one] = client.fetch_pages("course-enrollments", RAW)
        assert (len(one.records), one.has_envelope) == (1, False)


def test_a_page_with_one_error_among_its_records_is_read():
    with ScriptedClient(page({"id": "a"}, FAILURE)) as client:
        assert len(texts(client.fetch_pages("users", ALL))) == 2
