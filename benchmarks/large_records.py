"""Compare the peak memory of a pull of large records with one of small records: `python -m benchmarks.large_records`.

Belongs here: `lms-pipeline materialize` in its own process, over one account of the sandbox for each size of records.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from benchmarks.figures import Figure, print_figures
from benchmarks.services import COMMAND
from lms_pipeline.sandbox import RunningSandbox, records_world, running

ACCOUNT = "acme"
FIRST_DAY = "2025-03-03"
NOW = "2025-03-04T01:00:00+00:00"
"""The first day has ended and is open."""


def build_lines(records: int, kilobytes: int) -> Iterator[bytes]:
    """Yield the records of the account, each with raw data of this size."""
    text = "x" * (kilobytes * 1024)
    for number in range(records):
        yield msgspec.json.encode(
            {
                "account": ACCOUNT,
                "valid_from": "2025-01-01T00:00:00Z",
                "enrollment": {
                    "id": f"e{number}",
                    "user": {"id": f"u{number}"},
                    "course": {"id": "c1"},
                    "status": "enrolled",
                },
                "raw": {"role": "learner", "suspend_data": f"{number}{text}"},
            }
        )


def measure_peak_bytes(folder: Path, records: int, kilobytes: int) -> int:
    """Return the peak memory of the process that pulls the day and computes its metrics."""
    world = folder / "world.ndjson"
    with world.open("wb") as file:
        file.writelines(line + b"\n" for line in build_lines(records, kilobytes))
    with running(records_world([world])) as sandbox:
        environment = build_environment(folder / "data", sandbox)
        run_command(environment, "accounts", "add", ACCOUNT)
        return run_command(environment, "materialize")


def build_environment(data: Path, sandbox: RunningSandbox) -> dict[str, str]:
    """Return the environment of a command over the sandbox, with a data directory of its own."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("LMS_", "TRUTO_", "DAGSTER"))
    }
    settings = {
        "LMS_DATA_DIR": str(data),
        "LMS_NOW": NOW,
        "LMS_START_DATE": FIRST_DAY,
        "TRUTO_API_TOKEN": sandbox.token,
        "TRUTO_BASE_URL": sandbox.url,
    }
    return {**inherited, **settings}


def run_command(environment: dict[str, str], *arguments: str) -> int:
    """Run `lms-pipeline` and return the peak memory of its process in bytes."""
    with subprocess.Popen([COMMAND, *arguments], env=environment, stdout=subprocess.DEVNULL) as process:  # noqa: S603
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"`lms-pipeline {' '.join(arguments)}` failed with {process.returncode}: fix that first.")
    return usage.ru_maxrss * 1024


@click.command()
@click.option("--records", default=2_000, show_default=True, help="Enrollments of the account.")
@click.option("--kilobytes", default=90, show_default=True, help="Raw data of a large record.")
def main(records: int, kilobytes: int) -> None:
    """Compare the peak memory of large records with that of records of 1 KB."""
    peaks = {}
    for size in (1, kilobytes):
        with tempfile.TemporaryDirectory() as folder:
            peaks[size] = measure_peak_bytes(Path(folder), records, size)
    figures = [
        *(Figure(f"peak memory with records of {size} KB", peak / 2**20, "MiB") for size, peak in peaks.items()),
        Figure("large to small", peaks[kilobytes] / peaks[1], "times"),
    ]
    print_figures("large_records", figures, records=records, kilobytes=kilobytes)


if __name__ == "__main__":
    main()
