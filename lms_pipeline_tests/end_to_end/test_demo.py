"""The demo as a new user runs it, in its own process, and the state it leaves."""

import os
import re
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from click.testing import CliRunner

from lms_pipeline import lake
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.cli import lms_pipeline
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.sandbox import DEFAULT_TOKEN
from lms_pipeline.tables.catalog import LATEST_DAY_TABLES, TABLES, VIEWS
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.old_duckdb import needs_old_duckdb, read_warehouse

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("lms-pipeline")
DAYS = [date(2026, 6, 29), date(2026, 6, 30)]


def build_environment(**changes):
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**inherited, "LMS_NOW": "2026-07-01T03:00:00Z", **changes}


def run_shell(line, cwd, **changes):
    return subprocess.run(
        ["bash", "-c", line],
        cwd=cwd,
        env=build_environment(**changes),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(folder):
    done = run_shell(f"{shlex.quote(str(COMMAND))} demo --days 2", folder)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def data(demo, folder):
    return folder / "data"


def test_it_ends_with_completion_rates_of_several_accounts_and_days(demo):
    table = demo.stdout.split("Completion rate")[1]
    rates = {line.split()[0]: line.split()[2:] for line in table.splitlines() if "%" in line}
    assert set(rates) == {*("lumen-academy", "harbour-freight-lines", "meridian-health-group"), "olive-grove-foods"}
    assert all(len(row) == 2 and all(re.fullmatch(r"\d+\.\d%", rate) for rate in row) for row in rates.values())


def test_it_names_the_account_that_needs_a_new_connection(demo):
    assert (
        "quarry-and-sons is skipped because its status is needs_reauth: ask its owner to connect it again in Truto."
        in demo.stdout
    )


def test_it_ends_with_the_path_of_the_report(demo, data):
    path = data / "reports" / "completion-2026-06-30.html"
    assert demo.stdout.splitlines()[-1].strip() == str(path)
    assert "<h1><bdi>All accounts</bdi></h1>" in path.read_text(encoding="utf-8")


def test_every_suggested_command_works_as_printed(demo, folder):
    steps = [line.strip() for line in demo.stdout.split("What to try next:")[1].splitlines() if line.startswith("    ")]
    ui, *queries = steps
    assert ui.endswith("ui")
    assert len(queries) == 3
    for step in queries:
        done = run_shell(step, folder)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.strip()


def test_each_day_has_its_state_at_that_time(data):
    rows = lake.read("unified_enrollments", data_dir=data)
    days = rows.group_by("snapshot_date").aggregate([("enrolled_at", "max"), ("fetched_at", "max")])
    seen = {row["snapshot_date"]: row for row in days.to_pylist()}
    assert sorted(seen) == DAYS
    for day in DAYS:
        assert (seen[day]["fetched_at_max"].date() - day).days == 1
        assert seen[day]["enrolled_at_max"] <= seen[day]["fetched_at_max"]


def test_its_runs_are_in_dagsters_run_log(data):
    with dg.DagsterInstance.from_config(str(data / "dagster")) as instance:
        runs = instance.get_runs()
        assert sorted(run.job_name for run in runs) == ["daily_snapshot"] * 8 + ["rebuild_warehouse"]
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
        assert len(instance.get_materialized_partitions(dg.AssetKey("account_completion"))) == 8


def test_the_token_is_neither_in_the_data_directory_nor_in_the_output(demo, data):
    token = DEFAULT_TOKEN.encode()
    files = [path for path in data.rglob("*") if path.is_file()]
    assert [path for path in files if token in path.read_bytes()] == []
    for path in (path for path in files if path.suffix == ".parquet"):
        holding = duckdb.execute(
            "SELECT count(*) FROM read_parquet($path) AS row WHERE contains(to_json(row), $token)",
            {"path": str(path), "token": DEFAULT_TOKEN},
        )
        assert holding.fetchall() == [(0,)]
    assert DEFAULT_TOKEN not in demo.stdout + demo.stderr


def test_no_e_mail_or_name_is_in_the_output_or_in_dagsters_log(demo, data):
    learners = lake.read("learners", data_dir=data)
    values = [
        value for name in ("user_name", "user_email") for value in learners.column(name).to_pylist()[:200] if value
    ]
    assert len(values) > 300
    logs = b"".join(path.read_bytes() for path in (data / "dagster").rglob("*") if path.is_file())
    output = demo.stdout + demo.stderr + logs.decode("utf-8", errors="ignore")
    assert [value for value in values if value in output] == []


@pytest.mark.parametrize("index", range(5))
def test_the_readmes_snippets_run_as_written(index, folder, data):
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) == 5
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", snippets[index]],
        cwd=folder,
        env=build_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


@needs_old_duckdb
def test_an_old_duckdb_reads_every_table_and_view_of_the_warehouse(data):
    tables = read_warehouse(DataDir(data))
    assert set(tables) == {*TABLES, *VIEWS}
    latest = {table.name for table in LATEST_DAY_TABLES}
    for name, (rows, accounts, first, last) in tables.items():
        days = ["2026-06-30" if name in latest else "2026-06-29", "2026-06-30"]
        if rows or name != "rejected_enrollments":
            assert [accounts, first, last] == [0 if name == "portfolio_completion" else 4, *days], name
    assert tables["portfolio_completion"][0] == 2
    assert tables["account_completion"][0] == 2 * 4
    assert tables["unified_enrollments"][0] == len(lake.read("unified_enrollments", data_dir=data))


PULLED_AGAIN = choose("lumen-academy", None)
"""The account that the second demo pulls; `None` is all of them."""


@pytest.fixture
def second_demo(demo, folder, data, monkeypatch):
    """Run the last day's demo over the first one, in this process, and return the digests and runs before and after it."""
    find_active = Registry.read_active
    monkeypatch.setattr(
        Registry,
        "read_active",
        lambda registry: [one for one in find_active(registry) if PULLED_AGAIN in {None, one.name}],
    )
    monkeypatch.chdir(folder)
    before = read_files(data)
    unset = {name: None for name in os.environ if name.startswith(("LMS_", "TRUTO_", "DAGSTER_"))}
    done = CliRunner().invoke(lms_pipeline, ["demo", "--days", "1"], env=unset | build_environment())
    assert done.exit_code == 0, done.output
    return before, read_files(data)


def read_files(data):
    """Return digest and run of each published file."""
    metadata = {path: read_metadata(path) for path in sorted((data / "lake").rglob("data.parquet"))}
    return {path: (of_file["digest"], of_file["run_id"]) for path, of_file in metadata.items()}


def test_a_second_demo_over_it_gives_the_same_digests(second_demo):
    before, after = second_demo
    assert {path: digest for path, (digest, _) in after.items()} == {
        path: digest for path, (digest, _) in before.items()
    }
    pulled = {path.parents[1].name for path in before if after[path] != before[path]}
    assert len({name for name in pulled if name.startswith("account_id=")}) == (4 if PULLED_AGAIN is None else 1)
