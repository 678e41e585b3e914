"""The server's own life: its socket, its thread, its clock."""

import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone

import httpx
import pytest

from lms_pipeline.sandbox.errors import SandboxError
from lms_pipeline.sandbox.server import running, serve
from lms_pipeline_tests.sandbox.worlds import SWEEPING, SmallWorld, client_of, pages_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_leaves_no_thread_and_no_listener_behind():
    threads = set(threading.enumerate())
    with running(SmallWorld()) as sandbox, client_of(sandbox) as client:
        assert client.get("/integrated-account").status_code == 200
    assert set(threading.enumerate()) == threads
    with pytest.raises(httpx.ConnectError):
        httpx.get(sandbox.url, trust_env=False)


def test_a_block_that_raises_ends_the_server_too():
    threads = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), running(SmallWorld()):
        _ = 1 / 0
    assert set(threading.enumerate()) == threads


def test_a_port_in_use_is_one_clear_sentence():
    with running(SmallWorld()) as sandbox:
        port = int(sandbox.url.rpartition(":")[2])
        with pytest.raises(SandboxError, match=rf"^Port {port} on 127\.0\.0\.1 is in use: .*\.$"):
            serve(SmallWorld(), port=port)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("host.invalid", 0)])
def test_a_place_that_can_not_be_had_is_one_clear_sentence(host, port):
    with pytest.raises(SandboxError, match=rf"^Port {port} on {host} can't be had: .*\.$"):
        serve(SmallWorld(), host=host, port=port)


def test_the_process_that_serves_ends_quietly_when_interrupted():
    program = (
        "from lms_pipeline.sandbox.synthetic.world import generated_world as world\n"
        "from lms_pipeline.sandbox.server import serve\n"
        "serve(world(), port=0, announce=lambda url: print(url, flush=True))\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx.get(f"{url}/_sandbox/stats", trust_env=False).json()["total"] == 0
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


def test_the_clock_is_set_over_http_and_told_in_utc():
    with running(SmallWorld()) as sandbox, client_of(sandbox) as client:
        answer = client.put("/_sandbox/clock", json={"now": "2026-03-01T13:00:00+01:00"})
        assert answer.json() == {"now": "2026-03-01T12:00:00Z", "fixed": True}
        assert client.get("/_sandbox/clock").json() == answer.json()


def test_the_clock_is_set_from_python_and_let_go_again():
    with running(SmallWorld()) as sandbox, client_of(sandbox) as client:
        sandbox.set_clock(NOON.astimezone(timezone(timedelta(hours=5))))
        assert client.get("/_sandbox/clock").json()["now"] == "2026-03-01T12:00:00Z"
        sandbox.set_clock(None)
        assert client.get("/_sandbox/clock").json()["fixed"] is False


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'{"now": "yesterday"}', b'{"now": "\xff"}'])
def test_a_clock_that_can_not_be_read_is_refused_and_the_old_one_stays(small, body):
    small.put("/_sandbox/clock", json={"now": NOON.isoformat()})
    answer = small.put("/_sandbox/clock", content=body)
    assert answer.status_code == 400
    assert answer.json()["statusCode"] == 400
    assert small.get("/_sandbox/clock").json()["now"] == "2026-03-01T12:00:00Z"


def test_requests_are_counted_by_account_and_route():
    with running(SmallWorld(count=12)) as sandbox, client_of(sandbox) as client:
        enrollments = "/unified/lms/course-enrollments"
        assert len(list(pages_of(client, enrollments, integrated_account_id=SWEEPING, limit=5))) == 3
        client.get("/unified/lms/users/u1", params={"integrated_account_id": SWEEPING})
        client.get("/integrated-account")
        client.get(f"/integrated-account/{SWEEPING}", headers={"Authorization": "wrong"})
        told = httpx.get(f"{sandbox.url}/_sandbox/stats", trust_env=False).json()
        assert told == sandbox.stats()
    assert told == {
        "requests": {
            SWEEPING: {
                f"GET {enrollments}": 3,
                "GET /unified/lms/users/{id}": 1,
                "GET /integrated-account/{id}": 1,
            }
        },
        "without_account": {"GET /integrated-account": 1},
        "total": 6,
        "limited": {},
    }


def test_counts_begin_anew_when_they_are_deleted(small):
    small.get("/integrated-account")
    assert small.delete("/_sandbox/stats").json()["total"] == 0
    assert small.get("/_sandbox/requests").json() == {"requests": []}


def test_the_last_requests_are_told_as_they_came():
    with running(SmallWorld()) as sandbox, client_of(sandbox) as client:
        client.get("/integrated-account")
        client.get("/unified/lms/users/a%2Fb?user%5Bid%5D=%C3%A4+1&empty=")
        told = client.get("/_sandbox/requests", params={"last": 1}).json()["requests"]
        assert len(sandbox.requests()) == 2
    assert told == [
        {
            "method": "GET",
            "path": "/unified/lms/users/a/b",
            "query": [["user[id]", "ä 1"], ["empty", ""]],
            "status": 400,
            "faults": [],
        }
    ]
