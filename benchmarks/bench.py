"""Running the sides of a case in turn, each in a process of its own.

Belongs here: environments, processes and rounds. Not here: what is compared (`cases/`), and with which limits.
"""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from benchmarks.figures import print_line
from benchmarks.ratios import Limit, Row, compute_ratios
from benchmarks.scale import Scale

ROOT = Path(__file__).parent.parent
MAX_SIDE_SECONDS = 3_600
SHOWN_BYTES = 2_000
"""Of the errors of a failed side."""

Environment = Literal["package", "base", "rivals"]
"""This commit's environment, an earlier commit's, or that of other libraries."""


class SideError(Exception):
    """A side failed, or did other work than it should have."""


@dataclass(frozen=True)
class Side:
    """Something that is measured: a module of `benchmarks.sides` with its options, in an environment."""

    name: str
    module: str
    options: Mapping[str, object]
    environment: Environment = "package"
    max_rounds: int = 100
    """A side that only informs, or takes long, runs in the first rounds."""


@dataclass
class Results:
    """The figures of each side, round by round."""

    figures: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def read_values(self, side: str, figure: str) -> list[float]:
        """Return the values of a figure."""
        return [float(result[figure]) for result in self.figures.get(side, ())]

    def compare(
        self, name: str, side: str, other: str, figure: str, limit: Limit, *, of_other: str | None = None
    ) -> Iterator[Row]:
        """Yield the ratio of a side's figure to another side's in the rounds of both, unless one of them was not measured."""
        values, others = self.read_values(side, figure), self.read_values(other, of_other or figure)
        if rounds := min(len(values), len(others)):
            yield Row(name, compute_ratios(values[:rounds], others[:rounds]), limit)

    def compare_speed(self, name: str, side: str, other: str, limit: Limit) -> Iterator[Row]:
        """Yield the ratio of rows per CPU second, which is the inverse of that of CPU seconds."""
        yield from self.compare(name, other, side, "cpu", limit)

    def report(self, name: str, side: str, figure: str, limit: Limit, unit: str) -> Iterator[Row]:
        """Yield a figure of a side itself."""
        if side in self.figures:
            yield Row(name, tuple(self.read_values(side, figure)), limit, unit)


@dataclass
class Bench:
    """What the cases share."""

    scale: Scale
    folder: Path
    """For the data of the sides; it is removed afterwards."""
    world: Path
    """The folder of the rendered pages."""
    pythons: Mapping[Environment, Path]
    """The interpreter of each environment; those that are missing are left out."""
    lines: list[dict[str, Any]] = field(default_factory=list)
    """The medians of each side."""

    def run(self, side: Side) -> dict[str, Any]:
        """Run a side once, and return its figures.

        Raises:
            SideError: it failed.
        """
        options = [text for name, value in side.options.items() for text in (f"--{name}", str(value))]
        module = f"benchmarks.sides.{side.module}"
        command = [str(self.pythons[side.environment]), "-P", "-m", module, *options]
        process = subprocess.run(  # noqa: S603 (our own arguments)
            command,
            env=build_environment(self._link_package()),
            cwd=self.folder,
            capture_output=True,
            timeout=MAX_SIDE_SECONDS,
            check=False,
        )
        if process.returncode or not process.stdout:
            errors = process.stderr[-SHOWN_BYTES:].decode(errors="replace")
            raise SideError(f"{side.name} failed with {process.returncode}: {' '.join(command)}\n{errors}")
        figures: dict[str, Any] = msgspec.json.decode(process.stdout.splitlines()[-1])
        return figures

    def run_rounds(
        self, case: str, sides: Sequence[Side], *, rounds: int, rows: int | None = None, size: str = ""
    ) -> Results:
        """Run the sides in turn, round after round, and print the medians of each.

        Sides without an environment are left out. `rows` is the number of rows that each must have handled.

        Raises:
            SideError: a side failed, or handled other rows.
        """
        results = Results()
        for number in range(rounds):
            self.run_round(case, [side for side in sides if number < side.max_rounds], results, rows=rows)
        self.print_medians(case, size, results)
        return results

    def run_round(self, case: str, sides: Iterable[Side], results: Results, *, rows: int | None = None) -> None:
        """Run each side once, and add its figures to the results."""
        for side in sides:
            if side.environment not in self.pythons:
                continue
            figures = self.run(side)
            if rows is not None and figures["rows"] != rows:
                raise SideError(f"{side.name} handled {figures['rows']} rows instead of {rows}.")
            measured = results.figures.setdefault(side.name, [])
            measured.append(figures)
            click.echo(f"{case}, round {len(measured)}: {describe_cost(side.name, figures)}", err=True)

    def print_medians(self, case: str, size: str, results: Results) -> None:
        """Print a JSON line for each side, and keep it for the report."""
        for name, measured in results.figures.items():
            medians = {figure: statistics.median(one[figure] for one in measured) for figure in measured[0]}
            line = {"benchmark": case, "size": size, "side": name, "rounds": len(measured), **medians}
            self.lines.append(line)
            print_line(**line)

    def _link_package(self) -> Path:
        """Return a folder with this package only, to be imported by every environment beside its own `lms_pipeline`."""
        folder = self.folder / "import"
        folder.mkdir(exist_ok=True)
        if not (link := folder / "benchmarks").exists():
            link.symlink_to(ROOT / "benchmarks", target_is_directory=True)
        return folder


def describe_cost(name: str, figures: Mapping[str, Any]) -> str:
    """Return a line of progress."""
    labels = {"cpu": "s CPU", "wall": "s wall", "peak_mb": "MB"}
    return f"{name}: {', '.join(f'{figures[key]:.2f} {label}' for key, label in labels.items() if key in figures)}"


def build_environment(imports: Path) -> dict[str, str]:
    """Return the environment of a side: none of the settings of this machine's own installation."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LMS_", "TRUTO_", "DAGSTER", "PYTHON"))
    }
    return {**inherited, "PYTHONPATH": str(imports)}
