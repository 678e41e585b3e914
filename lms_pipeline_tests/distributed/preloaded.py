"""Python processes that have imported Dagster already: forks of one process, which imports it once for all tests of a worker.

Belongs here: starting them, with the environment, folder and output of a new process. Not here: what they execute; a test of
each kind of process starts it with its own command.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

MODULES = (
    "celery.apps.worker",
    "celery.backends.redis",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "dagster._cli",
    "dagster_celery.make_app",
    "dagster_celery.tasks",
    "dagster_postgres",
    "kombu.transport.redis",
    "lms_pipeline.cli",
    "lms_pipeline.definitions",
    "lms_pipeline.defs.launching_celery",
    "obstore.store",
)
"""What takes most of the time of a run or a Celery worker before it does anything: nothing of it reads the environment."""
NAMESPACES = ("uts", "pid", "mnt")
CHECKOUT = Path(__file__).parents[2]


class ForkedProcess:
    """A process that was forked, in a session of its own."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers = connection.makefile()
        self.pid = int(self._answers.readline())
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return its status if it has ended: negative for a signal, as of `Popen`."""
        return self._read_status(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return its status."""
        status = self._read_status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process alone."""
        self.send_signal(signal.SIGKILL)

    def _read_status(self, seconds: float | None) -> int | None:
        if self._status is None and select.select([self._connection], [], [], seconds)[0]:
            self._status = int(self._answers.readline())
            self._answers.close()
            self._connection.close()
        return self._status


class Preloaded:
    """The process that is forked."""

    def __init__(self, address: Path) -> None:
        self._address = address

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        folder: Path,
        machine: int | None = None,
    ) -> ForkedProcess:
        """Start a command of this Python in a folder, with its output in a file; on the machine of another process."""
        assert command[0] == sys.executable
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self._address))
        request = [list(command[1:]), dict(environment), str(log), str(folder), machine]
        connection.sendall(json.dumps(request).encode() + b"\n")
        return ForkedProcess(connection)


@contextmanager
def serve_preloaded(folder: Path) -> Iterator[Preloaded]:
    """Run the process that is forked until the block ends."""
    address = folder / "socket"
    command = [sys.executable, "-m", "lms_pipeline_tests.distributed.preloaded", str(address)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield Preloaded(address)
        finally:
            process.kill()


def wait_for_command(address: str) -> list[str]:
    """Import, then fork for each request; return in a new process, with the arguments of Python."""
    for module in MODULES:
        importlib.import_module(module)
    gc.freeze()  # else the first collection of each fork copies all memory
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        os.write(1, b"ready\n")
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                break
            connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    arguments, environment, log, folder, machine = json.loads(connection.makefile().readline())
    if machine is not None:
        _enter(machine)
    pid = os.fork()
    if pid:
        _report(connection, pid)
    connection.close()
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    return list(arguments)


def _enter(machine: int) -> None:
    """Enter the namespaces of a process; the next fork has an id there."""
    library = ctypes.CDLL(None, use_errno=True)
    files = [os.open(f"/proc/{machine}/ns/{name}", os.O_RDONLY) for name in _select_namespaces(machine)]
    for file in files:
        if library.setns(file, 0):
            raise OSError(ctypes.get_errno(), f"the machine of process {machine} can't be entered")
        os.close(file)


def _select_namespaces(machine: int) -> list[str]:
    """Name the namespaces to enter: those of users too, without which only root may enter others."""
    is_same = Path(f"/proc/{machine}/ns/user").readlink() == Path("/proc/self/ns/user").readlink()
    return [*([] if is_same else ["user"]), *NAMESPACES]


def _report(connection: socket.socket, pid: int) -> None:
    """Send the id of a process, and its status when it ends."""
    connection.sendall(f"{pid}\n".encode())
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    connection.sendall(f"{status}\n".encode())
    os._exit(0)


def execute(arguments: Sequence[str]) -> None:
    """Do what Python does with its arguments."""
    option, program, *rest = arguments
    sys.argv = [option if option == "-c" else program, *rest]
    sys.path[0] = str(Path.cwd()) if option == "-m" else ""
    if option == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        exec(program, {"__name__": "__main__"})  # noqa: S102 - a command of a test


if __name__ == "__main__":
    execute(wait_for_command(sys.argv[1]))
