"""A whole pull keeps no credential of the LMS's own data: neither in tables nor in stored responses."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pyarrow.parquet as pq
import pytest

from lms_pipeline.accounts.options import AccountOptions, Strategy
from lms_pipeline.extract.checkpoint import unpack_body
from lms_pipeline.sandbox import Clock, records_world, running
from lms_pipeline_tests.support.sandbox import build_line, write_lines
from lms_pipeline_tests.support.scripted_api import page
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import OPEN, SnapshotRunner, record, respond_by_path

CANARY = "CANARY-4711"
CREDENTIALS: dict[str, Any] = {
    "login_key": f"https://acme.example.org/index/gotocourse/key:{CANARY}",
    "goto": f"https://acme.example.org/index/gotocourse/key:{CANARY}",
    "custom": [{"name": "Password", "value": CANARY}],
    "body": json.dumps({"apiKey": CANARY}),
}


def find_canaries(root):
    """List the files that hold the canary, Parquet and stored responses unpacked."""
    found = []
    for path in [path for path in root.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += str(pq.read_table(path, partitioning=None).to_pylist()).encode()
        if path.parts[-3] == "answers" and path.suffix == ".sqlite":
            with closing(sqlite3.connect(path)) as answers:
                for size, body in answers.execute("SELECT size, body FROM answers WHERE size > 0"):
                    content += unpack_body(body, size)
        if CANARY.encode() in content:
            found.append(path.name)
    return found


def test_a_sweep_keeps_none(tmp_path):
    records = [
        record("u1", remote_data=CREDENTIALS, custom_fields=CREDENTIALS, later=CREDENTIALS),
        {**record("u2"), "user": {"id": None}, "remote_data": CREDENTIALS},
    ]
    users = [{"id": "u1", "name": "Jo", "remote_data": CREDENTIALS, "later": CREDENTIALS}]
    with serve(respond_by_path([page(*records)], [page(*users)])) as server:
        runner = SnapshotRunner(tmp_path, server.url)
        runner.run()
    assert runner.read_rows("raw_enrollments", "payload") != []
    assert runner.read_rows("rejected_enrollments", "payload") != []
    assert find_canaries(tmp_path) == []


@pytest.mark.parametrize("strategy", ["sweep", "pairs"])
def test_raw_records_keep_none(tmp_path, strategy: Strategy):
    lines = [build_line("e1", with_={"user": {"id": "u1"}}, raw={"role": "learner", **CREDENTIALS})]
    path = write_lines(tmp_path / "lines.ndjson", lines)
    with running(records_world([path]), clock=Clock(OPEN)) as sandbox:
        runner = SnapshotRunner(tmp_path / "data", sandbox.url, sandbox.token)
        for remote_data in ("keep", "raw_format"):
            options = AccountOptions(strategy=strategy, remote_data=remote_data, page_size=2)
            runner.run(options=options, identity="pair" if strategy == "pairs" else "enrollment_id")
            [(payload,)] = runner.read_rows("raw_enrollments", "payload")
            assert json.loads(payload)["login_key"] == "[removed]"
            assert find_canaries(tmp_path / "data") == []
