"""Runs `lms-pipeline` commands as processes: starts the UI, keeps its output, and stops it.

Not here: what tests do on its pages (`browser_pages.py`).
"""

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

COMMAND = Path(sys.executable).with_name("lms-pipeline")
SERVING = "Serving dagster-webserver on"
"""The webserver prints it right before it accepts requests."""
START_SECONDS = 120
STOP_SECONDS = 30


@dataclass(frozen=True)
class Ui:
    """A running UI: its URL, and the file with the output of its processes."""

    url: str
    log: Path


def build_environment(sandbox, folder, **settings):
    """Return the environment of an installation in a folder, over a sandbox: no setting of this process, and these."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return inherited | {
        "TRUTO_BASE_URL": sandbox.url,
        "TRUTO_API_TOKEN": sandbox.token,
        "LMS_ACCOUNT_CALLS_PER_10S": "0",
        "LMS_TOKEN_CALLS_PER_10S": "0",
        "LMS_DATA_DIR": str(folder / "data"),
        **settings,
    }


def run_command(environment, folder, *arguments):
    """Run one `lms-pipeline` command, and fail if it does."""
    done = subprocess.run(
        [COMMAND, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def serve_ui(environment, folder, log):
    """Serve the UI over `folder` on a free port for the block."""
    port = _find_free_port()
    with subprocess.Popen(
        [COMMAND, "ui", "--port", str(port)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        is_up = Event()
        reader = Thread(target=_copy_output, args=(process.stdout, log, is_up))
        reader.start()
        try:
            has_started = is_up.wait(START_SECONDS)
            assert has_started, f"the UI did not start:\n{log.read_text(encoding='utf-8')}"
            _connect(port)
            yield Ui(f"http://127.0.0.1:{port}", log)
        finally:
            _stop(process)
            reader.join()


def _find_free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@retry(
    retry=retry_if_exception_type(ConnectionRefusedError), stop=stop_after_delay(START_SECONDS), wait=wait_fixed(0.1)
)
def _connect(port):
    """Wait until the webserver accepts a connection."""
    socket.create_connection(("127.0.0.1", port)).close()


def _copy_output(output, log, is_up):
    with log.open("w", encoding="utf-8", buffering=1) as file:
        for line in output:
            file.write(line)
            if SERVING in line:
                is_up.set()


def _stop(process):
    """Stop the process as Ctrl-C does, then kill what is left of its process groups."""
    groups = [process.pid, *_list_children(process.pid)]
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _list_children(pid):
    """Return the child processes: Dagster runs in its own session below `ui`, with all that it starts."""
    with suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    return []
