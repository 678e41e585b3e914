"""What processes cost, read from Linux's `/proc`.

What belongs here: CPU seconds and memory of a process and all it started, by what each of them is.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
EVERY_SECONDS = 0.5

Role = Callable[[Sequence[str]], str]
"""What a process is, by its command line."""


class Usage:
    """Watches a process and all below it; what ended is counted with the parent that waited for it."""

    def __init__(self, root: int, role: Role) -> None:
        self._root = root
        self._role = role
        self._roles: dict[int, str] = {}
        self.peak_bytes: defaultdict[str, int] = defaultdict(int)
        """The most memory that one process of a role ever took."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at memory again and again while the block runs."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(EVERY_SECONDS):
                self._look()

        thread = threading.Thread(target=watch, name="usage")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def cpu_seconds(self) -> tuple[dict[str, float], dict[str, float]]:
        """Of the processes that run, by role: their own, and that of the children that have ended."""
        own: defaultdict[str, float] = defaultdict(float)
        ended: defaultdict[str, float] = defaultdict(float)
        for pid in self._tree():
            if (stat := _stat(pid)) is not None:
                role = self._role_of(pid)
                own[role] += (int(stat[11]) + int(stat[12])) / TICKS_PER_SECOND
                ended[role] += (int(stat[13]) + int(stat[14])) / TICKS_PER_SECOND
        return dict(own), dict(ended)

    def _look(self) -> None:
        for pid in self._tree():
            role = self._role_of(pid)
            self.peak_bytes[role] = max(self.peak_bytes[role], _peak_bytes(pid))

    def _tree(self) -> list[int]:
        children = defaultdict(list)
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None:
                children[int(stat[1])].append(int(entry.name))
        found = [self._root]
        for pid in found:
            found += children[pid]
        return found

    def _role_of(self, pid: int) -> str:
        if pid not in self._roles:
            try:
                told = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
            except OSError:
                return "gone"
            self._roles[pid] = self._role(told.split("\0"))
        return self._roles[pid]


def _stat(pid: int) -> list[str] | None:
    """The fields of `/proc/<pid>/stat` after the name, which may hold anything; None where it has ended."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return told.rpartition(")")[2].split()


def _peak_bytes(pid: int) -> int:
    try:
        told = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    return int(lines.get("VmHWM", "0 kB").split()[0]) * 1024
