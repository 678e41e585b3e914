"""What an account can do, read from the sandbox and from other ways to say the same."""

import json

import pytest

from lms_pipeline.sandbox import running
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError, TransientError
from lms_pipeline.truto.waits import Patience
from lms_pipeline_tests.support.sandbox import BROKEN, CRM, PAIRED, SWEEPING, SmallWorld
from lms_pipeline_tests.truto.scripted import Answer, asking, saying


@pytest.fixture(scope="module")
def client():
    with running(SmallWorld()) as sandbox, TrutoClient(sandbox.url, sandbox.token) as client:
        yield client


@pytest.mark.parametrize(
    ("account_id", "is_lms"), [(SWEEPING, True), (PAIRED, True), (BROKEN, True), (CRM, False)]
)
def test_capabilities_tell_an_lms_from_what_is_none(client, account_id, is_lms):
    assert client.capabilities(account_id).is_lms is is_lms


def test_metadata_tell_that_the_pair_is_required(client):
    assert client.required_parameters(PAIRED, "course-enrollments") == ("user[id]", "course[id]")
    assert client.required_parameters(SWEEPING, "course-enrollments") == ()
    assert client.required_parameters(PAIRED, "users") == ()


def test_an_account_that_is_not_there_is_refused(client):
    with pytest.raises(PermanentError, match="account nobody"):
        client.capabilities("nobody")


@pytest.mark.parametrize(
    ("schema", "required"),
    [
        (
            {"type": "object", "required": ["user"], "properties": {"user": {"properties": {"id": {}}}}},
            ("user",),
        ),
        (
            {"required": ["user"], "properties": {"user": {"required": ["id"], "properties": {"id": {}}}}},
            ("user[id]",),
        ),
        ({"properties": {"user": {"required": ["id"], "properties": {"id": {"required": True}}}}}, ()),
        ({"properties": {"a": {"required": True}, "b": {"required": False}, "c": True}}, ("a",)),
        ({"properties": []}, ()),
        ({}, ()),
        (None, ()),
    ],
)
def test_what_is_required_is_read_in_both_notations(schema, required):
    body = json.dumps({"method": "list", "query_schema": schema}).encode()
    with saying(Answer(body)) as server, asking(server.url) as client:
        assert client.required_parameters("acme", "users") == required


@pytest.mark.parametrize("body", [b"[]", b"<html>", b'{"unified":7}', b'{"unified":[{"model":"lms"}]}'])
def test_capabilities_that_can_not_be_read_are_no_answer(body):
    with (
        saying(Answer(body)) as server,
        asking(server.url, patience=Patience(attempts=1)) as client,
        pytest.raises(TransientError, match=r"^The answer is not what it was asked for"),
    ):
        client.capabilities("acme")
