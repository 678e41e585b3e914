"""`lms-pipeline ui` up to the start of Dagster. The pages are tested in `browser/`."""

import signal
import socket
import subprocess
import sys

IGNORING_INTERRUPTS = """
import os, signal, sys
from lms_pipeline.commands.ui import _run_until_interrupted

signal.signal(signal.SIGINT, signal.SIG_IGN)
child = "import time; print('up', flush=True); time.sleep(60)"
sys.exit(_run_until_interrupted([sys.executable, "-c", child], dict(os.environ)))
"""


def find_free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_a_port_in_use_is_wrong_use(command):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = command("ui", "--port", str(port))
    assert done.status == 2
    assert done.err.startswith(
        f"Error: Port {port} can't be used (Address already in use): stop the process that listens there"
    )
    assert done.err.endswith("choose another with --port.\n")


def test_a_schedule_that_is_no_cron_expression_is_refused_before_dagster_starts(command, monkeypatch):
    monkeypatch.setenv("LMS_SCHEDULE", "daily")
    done = command("ui", "--port", str(find_free_port()))
    assert (done.status, done.out) == (2, "")
    assert "LMS_SCHEDULE can't be used: it must be a cron expression" in done.err


def test_it_stops_dagster_even_if_a_shell_left_interrupts_ignored():
    with subprocess.Popen([sys.executable, "-c", IGNORING_INTERRUPTS], stdout=subprocess.PIPE, text=True) as ui:
        assert ui.stdout is not None
        assert ui.stdout.readline() == "up\n"
        ui.send_signal(signal.SIGTERM)
        assert ui.wait(timeout=10) == 0
