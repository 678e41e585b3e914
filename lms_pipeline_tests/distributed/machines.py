"""Machines without a shared disk: processes with a folder, a /tmp, process ids and a hostname of their own, by bubblewrap.

Belongs here: starting, signalling and ending them. All share the loopback address, on which the services listen. Where the
kernel allows no namespaces, the folders alone differ.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO

from lms_pipeline_tests.distributed.preloaded import ForkedProcess, Preloaded
from lms_pipeline_tests.distributed.services import MissingServiceError

CHECKOUT = Path(__file__).parents[2]
VISIBLE = {CHECKOUT: "--ro-bind", Path(sys.base_prefix): "--ro-bind", Path(sys.prefix): "--bind"}
"""Folders that a machine reads although they may be below /tmp. In the environment Python stores what it compiles: else each of
some hundred processes compiles its imports again, in 2 s."""
NO_NAMESPACES = (
    "The kernel allows no namespaces here: the machines of these tests share process ids, /tmp and the hostname."
)
MAX_WAIT_SECONDS = 600.0
"""Time that anything may take on a busy machine before a test fails."""
_STARTER = ThreadPoolExecutor(1, "machines")
"""The kernel ends a machine with the thread that started it, so one of this process starts all of them."""


@cache
def has_namespaces() -> bool:
    """Return whether bubblewrap can start a machine.

    Raises:
        MissingServiceError: it is not installed.
    """
    if shutil.which("bwrap") is None:
        raise MissingServiceError("bwrap is missing: run `apt-get install bubblewrap`")
    command = [*_isolate("test", CHECKOUT), "true"]
    return subprocess.run(command, check=False, capture_output=True, timeout=30).returncode == 0


def _isolate(name: str, folder: Path) -> list[str]:
    """Build the command that runs another one on a machine whose only writable folder is this one, and the environment."""
    mounts = [argument for path, option in VISIBLE.items() for argument in (option, str(path), str(path))]
    return [
        *("bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", *mounts),
        *("--bind", str(folder), str(folder), "--chdir", str(folder)),
        *("--unshare-pid", "--unshare-uts", "--hostname", name, "--as-pid-1", "--die-with-parent"),
    ]


@dataclass
class Process:
    """A process on a machine. `pid` is its id here, not on its machine."""

    popen: subprocess.Popen[bytes] | ForkedProcess
    pid: int
    log: Path
    first: Process | None = None
    """The first process of its machine if that is another one."""

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        os.kill(self.pid, number)

    def poll(self) -> int | None:
        """Return its status if it has ended."""
        return self.popen.poll()

    def kill(self) -> None:
        """Kill the process and all those that it started."""
        if self.first is not None:
            self.first.kill()
        elif self.popen.poll() is None:
            if has_namespaces():
                os.kill(self.pid, signal.SIGKILL)  # the first process of a machine takes all others with it
            else:
                os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait(MAX_WAIT_SECONDS)

    def wait(self, seconds: float = MAX_WAIT_SECONDS) -> int:
        """Wait for its end, and return its status."""
        return self.popen.wait(seconds)

    def read_log(self) -> str:
        """Return its output so far."""
        return self.log.read_text("utf-8", errors="replace")


@dataclass
class Machine:
    """A machine: `folder` is all that it can write. A process sees no other process of it."""

    name: str
    folder: Path
    environment: Mapping[str, str]
    preloaded: Preloaded | None = None
    """What its Python processes are forks of; None if each starts with its own command."""
    processes: list[Process] = field(default_factory=list)

    @property
    def data_dir(self) -> Path:
        """LMS_DATA_DIR of its processes."""
        return self.folder / "data"

    @property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME of its processes."""
        return self.folder / "dagster"

    def start(self, command: Sequence[str], **more: str) -> Process:
        """Start a command, with the environment of the machine and `more`."""
        log = self.folder / f"output-{len(self.processes)}.log"
        paths = {"HOME": self.folder, "TMPDIR": self.folder / "tmp"}
        paths |= {"LMS_DATA_DIR": self.data_dir, "DAGSTER_HOME": self.dagster_home}
        for path in paths.values():
            path.mkdir(parents=True, exist_ok=True)
        environment = {**self.environment, **more, **{name: str(path) for name, path in paths.items()}}
        is_forked = self.preloaded is not None and command[0] == sys.executable
        start = _start_here if not has_namespaces() else _start_forked if is_forked else _start_isolated
        process = start(self, list(command), environment, log)
        self.processes.append(process)
        return process

    def run(self, command: Sequence[str], **more: str) -> str:
        """Run a command to its end, and return its output; it must succeed."""
        process = self.start(command, **more)
        assert process.wait() == 0, process.read_log()
        return process.read_log()

    def kill(self) -> None:
        """Kill everything on the machine at once, as a power cut does. Its disk stays."""
        for process in self.processes:
            process.kill()


def _start_isolated(machine: Machine, command: list[str], environment: Mapping[str, str], log: Path) -> Process:
    with log.open("wb") as output:
        popen, pid = _isolate_command(machine, command, environment, output)
    return Process(popen, pid, log)


def _start_forked(machine: Machine, command: list[str], environment: Mapping[str, str], log: Path) -> Process:
    assert machine.preloaded is not None
    popen, pid = _isolate_command(machine, ["sh", "-c", "echo; exec sleep infinity"], environment, subprocess.PIPE)
    assert popen.stdout is not None
    with popen.stdout as output:
        output.readline()  # then the machine has its folders
    forked = machine.preloaded.start(command, environment, log, machine.folder, machine=pid)
    return Process(forked, forked.pid, log, Process(popen, pid, log))


def _isolate_command(
    machine: Machine, command: list[str], environment: Mapping[str, str], output: IO[bytes] | int
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the first process of a machine; return also its id here."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as information:
        isolated = [*_isolate(machine.name, machine.folder), "--info-fd", str(writer), *command]

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                isolated, env=environment, stdout=output, stderr=subprocess.STDOUT, pass_fds=[writer]
            )

        popen = _STARTER.submit(start).result()
        os.close(writer)
        return popen, json.loads(information.read())["child-pid"]


def _start_here(machine: Machine, command: list[str], environment: Mapping[str, str], log: Path) -> Process:
    with log.open("wb") as output:
        popen = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, cwd=machine.folder, start_new_session=True
        )
    return Process(popen, popen.pid, log)


@contextmanager
def open_machine(
    name: str, folder: Path, environment: Mapping[str, str], preloaded: Preloaded | None = None
) -> Iterator[Machine]:
    """Yield a machine with its folder in `folder`; everything on it ends with the block."""
    machine = Machine(name, folder / name, environment, preloaded)
    machine.folder.mkdir(parents=True)
    try:
        yield machine
    finally:
        machine.kill()
