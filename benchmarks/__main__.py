"""Run the cases and print their figures: `python -m benchmarks`, which `make bench` calls.

Belongs here: which cases run, in which environments, and the report.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.bench import ROOT, Bench, Environment, Side, SideError
from benchmarks.cases import CASES, SCENARIOS
from benchmarks.figures import format_number, print_line, print_table
from benchmarks.ratios import MAX_SPREAD, Row
from benchmarks.scale import FULL, SCALES, Scale
from benchmarks.world.pages import write_world

SIDE_COLUMNS = {"cpu": "CPU (s)", "wall": "wall (s)", "peak_mb": "peak (MB)"}
SIDE_KEYS = {"benchmark", "size", "side", "rounds", "rows", *SIDE_COLUMNS}
NAMES = (*CASES, *SCENARIOS)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES), metavar="[CASE]...")
@click.option("--scale", "scale_name", type=click.Choice(list(SCALES)), default=FULL.name, show_default=True)
@click.option("--base", type=click.Path(exists=True, path_type=Path), help="Checkout of an earlier commit, with .venv.")
@click.option("--rivals", type=click.Path(exists=True, path_type=Path), help="Environment with dlt, orjson and polars.")
@click.option("--folder", type=click.Path(path_type=Path), default=ROOT / ".bench", help="For data. Default: .bench")
def main(names: Sequence[str], scale_name: str, base: Path | None, rivals: Path | None, folder: Path) -> None:
    """Measure the cases, all of them by default. Without --base or --rivals their rows are left out."""
    started = time.monotonic()
    scale = SCALES[scale_name]
    selected = names or (NAMES if scale.is_judged else tuple(CASES))
    pythons: dict[Environment, Path] = {"package": Path(sys.executable)}
    pythons |= {"base": base.resolve() / ".venv" / "bin" / "python"} if base else {}
    pythons |= {"rivals": rivals.absolute() / "bin" / "python"} if rivals else {}
    click.echo(f"Cases: {', '.join(selected)}. Rendering the pages of {scale.world_rows:,} enrollments.", err=True)
    folder = folder.resolve()
    bench = Bench(scale, folder, write_world(folder, scale.world_rows), pythons)
    rows: list[Row] = []
    try:
        failed = run_cases(bench, selected, rows)
    finally:  # an interrupted run reports what it has
        print_report(bench, rows)
        click.echo(f"{(time.monotonic() - started) / 60:.1f} minutes.", err=True)
    if failed:
        raise SystemExit(f"These cases failed: {', '.join(failed)}.")


def run_cases(bench: Bench, names: Sequence[str], rows: list[Row]) -> list[str]:
    """Run cases, each in a folder of its own; add the rows that are judged, and return the cases that failed."""
    failed = []
    root = bench.folder
    for name in names:
        started = time.monotonic()
        bench.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
        (bench.folder / ".env").touch()  # no settings of a user's own installation
        try:
            if name == names[0]:
                print_versions(bench)
            if name in SCENARIOS:
                command = [sys.executable, "-m", f"benchmarks.{name}", *SCENARIOS[name]]
                subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 (our own arguments)
            else:
                for row in CASES[name](bench):
                    print_row(row, bench.scale)
                    rows.append(row)
        except (SideError, subprocess.SubprocessError) as error:
            click.echo(f"The case {name} failed: {error}", err=True)
            failed.append(name)
        finally:
            shutil.rmtree(bench.folder)
            bench.folder = root
        click.echo(f"{name}: {time.monotonic() - started:.0f} s in all", err=True)
    return failed


def print_versions(bench: Bench) -> None:
    """Print what is measured, and on what, as a JSON line."""
    versions = {}
    for name, python in bench.pythons.items():
        versions[name] = bench.run(Side("versions", "versions", {}, name))
        del versions[name]["peak_mb"]
        if name != "rivals":
            versions[name]["commit"] = read_commit(python.parents[2])
    print_line(
        benchmark="environment",
        scale=bench.scale.name,
        cores=os.cpu_count(),
        machine=platform.platform(),
        load=os.getloadavg()[0],
        versions=versions,
    )


def read_commit(checkout: Path) -> str:
    """Return the commit of a checkout, with `-dirty` if files differ from it."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def print_row(row: Row, scale: Scale) -> None:
    """Print a row that is judged as a JSON line."""
    print_line(
        benchmark="ratio",
        name=row.name,
        value=row.median,
        unit=row.unit,
        limit=str(row.limit),
        result=_judge(row, scale),
        spread=row.spread,
        is_noisy=row.is_noisy,
        rounds=len(row.values),
    )


def _judge(row: Row, scale: Scale) -> str:
    return row.judge() if scale.is_judged else "not judged"


def print_report(bench: Bench, rows: Sequence[Row]) -> None:
    """Print the sides and the judged rows as tables, and whether the run was too noisy; scenarios have none."""
    if not bench.lines and not rows:
        return
    columns = ("case", "size", "side", "rounds", *SIDE_COLUMNS.values(), "rows (1/CPU s)", "other medians")
    print_table("Medians", columns, [_format_side(line) for line in bench.lines])
    columns = ("ratio", "value", "unit", "limit", "spread (%)", "result")
    print_table("Ratios", columns, [_format_row(row, bench.scale) for row in rows])
    noisy = [row.name for row in rows if row.is_noisy]
    if noisy:
        click.echo(
            f"This run is too noisy to believe in {len(noisy)} of {len(rows)} ratios, whose rounds differ by more than "
            f"{MAX_SPREAD:.0%}: run them again on an idle machine. {'; '.join(noisy)}.",
            err=True,
        )
    if not bench.scale.is_judged:
        click.echo("The limits are for the full sizes: `make bench`.", err=True)


def _format_side(line: Mapping[str, Any]) -> list[str]:
    costs = [format_number(line[figure]) if figure in line else "" for figure in SIDE_COLUMNS]
    speed = f"{line['rows'] / line['cpu']:,.0f}" if line.get("cpu") and "rows" in line else ""
    others = [f"{name} {format_number(value)}" for name, value in line.items() if name not in SIDE_KEYS]
    texts = [str(line[name]) for name in ("benchmark", "size", "side", "rounds")]
    return [*texts, *costs, speed, ", ".join(others)]


def _format_row(row: Row, scale: Scale) -> list[str]:
    spread = f"{100 * row.spread:.0f}"
    return [row.name, f"{row.median:,.3g}", row.unit, str(row.limit), spread, _judge(row, scale)]


if __name__ == "__main__":
    main()
