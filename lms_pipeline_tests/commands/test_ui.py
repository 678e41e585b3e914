"""`lms-pipeline ui` up to where Dagster takes over; what it shows is `browser/`."""

import signal
import socket
import subprocess
import sys

IGNORING = """
import os, signal, sys
from lms_pipeline.commands.ui import _run_until_interrupted

signal.signal(signal.SIGINT, signal.SIG_IGN)
child = "import time; print('up', flush=True); time.sleep(60)"
sys.exit(_run_until_interrupted([sys.executable, "-c", child], dict(os.environ)))
"""


def test_a_port_that_is_taken_is_wrong_use(command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command("ui", "--port", str(port))
    assert done.status == 2
    assert done.err.startswith(
        f"Error: Port {port} can't be had (Address already in use): stop what listens there"
    )
    assert done.err.endswith("choose another with --port.\n")


def test_it_stops_what_it_started_also_where_a_shell_left_interrupts_ignored():
    with subprocess.Popen([sys.executable, "-c", IGNORING], stdout=subprocess.PIPE, text=True) as ui:
        assert ui.stdout is not None
        assert ui.stdout.readline() == "up\n"
        ui.send_signal(signal.SIGTERM)
        assert ui.wait(timeout=10) == 0
