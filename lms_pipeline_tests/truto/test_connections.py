"""Connections to the API: how many are open, and that each one keeps the limits of its request."""

from __future__ import annotations

from threading import Barrier

import httpcore
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import TransientError
from lms_pipeline.truto.network import LimitedBackend, TransportPool
from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.request import Request
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline.truto.transport import build_url
from lms_pipeline_tests.support.keeping_server import serve_and_keep
from lms_pipeline_tests.support.scripted_api import TOKEN, ReceivedRequest, ScriptedResponse, page, refusal
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner, record

WORKERS = 32
ROUNDS = 6


def test_a_pull_opens_as_many_connections_as_it_has_workers_and_one_more_at_most(tmp_path):
    together = Barrier(WORKERS)
    """No pair is answered before as many are requested as there are workers."""

    def respond(request: ReceivedRequest) -> ScriptedResponse:
        pair = {name: value for name, value in request.query if name in {"user[id]", "course[id]"}}
        if not pair:
            return page()
        together.wait(60)
        return page(record(pair["user[id]"], pair["course[id]"]))

    pairs = tmp_path / "pairs.csv"
    rows = "".join(f"u{number},c1\n" for number in range(WORKERS * ROUNDS))
    pairs.write_text(f"user_id,course_id\n{rows}", encoding="utf-8")
    options = AccountOptions(strategy="pairs", pairs_file=str(pairs), workers=WORKERS)
    with serve_and_keep(respond) as server:
        result = SnapshotRunner(tmp_path / "data", server.url).run(options=options, identity="pair")
    assert result.rows.served == WORKERS * ROUNDS
    assert WORKERS <= len(server.connections) <= WORKERS + 1


def test_requests_one_after_the_other_use_one_connection():
    with serve_and_keep(lambda _request: page()) as server, TrutoClient(server.url, TOKEN) as client:
        for _ in range(5):
            assert len(list(client.fetch_pages("users", ListQuery("acme")))) == 1
    assert len(server.connections) == 1


def test_a_connection_that_failed_serves_no_other_request():
    answers = iter([ScriptedResponse(ends="reset", length=1_000), refusal(500), page()])
    with serve(lambda _request: next(answers)) as server:
        policy = RetryPolicy(max_attempts=1)
        with TrutoClient(server.url, TOKEN, retry_policy=policy) as client:
            for _ in range(2):
                with pytest.raises(TransientError):
                    list(client.fetch_pages("users", ListQuery("acme")))
            assert len(list(client.fetch_pages("users", ListQuery("acme")))) == 1


def test_each_transport_of_a_pool_has_the_limits_of_requests_and_is_closed_with_it():
    backend = LimitedBackend()
    clients: list[httpx.Client] = []

    def open_client() -> httpx.Client:
        clients.append(httpx.Client(trust_env=False))
        return clients[-1]

    pool = TransportPool(open_client, backend)
    with pool.lend() as first, pool.lend() as second, pool.lend() as third:
        assert len({first, second, third}) == len(clients) == 3
        for transport in (first, second, third):
            assert isinstance(transport, httpx.HTTPTransport)
            assert transport._pool._network_backend is backend
    pool.close()
    assert all(client.is_closed for client in clients)


def test_a_transport_is_the_one_of_the_proxy_that_the_environment_names(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    pool = TransportPool(lambda: httpx.Client(base_url="https://api.example.org"), LimitedBackend())
    with pool.lend() as transport:
        assert isinstance(transport, httpx.HTTPTransport)
        assert isinstance(transport._pool, httpcore.HTTPProxy)
    pool.close()


def test_a_transport_is_lent_again_after_an_error():
    pool = TransportPool(lambda: httpx.Client(trust_env=False), LimitedBackend())
    with pytest.raises(ValueError, match="no"), pool.lend() as first:
        raise ValueError("no")
    with pool.lend() as second:
        assert second is first
    pool.close()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


BASES = ["http://127.0.0.1:8080", "https://api.example.org", "https://example.org/truto/v1/"]


@pytest.fixture(params=BASES, scope="module")
def client(request):
    with httpx.Client(base_url=request.param, trust_env=False) as client:
        yield client


@settings(deadline=None)
@given(parameters=st.lists(st.tuples(TEXTS, TEXTS), max_size=4, unique_by=lambda one: one[0]).map(tuple))
def test_a_url_is_what_httpx_makes_of_base_path_and_parameters(client, parameters):
    path = "/unified/lms/users/a%2Fb%C3%BC"
    expected = client.build_request("GET", path, params=parameters).url
    url = build_url(httpx.URL(str(client.base_url).rstrip("/")), Request(path, parameters, "label"))
    assert (url, url.raw_path) == (expected, expected.raw_path)
