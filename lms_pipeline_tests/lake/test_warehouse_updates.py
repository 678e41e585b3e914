"""Builds that update the latest one: they end with what a full build has, and open only what changed."""

import os
import shutil
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_pipeline.lake.paths import DataDir, DayPartition, Partition
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.pulled import LEARNERS, RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.lake_files import (
    FIRST,
    PROVENANCE,
    SECOND,
    THIRD,
    enrollment,
    publish,
    publish_all_accounts,
    write,
)
from lms_pipeline_tests.support.old_duckdb import needs_old_duckdb, read_warehouse
from lms_pipeline_tests.support.parquet_damage import damage_pages, truncate, write_newer
from lms_pipeline_tests.support.warehouse_builds import (
    age_files,
    build_in_full,
    leaving_out_comments,
    read_content,
    read_record,
    update,
)

KEPT = [RAW_ENROLLMENTS, LEARNERS, UNIFIED_ENROLLMENTS, COURSE_COMPLETION, ACCOUNT_COMPLETION, LEARNER_COMPLETION]
DAYS = [FIRST, SECOND, THIRD]
ACCOUNTS = ("acme", "beta", "delta", "gamma")


def publish_day(data, account, day, figure):
    """Publish an account's day with a figure of its own in each metric table."""
    publish(data, account, day, {"payload": f"[{figure}]"}, table=RAW_ENROLLMENTS)
    publish(data, account, day, {"user_id": "u1", "name": f"name {figure}"}, table=LEARNERS)
    publish(data, account, day, enrollment("u1", course_title=f"title {figure}"))
    publish(data, account, day, {"course_id": "c1", "n_all": figure}, table=COURSE_COMPLETION)
    publish(data, account, day, {"n_all": figure}, table=ACCOUNT_COMPLETION)
    publish(data, account, day, {"user_id": "u1", "n_all": figure}, table=LEARNER_COMPLETION)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Four accounts with two days each, and the portfolio of both. Read-only: tests change a copy."""
    data = DataDir(tmp_path_factory.mktemp("four accounts"))
    for number, account in enumerate(ACCOUNTS):
        for day in (FIRST, SECOND):
            publish_day(data, account, day, 10 * number + day.day)
    for day in (FIRST, SECOND):
        publish_all_accounts(data, day, {"accounts": 4, "n_all": 60 + 4 * day.day})
    age_files(data)
    return data.lake


@pytest.fixture(scope="class")
def without_comments():
    """For rows after more than one update: `test_an_update_has_what_a_full_build_has` compares comments after each step."""
    with leaving_out_comments():
        yield


def copy_lake(lake, root):
    """Return a data directory with a copy of the lake, and a warehouse."""
    data = DataDir(root)
    shutil.copytree(lake, data.lake)
    build_warehouse(data)
    return data


@pytest.fixture
def data(lake, tmp_path):
    return copy_lake(lake, tmp_path)


def change(data, path, operation):
    """Apply an operation to a file that is there."""
    if path.exists():
        operation(path)


def lacking_columns(path):
    """Write it as an older version did, without most columns, under another name first, as a run does."""
    new = path.with_name("new")
    kept = pq.read_table(path).select([0, 1]) if path.parts[-4] == "learners" else pq.read_table(path)
    pq.write_table(kept.drop_columns(kept.column_names[-1:]).replace_schema_metadata(None), new)
    new.replace(path)


def write_of_other_run(path):
    """Write it as a run that died before its commit mark."""
    write(path, RAW_ENROLLMENTS, {"payload": "{}"}, metadata={**PROVENANCE, "run_id": "run-2"})


def remove_account(data, account):
    for table in TABLES:
        shutil.rmtree(data.lake / table / f"account_id={account}", ignore_errors=True)


def remove_day(data, account, day):
    for table in TABLES.values():
        data.file(table, Partition(account, day)).unlink(missing_ok=True)


def on_file(table, operation):
    return lambda data, account, day: change(data, data.file(table, Partition(account, day)), operation)


def on_portfolio(operation):
    return lambda data, _, day: change(data, data.file(PORTFOLIO_COMPLETION, DayPartition(day)), operation)


STEPS = {
    "another day": lambda data, account, day: publish_day(data, account, day + timedelta(days=9), 91),
    "a day published again": lambda data, account, day: publish_day(data, account, day, 92),
    "metrics published again": lambda data, account, day: publish(
        data, account, day, {"n_all": 93}, {"user_id": "u2"}, table=LEARNER_COMPLETION
    ),
    "a new account": lambda data, account, day: publish_day(data, f"{account}-new", day, 94),
    "a table without rows": lambda data, account, day: publish(data, account, day, table=COURSE_COMPLETION),
    "a removed account": lambda data, account, _: remove_account(data, account),
    "a removed day": remove_day,
    "a removed file": on_file(COURSE_COMPLETION, Path.unlink),
    "a removed commit mark": on_file(UNIFIED_ENROLLMENTS, Path.unlink),
    "a damaged metric": on_file(LEARNER_COMPLETION, truncate),
    "damaged pages of a metric": on_file(ACCOUNT_COMPLETION, damage_pages),
    "a damaged commit mark": on_file(UNIFIED_ENROLLMENTS, truncate),
    "a damaged list": on_file(LEARNERS, truncate),
    "an older list": on_file(LEARNERS, lacking_columns),
    "an older metric": on_file(COURSE_COMPLETION, lacking_columns),
    "a newer metric": on_file(ACCOUNT_COMPLETION, write_newer),
    "another day of the portfolio": lambda data, _, day: publish_all_accounts(
        data, day + timedelta(days=9), {"n_all": 96}
    ),
    "the portfolio published again": lambda data, _, day: publish_all_accounts(data, day, {"n_all": 97}),
    "a removed portfolio": on_portfolio(Path.unlink),
    "a damaged portfolio": on_portfolio(truncate),
    "damaged pages of the portfolio": on_portfolio(damage_pages),
    "an older portfolio": on_portfolio(lacking_columns),
    "raw records of another run": on_file(RAW_ENROLLMENTS, write_of_other_run),
}


def group_steps() -> list[dict[str, str]]:
    """Return groups of steps, by account: steps on the portfolio, which follow each other, are in different groups.

    A removed account is in the smallest one: if more than half of the days have changed, all are read again.
    """
    names = list(STEPS)
    size = -(-len(names) // len(ACCOUNTS))
    rows = [names[start::size] for start in range(size)]
    return [dict(zip(ACCOUNTS, row, strict=False)) for row in rows]


in_groups = pytest.mark.parametrize("steps", group_steps(), ids=lambda steps: ", ".join(steps.values()))


@in_groups
def test_an_update_has_what_a_full_build_has(data, steps):
    for account, step in steps.items():
        STEPS[step](data, account, SECOND)
    built = update(data)
    assert read_record(data).updates == 1
    assert (built, read_content(data)) == build_in_full(data)


REPAIRED = choose((0, 3, 4, 5), range(6))
"""The groups of steps that are repaired: by default those with each kind of damage and of removal, and a new account."""


@pytest.mark.usefixtures("without_comments")
@pytest.mark.parametrize(
    "steps", [group_steps()[number] for number in REPAIRED], ids=lambda steps: ", ".join(steps.values())
)
def test_an_update_after_a_repair_of_an_earlier_day_has_what_a_full_build_has(data, steps):
    for account, step in steps.items():
        STEPS[step](data, account, FIRST)
    update(data)
    for account in steps:
        publish_day(data, account, FIRST, 95)
    built = update(data)
    assert read_record(data).updates == 2
    assert (built, read_content(data)) == build_in_full(data)


@pytest.mark.usefixtures("without_comments")
@settings(max_examples=choose(2, 8), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(list(STEPS)), st.sampled_from(ACCOUNTS), st.sampled_from(DAYS)),
        min_size=2,
        max_size=7,
    )
)
def test_any_sequence_of_updates_has_what_a_full_build_has(lake: Path, steps: list[tuple[str, str, date]]):
    with TemporaryDirectory() as folder:
        data = copy_lake(lake, Path(folder))
        for step, account, day in steps:
            STEPS[step](data, account, day)
            built = update(data)
        assert (built, read_content(data)) == build_in_full(data)


@pytest.mark.usefixtures("without_comments")
def test_an_account_has_its_earlier_day_again_when_the_latest_is_removed(data):
    for table in TABLES.values():
        data.file(table, Partition("beta", SECOND)).unlink(missing_ok=True)
    update(data)
    learners = {row[:2] for row in read_content(data)["learner_completion"][2]}
    assert learners == {("acme", SECOND), ("beta", FIRST), ("delta", SECOND), ("gamma", SECOND)}


@pytest.mark.usefixtures("without_comments")
def test_an_update_opens_only_the_files_of_the_days_that_changed(data):
    """The other files hold nothing that can be read, and look as before."""
    before = list_figures(data)
    for path in data.lake.rglob("data.parquet"):
        status = path.stat()
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    for account in ACCOUNTS:
        publish_day(data, account, THIRD, 33)
    built = update(data)
    assert built.left_out == []
    expected = {"course_completion": 12, "account_completion": 12, "learner_completion": 4, "portfolio_completion": 2}
    assert {table: count for table, count in built.rows.items() if count} == expected
    new = [(account, THIRD, 33) for account in ACCOUNTS]
    assert list_figures(data) == sorted(before + new)


@pytest.mark.usefixtures("without_comments")
def test_a_file_of_the_same_size_and_time_is_another_file(data):
    path = data.file(ACCOUNT_COMPLETION, Partition("acme", FIRST))
    before = path.stat()
    publish(data, "acme", FIRST, {"n_all": 77}, table=ACCOUNT_COMPLETION)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    build_warehouse(data)
    assert (read_record(data).updates, list_figures(data)[0]) == (1, ("acme", FIRST, 77))


@pytest.mark.usefixtures("without_comments")
def test_a_file_that_is_overwritten_within_a_tick_of_the_clock_is_read_again(data):
    publish(data, "acme", FIRST, {"n_all": 77}, table=ACCOUNT_COMPLETION)
    path = data.file(ACCOUNT_COMPLETION, Partition("acme", FIRST))
    before = path.stat()
    build_warehouse(data)
    other = publish(data, "other", FIRST, {"n_all": 78}, table=ACCOUNT_COMPLETION).path
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_ino) == (before.st_size, before.st_ino)
    build_warehouse(data)
    assert (read_record(data).updates, list_figures(data)[0]) == (2, ("acme", FIRST, 78))


def list_figures(data):
    """Return account, day and figure of each row of `account_completion`."""
    with open_warehouse(data) as connection:
        return (
            connection.table("account_completion")
            .select("account_id", "snapshot_date", "n_all")
            .order("ALL")
            .fetchall()
        )


@needs_old_duckdb
def test_an_old_duckdb_reads_an_updated_file(data):
    remove_day(data, "beta", FIRST)
    publish_day(data, "acme", THIRD, 33)
    update(data)
    publish_day(data, "gamma", SECOND, 44)
    publish_day(data, "gamma", THIRD, 45)
    update(data)
    assert read_record(data).updates == 2
    found = read_warehouse(data)
    assert found["account_completion"] == (9, 4, "2026-03-01", "2026-03-03")
    assert found["learner_completion"] == (4, 4, "2026-03-02", "2026-03-03")
    assert found["unified_enrollments"] == (9, 4, "2026-03-01", "2026-03-03")
