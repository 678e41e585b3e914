"""The life of the server: its socket, thread and process."""

import signal
import subprocess
import sys
import threading

import httpx
import pytest

from lms_pipeline.sandbox import SandboxError, running, serve
from lms_pipeline_tests.support.sandbox import SmallWorld, open_client


def test_leaves_no_thread_and_no_listener_behind():
    threads = set(threading.enumerate())
    with running(SmallWorld()) as sandbox, open_client(sandbox) as client:
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
def test_an_address_that_can_not_be_opened_is_one_clear_sentence(host, port):
    with pytest.raises(SandboxError, match=rf"^Port {port} on {host} can't be opened: .*\.$"):
        serve(SmallWorld(), host=host, port=port)


def test_the_serving_process_ends_quietly_when_interrupted():
    program = (
        "from lms_pipeline.sandbox import generated_world, serve\n"
        "serve(generated_world(), port=0, announce=lambda url: print(url, flush=True))\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx.get(f"{url}/_sandbox/stats", trust_env=False).json()["total"] == 0
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0
