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
MATERIALIZE = """
import signal, sys
from lms_pipeline import cli
from lms_pipeline.commands import interrupts
if sys.argv[1:] == [signal.SIGTERM.name]:  # the first one waits for the response, which never comes
    interrupts.REPEAT_SECONDS = 0.1
sys.argv = ["lms-pipeline", "materialize"]
cli.main()
"""
BLOCKED = """
import sys, threading
from lms_pipeline.commands import interrupts
interrupts.REPEAT_SECONDS, interrupts.MAX_STOP_SECONDS = 0.1, float(sys.argv[1])
with interrupts.stop_on_signals(lambda: "summary"):
    for number in range(int(sys.argv[2])):
        try:
            print("ready" if number == 0 else "interrupted", flush=True)
            threading.Event().wait()  # as a thread that reads from a silent server holds its process
        except KeyboardInterrupt:
            pass
    print("interrupted", flush=True)
    threading.Event().wait()
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
            [sys.executable, "-c", MATERIALIZE, sent.name], env=environment, stderr=subprocess.PIPE, text=True
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


def run_blocked(sent, *arguments):
    """Send a signal to a process that does not end by the first `arguments[1]` of them, and return its exit status and outputs."""
    with subprocess.Popen(
        [sys.executable, "-c", BLOCKED, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(sent)
        return (*process.communicate(timeout=60), process.returncode)


@pytest.mark.parametrize(("sent", "status"), SIGNALS)
def test_a_signal_that_did_not_end_the_command_is_repeated(sent, status):
    assert run_blocked(sent, "60", "1") == ("interrupted\n", "summary\n", status)


@pytest.mark.parametrize(("sent", "status"), SIGNALS)
def test_a_command_that_can_not_stop_is_ended(sent, status):
    assert run_blocked(sent, "2", "2") == ("interrupted\ninterrupted\n", "summary\n", status)
