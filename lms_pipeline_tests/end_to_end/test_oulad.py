"""OULAD as seven accounts: from the sandbox over HTTP through Dagster to the lake, against the CSVs."""

from datetime import UTC, datetime, time, timedelta

import pytest
from pydantic import SecretStr

from lms_pipeline import lake
from lms_pipeline.connection import Truto
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.running import open_instance, rebuild_warehouse, run_partitions
from lms_pipeline.lake import warehouse
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.registry import Registry
from lms_pipeline.registry_sync import sync_with_truto
from lms_pipeline.sandbox.records.world import records_world
from lms_pipeline.sandbox.server import running
from lms_pipeline.settings import Settings
from lms_pipeline_tests.end_to_end.oulad_expected import DAYS, expected
from lms_pipeline_tests.end_to_end.oulad_records import OULAD, OULAD_MISSING, write_records

pytestmark = pytest.mark.skipif(not OULAD.is_dir(), reason=OULAD_MISSING)

AT_THE_END = {  # enrollments, completed: Pass + Distinction of the data's README
    "AAA": (748, 531),
    "BBB": (7909, 3754),
    "CCC": (4434, 1678),
    "DDD": (6272, 2610),
    "EEE": (2934, 1650),
    "FFF": (7762, 3648),
    "GGG": (2534, 1514),
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    records = tmp_path_factory.mktemp("oulad") / "records.ndjson"
    write_records(OULAD, records)
    with running(records_world([records])) as server:
        yield server


@pytest.fixture
def pulled(sandbox, tmp_path, monkeypatch):
    """Pulls an account on these days, each at its end, and gives the data directory."""

    def pull(account, days):
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
        for day in days:
            # All of OULAD happens at 00:00 UTC: at the last second of a day nothing of the next one shows yet.
            sandbox.set_clock(datetime.combine(day, time(23, 59, 59), UTC))
            settings = Settings(
                token=SecretStr(sandbox.token),
                base_url=sandbox.url,
                data_dir=tmp_path,
                start_date=DAYS[0],
                account_calls_per_10s=0,  # 66 pages a day would wait
                frozen_now=datetime.combine(day + timedelta(days=1), time(1), UTC),
            )
            sync_with_truto(Truto(settings).connect, Registry(DataDir(tmp_path).registry), settings)
            defs = build_defs(settings)
            with open_instance(settings) as instance:
                assert [run.error for run in run_partitions(defs, instance, [Partition(account, day)])] == [
                    None
                ]
        with open_instance(settings) as instance:
            assert rebuild_warehouse(defs, instance).error is None
        return tmp_path

    return pull


@pytest.mark.parametrize("account", AT_THE_END)
def test_a_module_has_the_figures_of_the_csvs_on_its_days(account, pulled):
    """The smallest on all days; the others on three, since each day is a whole run: they took three minutes."""
    days = DAYS if account == "AAA" else (DAYS[1], DAYS[len(DAYS) // 2], DAYS[-1])
    data_dir = pulled(account, days)
    by_account = _rows(lake.read("account_completion", data_dir=data_dir), "snapshot_date")
    by_course = _rows(lake.read("course_completion", data_dir=data_dir), "snapshot_date", "course_id")
    assert sorted(by_account) == [(day,) for day in days]
    for day in days:
        told = expected(OULAD, day)
        _check(by_account[(day,)], told.accounts[account])
        courses = {course: told for course, told in told.courses.items() if course.startswith(account)}
        assert {course for on, course in by_course if on == day} == set(courses)
        for course, figures in courses.items():
            _check(by_course[day, course], figures)

    enrollments, completed = AT_THE_END[account]
    last = by_account[(DAYS[-1],)]
    assert (last["n_all"], last["n_completed"]) == (enrollments, completed)
    assert last["completion_rate"] == completed / enrollments
    assert lake.read("unified_enrollments", first=DAYS[-1], data_dir=data_dir).num_rows == enrollments
    assert lake.read("rejected_enrollments", data_dir=data_dir).num_rows == 0
    with warehouse.reading(DataDir(data_dir)) as connection:
        rate = connection.sql(
            "SELECT completion_rate FROM account_completion ORDER BY snapshot_date DESC LIMIT 1"
        )
        assert rate.fetchall() == [(completed / enrollments,)]


def test_the_modules_hold_every_enrollment_of_the_data():
    assert sum(enrollments for enrollments, _ in AT_THE_END.values()) == 32_593


def _rows(table, *key):
    return {tuple(row[name] for name in key): row for row in table.to_pylist()}


def _check(row, figures):
    assert {name: row[name] for name in figures} == {
        name: value if value is None else pytest.approx(value, rel=1e-12) for name, value in figures.items()
    }
