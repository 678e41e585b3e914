"""Each case runs at a tiny size, in this process, and yields its rows; `make bench` runs the sides as processes."""

import importlib
import json
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from benchmarks.__main__ import print_report, print_row, print_versions, read_commit, run_cases
from benchmarks.bench import Bench, Results, Side, SideError
from benchmarks.cases import CASES
from benchmarks.ratios import Limit, Row
from benchmarks.scale import FULL, QUICK, TINY
from lms_pipeline_tests.support.full import choose

PYTHON = Path(sys.executable)
RATIOS = {
    "transform": 3, "checks": 1, "daily_job": 2, "pairs": 1, "metrics": 3, "over_time": 1, "warehouse": 7, "pull": 5,
    "memory": 2, "growth": 1,
}  # fmt: skip
"""The rows of each case with all environments, for one size of pull."""


SMALLEST = replace(TINY, metric_rows=(2_000, 2_001), accounts=2, days=1, pairs=10)


class LocalBench(Bench):
    """Runs the sides of this package in this process; those of other environments repeat the latest figures."""

    def run(self, side):
        if side.environment == "package":
            output, arguments = StringIO(), sys.argv
            sys.argv = ["side", *(text for name, value in side.options.items() for text in (f"--{name}", str(value)))]
            try:
                with redirect_stdout(output):
                    importlib.import_module(f"benchmarks.sides.{side.module}").main()
            finally:
                sys.argv = arguments
            self.latest = json.loads(output.getvalue().splitlines()[-1])
        return self.latest


@pytest.fixture
def bench(world, tmp_path):
    return LocalBench(choose(SMALLEST, TINY), tmp_path, world, dict.fromkeys(("package", "base", "rivals"), PYTHON))


@pytest.mark.parametrize("name", CASES)
def test_a_case_yields_its_ratios(bench, monkeypatch, name):
    monkeypatch.chdir(bench.folder)
    rows = list(CASES[name](bench))
    assert len(rows) == RATIOS[name]
    assert all(len(row.values) == 1 and row.median > 0 for row in rows if "less that of" not in row.name)


def test_sides_without_an_environment_are_left_out(bench):
    del bench.pythons["base"], bench.pythons["rivals"]
    rows = list(CASES["transform"](bench))
    assert [row.name for row in rows] == ["transform with two undocumented keys per record, CPU / without"]


def test_other_rows_than_expected_are_an_error(bench, world):
    side = Side("package", "transform", {"world": world, "rows": 2_000, "way": "package"})
    with pytest.raises(SideError, match=r"package handled 2000 rows instead of 4000\."):
        bench.run_rounds("transform", [side], rounds=1, rows=4_000)


def test_a_side_that_fails_shows_its_errors(world, tmp_path):
    bench = Bench(TINY, tmp_path, world, {"package": PYTHON})
    with pytest.raises(SideError, match=r"(?s)unknown failed with 1.*No module named benchmarks.sides.unknown"):
        bench.run(Side("unknown", "unknown", {}))


def test_a_side_runs_in_a_process_with_its_own_package(world, tmp_path):
    bench = Bench(TINY, tmp_path, world, {"package": PYTHON})
    figures = bench.run(Side("package", "transform", {"world": world, "rows": 2_000, "way": "package"}))
    assert figures["rows"] == 2_000


def test_the_sides_take_turns(bench, monkeypatch):
    order = []

    def run(side):
        order.append(side.name)
        return {"cpu": 1.0, "peak_mb": 1.0}

    monkeypatch.setattr(bench, "run", run)
    sides = [Side("a", "x", {}), Side("once", "x", {}, max_rounds=1), Side("b", "x", {})]
    bench.run_rounds("case", sides, rounds=3)
    assert order == ["a", "once", "b", "a", "b", "a", "b"]


def test_a_ratio_has_the_rounds_in_which_both_sides_ran():
    results = Results({"package": [{"cpu": 1.0}, {"cpu": 2.0}, {"cpu": 3.0}], "once": [{"cpu": 4.0}]})
    assert [row.values for row in results.compare("a", "package", "once", "cpu", Limit(1))] == [(0.25,)]
    assert [row.values for row in results.compare_speed("a", "package", "once", Limit(1))] == [(4.0,)]
    assert list(results.compare("a", "package", "missing", "cpu", Limit(1))) == []


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_all_sizes_are_whole_pages_of_the_world(scale):
    sizes = (*scale.pull_rows, *scale.growth_rows, scale.huge_rows, scale.transform_rows, scale.check_rows)
    assert [size % 2_000 for size in sizes] == [0] * len(sizes)


def test_each_ratio_is_a_json_line_with_its_limit(bench, capsys):
    row = Row("package / other, CPU", (0.5, 0.6, 0.7), Limit(0.55))
    print_row(row, FULL)
    assert json.loads(capsys.readouterr().out) == {
        "benchmark": "ratio",
        "name": "package / other, CPU",
        "value": 0.6,
        "unit": "x",
        "limit": "<= 0.55",
        "result": "missed",
        "spread": pytest.approx(1 / 6),
        "is_noisy": False,
        "rounds": 3,
    }


def test_the_report_says_which_ratios_are_too_noisy_to_believe(bench, capsys):
    print_report(bench, [Row("steady", (1.0, 1.0, 1.0), Limit(2)), Row("shaky", (1.0, 2.0, 9.0), Limit(2))])
    assert "too noisy to believe in 1 of 2 ratios" in (errors := capsys.readouterr().err)
    assert errors.rstrip().endswith("shaky.\nThe limits are for the full sizes: `make bench`.")


def test_a_case_that_fails_does_not_stop_the_others(bench, monkeypatch, capsys):
    def fail(_bench):
        raise SideError("out of order")
        yield

    monkeypatch.setitem(CASES, "pull", fail)
    monkeypatch.setitem(CASES, "checks", lambda _bench: iter([Row("steady", (1.0,), Limit(2))]))
    rows: list[Row] = []
    monkeypatch.setattr("benchmarks.__main__.print_versions", lambda _bench: None)
    assert run_cases(bench, ["pull", "checks"], rows) == ["pull"]
    assert [row.name for row in rows] == ["steady"]
    assert "The case pull failed: out of order" in capsys.readouterr().err


def test_a_run_names_the_versions_of_each_environment(world, tmp_path, capsys):
    print_versions(Bench(TINY, tmp_path, world, {"package": PYTHON}))
    line = json.loads(capsys.readouterr().out)
    assert line["scale"] == "tiny"
    assert {"python", "duckdb", "pyarrow", "commit"} <= line["versions"]["package"].keys()


def test_the_commit_of_a_folder_without_git_is_unknown(tmp_path):
    assert read_commit(tmp_path) == "unknown"
