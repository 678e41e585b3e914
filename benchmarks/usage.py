"""CPU time and memory of processes, read from Linux's `/proc`.

Belongs here: the figures of a process and its descendants, by role.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.5

Role = Callable[[Sequence[str]], str]
"""Returns the role of a process by its command line."""


class Usage:
    """Measures a process and its descendants. A process that ended counts for the parent that waited for it."""

    def __init__(self, root: int, role: Role) -> None:
        self._root = root
        self._role = role
        self._roles: dict[int, str] = {}
        self.peak_bytes: defaultdict[str, int] = defaultdict(int)
        """Peak memory of a single process, by role."""

    @contextmanager
    def watch_memory(self) -> Iterator[None]:
        """Sample memory during the block."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(SAMPLE_SECONDS):
                self._sample_memory()

        thread = threading.Thread(target=watch, name="usage")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def read_cpu_seconds(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the CPU seconds of the running processes by role, and those of their ended children."""
        own: defaultdict[str, float] = defaultdict(float)
        ended: defaultdict[str, float] = defaultdict(float)
        for pid in self._list_processes():
            if (stat := _read_stat(pid)) is not None:
                role = self._find_role(pid)
                own[role] += (int(stat[11]) + int(stat[12])) / TICKS_PER_SECOND
                ended[role] += (int(stat[13]) + int(stat[14])) / TICKS_PER_SECOND
        return dict(own), dict(ended)

    def _sample_memory(self) -> None:
        for pid in self._list_processes():
            role = self._find_role(pid)
            self.peak_bytes[role] = max(self.peak_bytes[role], read_peak_bytes(pid))

    def _list_processes(self) -> list[int]:
        children = defaultdict(list)
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (stat := _read_stat(int(entry.name))) is not None:
                children[int(stat[1])].append(int(entry.name))
        found = [self._root]
        for pid in found:
            found += children[pid]
        return found

    def _find_role(self, pid: int) -> str:
        if pid not in self._roles:
            try:
                command_line = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
            except OSError:
                return "gone"
            self._roles[pid] = self._role(command_line.split("\0"))
        return self._roles[pid]


def _read_stat(pid: int) -> list[str] | None:
    """Return the fields of `/proc/<pid>/stat` after the name, which may contain anything; None if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def read_peak_bytes(pid: int) -> int:
    """Return the peak memory of a process in bytes; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(lines.get("VmHWM", "0 kB").split()[0]) * 1024
