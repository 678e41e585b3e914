"""`lms-pipeline ui` in processes of its own, for as long as somebody looks at it.

What belongs here: starting it, what it prints, and its end. What is looked at is `pages.py`.
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

COMMAND = Path(sys.executable).with_name("lms-pipeline")
SERVING = "Serving dagster-webserver on"
"""What the webserver prints once it can be asked."""
START_SECONDS = 120
STOP_SECONDS = 30


@dataclass(frozen=True)
class Ui:
    """A UI that is being served: where it is, and the file of what its processes print."""

    url: str
    log: Path


def run(environment, folder, *words):
    """One `lms-pipeline` command to its end, which has to be a good one."""
    done = subprocess.run(
        [COMMAND, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def serving(environment, folder, log):
    """The UI over `folder` on a free port."""
    port = _free_port()
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
        reader = Thread(target=_keep, args=(process.stdout, log, is_up))
        reader.start()
        try:
            came_up = is_up.wait(START_SECONDS)
            assert came_up, f"the UI did not come up:\n{log.read_text(encoding='utf-8')}"
            yield Ui(f"http://127.0.0.1:{port}", log)
        finally:
            _end(process)
            reader.join()


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _keep(printed, log, is_up):
    with log.open("w", encoding="utf-8", buffering=1) as file:
        for line in printed:
            file.write(line)
            if SERVING in line:
                is_up.set()


def _end(process):
    """Ask it to stop, as Ctrl-C does; what outlives that is killed with its process group."""
    groups = [process.pid, *_children(process.pid)]
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _children(pid):
    """Dagster stands in a session of its own below `ui`, with all that it starts."""
    with suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    return []
