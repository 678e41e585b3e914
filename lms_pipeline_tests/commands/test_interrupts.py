"""Ctrl-C and SIGTERM, sent to a command in a process of its own."""

import os
import signal
import subprocess
import sys
from threading import Event

import pytest

from lms_pipeline_tests.defs.conftest import NOW
from lms_pipeline_tests.support.scripted_server import SILENCE, serve

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
MATERIALIZE = "import sys; from lms_pipeline import cli; sys.argv = ['lms-pipeline', 'materialize']; cli.main()"
NEVER_ENDING = """
import sys, threading
from lms_pipeline.commands import interrupts
interrupts.MAX_STOP_SECONDS = 0.1
with interrupts.stop_on_signals(lambda: "summary"):
    try:
        print("ready", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        threading.Event().wait()  # as a thread that reads from a silent server holds its process
"""


@pytest.mark.parametrize(("sent", "status"), SIGNALS)
def test_materialize_ends_without_another_run(command, tmp_path, monkeypatch, sent, status):
    command("accounts", "add", "north")
    command("accounts", "add", "south")
    first_request = Event()

    def respond(_request):
        first_request.set()
        return SILENCE

    monkeypatch.setenv("TRUTO_API_TOKEN", "token")
    with serve(respond) as server:
        environment = {**os.environ, "TRUTO_BASE_URL": server.url}
        with subprocess.Popen(
            [sys.executable, "-c", MATERIALIZE], env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            assert first_request.wait(60)
            process.send_signal(sent)
            _, err = process.communicate(timeout=60)
        requested = {dict(request.query)["integrated_account_id"] for request in server.received}
    assert process.returncode == status
    run, summary = err.splitlines()[-2:]
    assert run.startswith(f"north on {NOW.date().replace(day=NOW.day - 1)}: failed: interrupted; the responses so far")
    assert summary.startswith(
        "Interrupted: 0 of 2 runs are published. Start the others again with --account and --date"
    )
    assert requested == {"north"}


@pytest.mark.parametrize(("sent", "status"), SIGNALS)
def test_a_command_that_can_not_stop_is_ended(sent, status):
    with subprocess.Popen(
        [sys.executable, "-c", NEVER_ENDING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(sent)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (status, "summary\n")
