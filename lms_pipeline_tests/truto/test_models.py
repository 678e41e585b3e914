"""Capabilities and metadata of an account, from the sandbox and in other notations."""

import json

import pytest

from lms_pipeline.sandbox import running
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError, TransientError
from lms_pipeline.truto.models import read_required_parameters
from lms_pipeline.truto.query import Resource
from lms_pipeline.truto.request import build_metadata_request
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.support.sandbox import BROKEN, CRM, PAIRED, SWEEPING, SmallWorld
from lms_pipeline_tests.support.scripted_api import ScriptedClient, ScriptedResponse


@pytest.fixture(scope="module")
def client():
    with running(SmallWorld()) as sandbox, TrutoClient(sandbox.url, sandbox.token) as client:
        yield client


def required_by(client: TrutoClient, account_id: str, resource: Resource) -> tuple[str, ...]:
    return client.fetch(build_metadata_request(account_id, resource), read_required_parameters).value


@pytest.mark.parametrize(("account_id", "is_lms"), [(SWEEPING, True), (PAIRED, True), (BROKEN, True), (CRM, False)])
def test_capabilities_distinguish_an_lms_from_other_products(client, account_id, is_lms):
    assert client.fetch_capabilities(account_id).is_lms is is_lms


@pytest.mark.parametrize(("model", "is_lms"), [("lms", True), ("LMS", True), (" lms ", True), ("lmsx", False)])
def test_the_model_of_an_lms_is_named_in_any_case(model, is_lms):
    body = json.dumps({"unified": [{"model": model, "resource": "users"}]}).encode()
    with ScriptedClient(ScriptedResponse(body)) as client:
        assert client.fetch_capabilities("acme").is_lms is is_lms


def test_metadata_name_the_pair_where_it_is_required(client):
    assert required_by(client, PAIRED, "course-enrollments") == ("user[id]", "course[id]")
    assert required_by(client, SWEEPING, "course-enrollments") == ()
    assert required_by(client, PAIRED, "users") == ()


def test_an_unknown_account_is_refused(client):
    with pytest.raises(PermanentError, match="account nobody"):
        client.fetch_capabilities("nobody")


@pytest.mark.parametrize(
    ("schema", "required"),
    [
        ({"type": "object", "required": ["user"], "properties": {"user": {"properties": {"id": {}}}}}, ("user",)),
        ({"required": ["user"], "properties": {"user": {"required": ["id"], "properties": {"id": {}}}}}, ("user[id]",)),
        ({"properties": {"user": {"required": ["id"], "properties": {"id": {"required": True}}}}}, ()),
        ({"properties": {"a": {"required": True}, "b": {"required": False}, "c": True}}, ("a",)),
        ({"properties": []}, ()),
        ({}, ()),
        (None, ()),
    ],
)
def test_required_parameters_are_read_in_both_notations(schema, required):
    body = json.dumps({"method": "list", "query_schema": schema}).encode()
    with ScriptedClient(ScriptedResponse(body)) as client:
        assert required_by(client, "acme", "users") == required


@pytest.mark.parametrize("body", [b"[]", b"<html>", b'{"unified":7}', b'{"unified":[{"model":"lms"}]}'])
def test_capabilities_that_can_not_be_read_are_transient(body):
    with (
        ScriptedClient(ScriptedResponse(body), retry_policy=RetryPolicy(max_attempts=1)) as client,
        pytest.raises(TransientError, match=r"^The response is not what was requested"),
    ):
        client.fetch_capabilities("acme")
