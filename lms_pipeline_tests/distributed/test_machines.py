"""The machines of these tests share the loopback address, and nothing else."""

import json
import socket
import sys

import pytest

from lms_pipeline_tests.distributed.machines import NO_NAMESPACES, has_namespaces

pytestmark = pytest.mark.distributed
DESCRIBE = "import json, os, socket; print(json.dumps([os.getpid(), socket.gethostname(), os.listdir('/tmp')]))"


@pytest.fixture
def first(start_machine):
    machine = start_machine("first")
    if not has_namespaces():
        pytest.skip(NO_NAMESPACES)
    return machine


def test_a_machine_has_its_own_process_ids_hostname_and_temporary_files(first, tmp_path):
    pid, hostname, temporary = json.loads(first.run([sys.executable, "-c", DESCRIBE]))
    assert (pid, hostname) == (1, "first")
    assert len(temporary) <= 2  # the way to its folder, and to the checkout if that is there


def test_a_machine_neither_reads_nor_writes_the_disk_of_another(first, start_machine):
    secret = start_machine("second").folder / "file"
    secret.write_text("content", "utf-8")
    first.run([sys.executable, "-c", f"import os; assert not os.path.exists({str(secret)!r})"])
    elsewhere = f"import pathlib; pathlib.Path({str(secret.parent)!r}).mkdir(parents=True); pathlib.Path({str(secret)!r}).touch()"
    first.run([sys.executable, "-c", elsewhere])
    assert secret.read_text("utf-8") == "content"


def test_a_machine_reaches_a_service_of_the_loopback_address(first):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        first.run(
            [sys.executable, "-c", f"import socket; socket.create_connection(('127.0.0.1', {port})).send(b'here')"]
        )
        listener.settimeout(60)
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(4) == b"here"


def test_a_killed_machine_takes_all_its_processes_with_it(first):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        child = f"import socket, time; s = socket.create_connection(('127.0.0.1', {listener.getsockname()[1]})); time.sleep(600)"
        parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
        first.start([sys.executable, "-c", parent])
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(60)
            first.kill()
            assert connection.recv(1) == b""
