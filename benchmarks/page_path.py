"""Count the files of the package that one page of five enrollments passes: `python -m benchmarks.page_path [--list]`.

Belongs here: tracing one sweep in this process. A file counts if one of its functions runs. `sandbox/` and code that
runs at import do not count.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from types import FrameType

import click
import msgspec
from pydantic import SecretStr

import lms_pipeline
from benchmarks.figures import Figure, print_figures
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.connection import Truto
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox import RunningSandbox, records_world, running
from lms_pipeline.settings import Settings
from lms_pipeline.snapshot.job import SnapshotJob, record_outcome
from lms_pipeline.snapshot.run import take_snapshot

PACKAGE = Path(lms_pipeline.__file__).parent
ACCOUNT = "acme"
DAY = date(2025, 3, 3)
NOW = datetime(2025, 3, 4, 1, tzinfo=UTC)
"""The day has ended and is open."""
RECORDS = 5


@dataclass
class Trace:
    """Calls of functions by file, and the number of calls in another file than the previous call."""

    calls: Counter[str] = field(default_factory=Counter)
    moves: int = 0
    _latest: dict[int, str] = field(default_factory=dict)

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Count one event of `sys.setprofile`."""
        code = frame.f_code
        path = Path(code.co_filename)
        if event != "call" or code.co_name == "<module>" or not path.is_relative_to(PACKAGE):
            return
        file = path.relative_to(PACKAGE)
        if file.parts[0] == "sandbox":
            return
        thread = threading.get_ident()
        self.moves += self._latest.get(thread, str(file)) != str(file)
        self._latest[thread] = str(file)
        self.calls[str(file)] += 1

    @contextmanager
    def record(self) -> Iterator[None]:
        """Trace this thread, and the threads that start during the block."""
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def trace_sweep(folder: Path, sandbox: RunningSandbox) -> tuple[Trace, Trace]:
    """Sweep the account: one page each of enrollments, users and courses.

    Returns:
        The trace of `take_snapshot`, and the trace that includes loading the job and recording its outcome.
    """
    settings = Settings(
        token=SecretStr(sandbox.token), base_url=sandbox.url, data_dir=folder, frozen_now=NOW, start_date=DAY
    )
    data = DataDir(settings.data_dir)
    Registry.open(settings).add(ACCOUNT, name=None, first_day=DAY)
    before, during, after = Trace(), Trace(), Trace()
    with before.record():
        job = SnapshotJob.load(settings, Partition(ACCOUNT, DAY), "page-path")
        truto = Truto(settings)
    with during.record():
        result = take_snapshot(job, connect=truto.connect, data=data, calendar=settings.calendar, now=truto.now)
    with after.record():
        record_outcome(data, job, result)
    if result.rows.served != RECORDS:
        raise SystemExit(f"{result.rows.served} records were served instead of {RECORDS}: fix that first.")
    parts = (before, during, after)
    moves = sum(part.moves for part in parts) + len(parts) - 1
    return during, Trace(before.calls + during.calls + after.calls, moves)


def write_world(path: Path) -> Path:
    """Write the records of the account."""
    lines = [
        {
            "account": ACCOUNT,
            "valid_from": "2025-01-01T00:00:00Z",
            "enrollment": {"id": f"e{n}", "user": {"id": f"u{n}"}, "course": {"id": "c1"}, "status": "enrolled"},
            "raw": {"role": "learner"},
        }
        for n in range(RECORDS)
    ]
    path.write_bytes(b"\n".join(msgspec.json.encode(line) for line in lines))
    return path


@click.command()
@click.option("--list", "is_listed", is_flag=True, help="Print the files, with the calls in each.")
def main(*, is_listed: bool) -> None:
    """Count the files of the package that one page of five enrollments passes."""
    with tempfile.TemporaryDirectory() as folder:
        world = records_world([write_world(Path(folder) / "world.ndjson")])
        with running(world) as sandbox:
            during, whole = trace_sweep(Path(folder) / "data", sandbox)
    if is_listed:
        for file, calls in sorted(whole.calls.items()):
            click.echo(f"{calls:6}  {file}{'' if file in during.calls else '  (outside take_snapshot)'}")
    figures = [
        Figure("a page, from the job to its recorded outcome", len(whole.calls), "files"),
        Figure("moves between files", whole.moves),
        Figure("a page in take_snapshot", len(during.calls), "files"),
        Figure("moves between files in take_snapshot", during.moves),
    ]
    print_figures("page_path", figures, records=RECORDS)


if __name__ == "__main__":
    main()
