"""What Truto tells of how it signs in to an LMS is read by nobody and kept nowhere."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline.extract.checkpoint import CODEC
from lms_pipeline.sandbox.faults.spoiling import Debug
from lms_pipeline.sandbox.server import running
from lms_pipeline.sandbox.wire.debugging import SECRET
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.errors import PermanentError
from lms_pipeline.truto.query import ListQuery, ObjectQuery, QueryError
from lms_pipeline.truto.response import raw_without_secrets, without_secrets
from lms_pipeline_tests.sandbox.worlds import SWEEPING, SmallWorld
from lms_pipeline_tests.support.scripted_server import Answer, asking, saying
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner


@pytest.fixture(scope="module")
def sandbox():
    with running(SmallWorld()) as sandbox:
        sandbox.fault(Debug())
        yield sandbox


@pytest.fixture
def client(sandbox):
    with TrutoClient(sandbox.url, sandbox.token) as client:
        yield client


def test_the_server_really_tells_secrets(client):
    assert SECRET.encode() in client.body("users", ListQuery(SWEEPING, response_format="normalized"))


def test_records_come_without_them(client):
    [one] = client.pages("users", ListQuery(SWEEPING))
    assert json.loads(bytes(one.records[0])) == {
        "id": "u0",
        "remote_data": {"login": "u0"},
    }
    assert SECRET not in repr(one)


def test_a_single_record_comes_without_them(client):
    assert json.loads(bytes(client.one("users", "u1", ObjectQuery(SWEEPING)).record)).keys() == {
        "id",
        "remote_data",
    }


def test_an_error_and_an_account_hold_none(client):
    with pytest.raises(PermanentError) as caught:
        client.one("users", "nobody", ObjectQuery(SWEEPING))
    assert SECRET not in repr(caught.value)
    assert SECRET not in str(list(client.integrated_accounts()))


def test_a_record_that_has_none_stays_as_it_came_even_beside_one_that_has():
    plain = msgspec.Raw(b'{"id": "a",  "remote_data": {"context": 1, "debug": 2}}')
    odd = b'["debug"]'
    body = b'{"result":[%b,{"debug":1,"id":"b"},%b]}' % (bytes(plain), odd)
    with saying(Answer(body)) as server, asking(server.url) as client:
        [one] = client.pages("users", ListQuery("acme"))
    assert [bytes(record) for record in one.records] == [bytes(plain), b'{"id":"b"}', odd]


@pytest.mark.parametrize("result", [b"null", b"5", b'"gone"'])
def test_what_is_no_list_stays_beside_what_must_not_be_kept(result):
    assert without_secrets(b'{"result":%b,"debug":{"token":"x"}}' % result) == b'{"result":%b}' % result


def test_a_raw_page_in_an_envelope_is_kept_without_them_and_its_records_as_they_came():
    body = b'{"result":[{"debug": 1}],"debug":{"token":"x"},"next_cursor":null}'
    assert raw_without_secrets(body) == b'{"result":[{"debug": 1}],"next_cursor":null}'
    own = b'{"users":[],"debug":true}'
    assert raw_without_secrets(own) == own


def test_a_raw_record_is_the_providers_and_stays_as_it_came():
    body = b'{"context": "Spring term",  "debug": false}'
    query = ObjectQuery("acme", response_format="raw")
    with saying(Answer(body)) as server, asking(server.url) as client:
        assert bytes(client.one("courses", "c1", query).record) == body


def test_the_debug_format_can_not_be_asked_for():
    with pytest.raises(QueryError, match="'debug' can't be asked for"):
        ListQuery("acme", response_format="debug")  # type: ignore[arg-type]


def test_a_whole_pull_leaves_none_on_the_disk(sandbox, tmp_path):
    SnapshotRunner(tmp_path, sandbox.url, sandbox.token).run(account_id=SWEEPING)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    tables = [str(pq.read_table(path).to_pylist()) for path in files if path.suffix == ".parquet"]
    assert len(tables) == 5
    assert not any(SECRET in table for table in tables)
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
    kept = _kept_answers(tmp_path)
    assert any(b'"result"' in body for body in kept)
    assert not any(SECRET.encode() in body for body in kept)


def _kept_answers(root: Path) -> list[bytes]:
    """The bodies as they were before they were packed."""
    [file] = root.rglob("answers/**/*.sqlite")
    with closing(sqlite3.connect(file)) as answers:
        rows = answers.execute("SELECT size, body FROM answers WHERE size > 0").fetchall()
    return [pa.decompress(body, decompressed_size=size, codec=CODEC, asbytes=True) for size, body in rows]
