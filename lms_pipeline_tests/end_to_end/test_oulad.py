"""OULAD as seven accounts: from the sandbox over HTTP through Dagster to the lake, against the CSVs."""

from datetime import UTC, datetime, time, timedelta

import pytest
from pydantic import SecretStr

from lms_pipeline import lake
from lms_pipeline.accounts.registry import Registry
from lms_pipeline.accounts.sync import sync_with_truto
from lms_pipeline.connection import Truto
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import open_instance, rebuild_warehouse, run_partitions
from lms_pipeline.lake import warehouse
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox import records_world, running
from lms_pipeline.settings import Settings
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.oulad_expected import DAYS, compute_expected
from lms_pipeline_tests.support.oulad_records import OULAD, OULAD_MISSING

pytestmark = pytest.mark.skipif(not OULAD.is_dir(), reason=OULAD_MISSING)

AT_THE_END = {  # enrollments and completions (Pass + Distinction), from the data's README
    "AAA": (748, 531),
    "BBB": (7909, 3754),
    "CCC": (4434, 1678),
    "DDD": (6272, 2610),
    "EEE": (2934, 1650),
    "FFF": (7762, 3648),
    "GGG": (2534, 1514),
}
MODULES = choose(("AAA", "EEE", "GGG"), tuple(AT_THE_END))
"""The accounts that are pulled."""
SMALLEST, ITS_DAYS = "AAA", choose((DAYS[0], DAYS[3], DAYS[-1]), DAYS)
"""Before its first start, in the middle of its first presentation, and after the end of the last one."""


@pytest.fixture(scope="module")
def sandbox(oulad_records, tmp_path_factory):
    """Serve the records of the modules that are pulled."""
    served = tmp_path_factory.mktemp("served") / "records.ndjson"
    accounts = tuple(f'{{"account":"{module}",'.encode() for module in MODULES)
    with oulad_records.open("rb") as source, served.open("wb") as target:
        target.writelines(line for line in source if line.startswith(accounts))
    with running(records_world([served])) as server:
        yield server


def choose_days(account):
    """Return several days for the smallest module, the last one for the others, since each day is a whole run.

    `metrics/test_oulad.py` compares all modules on more days, without a pull.
    """
    return ITS_DAYS if account == SMALLEST else DAYS[-1:]


@pytest.fixture(scope="module")
def data_dir(sandbox, tmp_path_factory, make_home):
    """Pull each module at the end of its days, and build the warehouse. Read-only."""
    folder = tmp_path_factory.mktemp("modules")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DAGSTER_HOME", str(folder / "dagster"))
        make_home(folder / "dagster")
        with open_instance(Settings()) as instance:
            for day in ITS_DAYS:
                settings = _freeze_at_end(day, sandbox, folder)
                sync_with_truto(Truto(settings).connect, Registry.open(settings), settings)
                partitions = [Partition(account, day) for account in MODULES if day in choose_days(account)]
                runs = run_partitions(build_defs(settings), instance, partitions)
                assert [run.error for run in runs] == [None] * len(partitions)
            assert rebuild_warehouse(build_defs(settings), instance).error is None
    return folder


def _freeze_at_end(day, sandbox, folder):
    """Set both clocks for a pull of `day`. OULAD's events are at 00:00 UTC, so its last second shows no later one."""
    sandbox.set_clock(datetime.combine(day, time(23, 59, 59), UTC))
    return Settings(
        token=SecretStr(sandbox.token),
        base_url=sandbox.url,
        data_dir=folder,
        start_date=DAYS[0],
        account_calls_per_10s=0,  # 66 pages a day would wait for the rate limit
        frozen_now=datetime.combine(day + timedelta(days=1), time(1), UTC),
    )


@pytest.fixture
def read_module(data_dir):
    """Return a function that reads a table of one module."""
    return lambda table, account: lake.read(table, accounts=[account], data_dir=data_dir)


@pytest.mark.parametrize("account", MODULES)
def test_a_module_has_the_figures_of_the_csvs_on_its_days(account, read_module):
    by_account = _index_rows(read_module("account_completion", account), "snapshot_date")
    by_course = _index_rows(read_module("course_completion", account), "snapshot_date", "course_id")
    assert sorted(by_account) == [(day,) for day in choose_days(account)]
    for day in choose_days(account):
        expected = compute_expected(OULAD, day)
        _check_figures(by_account[(day,)], expected.accounts[account])
        courses = {name: row for name, row in expected.courses.items() if name.startswith(account)}
        assert {course for on, course in by_course if on == day} == set(courses)
        for course, figures in courses.items():
            _check_figures(by_course[day, course], figures)


@pytest.mark.parametrize("account", MODULES)
def test_a_module_ends_with_the_completions_of_the_datas_readme(account, data_dir, read_module):
    enrollments, completed = AT_THE_END[account]
    last = _index_rows(read_module("account_completion", account), "snapshot_date")[(DAYS[-1],)]
    assert (last["n_all"], last["n_completed"]) == (enrollments, completed)
    assert last["completion_rate"] == completed / enrollments
    rows = lake.read("unified_enrollments", accounts=[account], first=DAYS[-1], data_dir=data_dir)
    assert rows.num_rows == enrollments
    assert read_module("rejected_enrollments", account).num_rows == 0


def test_the_warehouse_has_the_same_figures(data_dir):
    with warehouse.open_warehouse(DataDir(data_dir)) as connection:
        rates = connection.execute(
            "SELECT account_id, n_all, n_completed, completion_rate FROM account_completion WHERE snapshot_date = $last",
            {"last": DAYS[-1]},
        )
        assert sorted(rates.fetchall()) == [
            (account, enrollments, completed, completed / enrollments)
            for account, (enrollments, completed) in AT_THE_END.items()
            if account in MODULES
        ]


def test_the_modules_hold_every_enrollment_of_the_data():
    assert sum(enrollments for enrollments, _ in AT_THE_END.values()) == 32_593


def _index_rows(table, *key):
    return {tuple(row[name] for name in key): row for row in table.to_pylist()}


def _check_figures(row, figures):
    assert {name: row[name] for name in figures} == {
        name: value if value is None else pytest.approx(value, rel=1e-12) for name, value in figures.items()
    }
