"""The view `completion_trend`: what a row is compared with, worked by hand; the same from `lake.read` and the warehouse."""

import shutil
from datetime import date, timedelta

import pytest

from lms_pipeline import lake
from lms_pipeline.errors import LakeError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse
from lms_pipeline.tables.measures import RATES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION
from lms_pipeline.tables.over_time import COMPLETION_TREND
from lms_pipeline.tables.schema import arrow_schema
from lms_pipeline_tests.support.lake_files import publish, publish_all_accounts
from lms_pipeline_tests.support.old_duckdb import needs_old_duckdb, read_warehouse
from lms_pipeline_tests.support.parquet_damage import change_value, damage_pages
from lms_pipeline_tests.support.warehouse_builds import leaving_out_comments

MARCH = [date(2026, 3, 1) + timedelta(days=number) for number in range(31)]
"""The days of a month: `MARCH[0]` is the first."""


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


@pytest.fixture(scope="class")
def without_comments():
    with leaving_out_comments():
        yield


def publish_accounts(data, *days, account="acme", **figures):
    for day in days:
        publish(data, account, day, figures, table=ACCOUNT_COMPLETION)


def read_trend(data, scope="account", **selected):
    rows = lake.read("completion_trend", data_dir=data.root, **selected).to_pylist()
    return {row["snapshot_date"]: row for row in rows if row["scope"] == scope}


EARLIER = {
    "nothing": ([], None, None),
    "7 days earlier": ([MARCH[23]], MARCH[23], None),
    "6 days earlier": ([MARCH[24]], None, None),
    "8 days earlier": ([MARCH[22]], MARCH[22], None),
    "10 days earlier": ([MARCH[20]], MARCH[20], None),
    "11 days earlier": ([MARCH[19]], None, None),
    "the latest of two": ([MARCH[20], MARCH[21]], MARCH[21], None),
    "that very day of three": ([MARCH[21], MARCH[23], MARCH[24]], MARCH[23], None),
    "28 days earlier": ([MARCH[2]], None, MARCH[2]),
    "29 and 27 days earlier": ([MARCH[1], MARCH[3]], None, MARCH[1]),
    "31 days earlier": ([date(2026, 2, 28)], None, date(2026, 2, 28)),
    "32 days earlier": ([date(2026, 2, 27)], None, None),
}
"""The days of an account before 31 March, and those with which it is compared: 24 and 3 March, or up to 3 days before them."""
RECONSTRUCTED = [(0, 0, False), (None, 0, False), (3, 0, True), (0, 3, True), (3, 5, False)]
"""How many rows of 1 and 8 March are reconstructed, and whether they can't be compared."""


def name_account(*case):
    return "-".join(map(str, case)).replace(" ", "-")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The rows of an account for each case, by account and day: one query for all. Read-only."""
    data = DataDir(tmp_path_factory.mktemp("cases"))
    for case, (earlier, *_) in EARLIER.items():
        publish_accounts(data, *earlier, MARCH[30], account=name_account(case), n_all=1)
    for rate in RATES:
        for day, figure in ((MARCH[2], 0.25), (MARCH[23], 0.5), (MARCH[30], 1.0)):
            publish_accounts(data, day, account=name_account(rate.name), **{rate.name: figure})
    for before, after, _ in RECONSTRUCTED:
        account = name_account(before, after)
        publish_accounts(data, MARCH[0], account=account, n_all=5, rows_reconstructed=before)
        publish_accounts(data, MARCH[7], account=account, n_all=9, rows_reconstructed=after)
    found = lake.read("completion_trend", data_dir=data.root).to_pylist()
    return {(row["account_id"], row["snapshot_date"]): row for row in found}


@pytest.mark.parametrize("case", EARLIER)
def test_a_day_is_compared_with_that_very_day_or_the_latest_of_the_3_before_it(rows, case):
    _, compared_7d, compared_28d = EARLIER[case]
    row = rows[name_account(case), MARCH[30]]
    assert (row["compared_7d"], row["compared_28d"]) == (compared_7d, compared_28d)


def test_a_change_is_the_figure_minus_that_of_the_compared_day(data):
    publish_accounts(data, MARCH[0], n_all=8, n_completed=2, completion_rate=0.25, start_rate=0.5)
    publish_accounts(data, MARCH[21], n_all=16, n_completed=8, completion_rate=0.5, start_rate=0.25)
    publish_accounts(data, MARCH[28], n_all=16, n_completed=12, completion_rate=0.75, start_rate=0.125)
    row = read_trend(data)[MARCH[28]]
    assert (row["n_all"], row["n_completed"], row["completion_rate"]) == (16, 12, 0.75)
    assert (row["n_all_change_7d"], row["n_completed_change_7d"], row["completion_rate_change_7d"]) == (0, 4, 0.25)
    assert (row["n_all_change_28d"], row["n_completed_change_28d"], row["completion_rate_change_28d"]) == (8, 10, 0.5)
    assert (row["start_rate_change_7d"], row["start_rate_change_28d"]) == (-0.125, -0.375)


@pytest.mark.parametrize("rate", [rate.name for rate in RATES])
def test_each_rate_has_its_own_changes(rows, rate):
    row = rows[name_account(rate), MARCH[30]]
    assert {name: figure for name, figure in row.items() if "_rate" in name and figure is not None} == {
        rate: 1.0,
        f"{rate}_change_7d": 0.5,
        f"{rate}_change_28d": 0.75,
    }


def test_without_a_rate_on_one_of_the_days_only_the_counts_have_a_change(data):
    publish_accounts(data, MARCH[0], n_all=0, n_completed=0, completion_rate=None)
    publish_accounts(data, MARCH[7], n_all=2, n_completed=1, completion_rate=0.5)
    row = read_trend(data)[MARCH[7]]
    assert (row["n_all_change_7d"], row["completion_rate_change_7d"], row["is_break"]) == (2, None, False)


def test_a_gap_is_the_days_since_the_row_before(data):
    publish_accounts(data, MARCH[0], MARCH[1], MARCH[5], n_all=1)
    found = {day.day: (row["previous_date"], row["gap_days"]) for day, row in read_trend(data).items()}
    assert found == {1: (None, None), 2: (MARCH[0], 1), 6: (MARCH[1], 4)}


@pytest.mark.parametrize(("before", "after", "is_break"), RECONSTRUCTED)
def test_a_reconstructed_day_is_compared_with_reconstructed_days_only(rows, before, after, is_break):
    row = rows[name_account(before, after), MARCH[7]]
    assert (row["compared_7d"], row["is_break"]) == (MARCH[0], is_break)
    assert row["n_all_change_7d"] == (None if is_break else 4)


class TestCourses:
    def test_are_compared_with_themselves_in_the_same_account(self, data):
        for account, day, course, completed in [
            ("acme", MARCH[0], "c1", 1),
            ("acme", MARCH[0], "c2", 20),
            ("beta", MARCH[0], "c1", 300),
            ("acme", MARCH[7], "c1", 5),
        ]:
            row = {"course_id": course, "course_title": f"{course} of {account}", "n_completed": completed}
            rows = lake.read("course_completion", [account], day, day, data_dir=data.root).to_pylist()
            known = [{name: one[name] for name in row} for one in rows]
            publish(data, account, day, *known, row, table=COURSE_COMPLETION)
        row = read_trend(data, "course", accounts=["acme"])[MARCH[7]]
        assert (row["course_id"], row["course_title"]) == ("c1", "c1 of acme")
        assert (row["compared_7d"], row["n_completed_change_7d"]) == (MARCH[0], 4)

    def test_are_not_compared_with_a_day_on_which_they_had_no_enrollment(self, data):
        publish(data, "acme", MARCH[0], {"course_id": "old", "n_all": 1}, table=COURSE_COMPLETION)
        publish(data, "acme", MARCH[7], {"course_id": "new", "n_all": 1}, table=COURSE_COMPLETION)
        row = read_trend(data, "course")[MARCH[7]]
        assert (row["previous_date"], row["compared_7d"], row["n_all_change_7d"]) == (None, None, None)


class TestPortfolio:
    @pytest.mark.parametrize(
        ("before", "after", "change"),
        [
            (["acme", "beta"], ["acme", "beta"], 10),
            (["acme", "beta"], ["acme"], None),
            (["acme"], ["acme", "beta"], None),
            (["acme", "beta"], ["acme", "gamma"], None),
        ],
    )
    def test_is_compared_where_the_accounts_are_the_same(self, data, before, after, change):
        for day, accounts, total in ((MARCH[0], before, 40), (MARCH[7], after, 50)):
            for account in accounts:
                publish_accounts(data, day, account=account, n_all=1)
            publish_all_accounts(data, day, {"accounts": len(accounts), "n_all": total})
        row = read_trend(data, "portfolio")[MARCH[7]]
        assert (row["account_id"], row["n_all"], row["compared_7d"]) == (None, 50, MARCH[0])
        assert (row["n_all_change_7d"], row["is_break"]) == (change, False)

    def test_is_not_compared_if_an_account_of_its_day_is_not_in_it(self, data):
        """Both accounts have both days; the second portfolio was computed before `beta` published."""
        for day, accounts in ((MARCH[0], 2), (MARCH[7], 1)):
            for account in ("acme", "beta"):
                publish_accounts(data, day, account=account, n_all=100)
            publish_all_accounts(data, day, {"accounts": accounts, "n_all": 100 * accounts})
        row = read_trend(data, "portfolio")[MARCH[7]]
        assert (row["compared_7d"], row["n_all_change_7d"]) == (MARCH[0], None)

    def test_is_compared_where_the_same_accounts_are_reconstructed(self, data):
        for day, reconstructed in ((MARCH[0], (5, 0)), (MARCH[7], (0, 5)), (MARCH[14], (0, 6))):
            for account, rows in zip(("acme", "beta"), reconstructed, strict=True):
                publish_accounts(data, day, account=account, rows_reconstructed=rows)
            of_both = {"accounts": 2, "n_all": day.day, "rows_reconstructed": sum(reconstructed)}
            publish_all_accounts(data, day, of_both)
        rows = read_trend(data, "portfolio")
        assert (rows[MARCH[7]]["n_all_change_7d"], rows[MARCH[7]]["is_break"]) == (None, True)
        assert (rows[MARCH[14]]["n_all_change_7d"], rows[MARCH[14]]["is_break"]) == (7, False)


def fill(data):
    """Publish two accounts with a course and the portfolio on three days, a week apart."""
    for week in range(3):
        day = MARCH[7 * week]
        for account, figure in (("acme", 1), ("beta", 100)):
            publish_accounts(data, day, account=account, n_all=figure * (week + 1), completion_rate=week / 4)
            publish(data, account, day, {"course_id": "c1", "n_all": figure + week}, table=COURSE_COMPLETION)
        publish_all_accounts(data, day, {"accounts": 2, "n_all": 101 * (week + 1)})
    return data


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A filled lake, read-only."""
    return fill(DataDir(tmp_path_factory.mktemp("shared")))


class TestReading:
    @pytest.fixture
    def filled(self, shared, tmp_path):
        """A copy for a test that changes it."""
        return DataDir(shutil.copytree(shared.root, tmp_path, dirs_exist_ok=True))

    def test_has_the_columns_of_the_table_with_and_without_rows(self, data):
        empty = lake.read("completion_trend", data_dir=data.root)
        assert (empty.num_rows, empty.schema.names) == (0, COMPLETION_TREND.column_names)
        assert empty.schema.types == arrow_schema(COMPLETION_TREND).types

    def test_compares_with_days_before_the_first_one(self, shared):
        rows = read_trend(shared, accounts=["beta"], first=MARCH[14])
        assert [(day, row["n_all_change_7d"]) for day, row in rows.items()] == [(MARCH[14], 100)]

    def test_ends_with_the_last_day(self, shared):
        assert max(read_trend(shared, last=MARCH[13])) == MARCH[7]

    def test_of_chosen_accounts_leaves_the_portfolio_out(self, shared):
        rows = lake.read("completion_trend", ["acme"], data_dir=shared.root)
        assert set(rows["scope"].to_pylist()) == {"account", "course"}
        assert set(rows["account_id"].to_pylist()) == {"acme"}

    def test_gives_a_frame(self, shared):
        frame = lake.frame("completion_trend", data_dir=shared.root)
        assert str(frame.dtypes["n_all_change_7d"]) == "int64[pyarrow]"

    @pytest.mark.usefixtures("without_comments")
    def test_gives_the_same_as_the_view_of_the_warehouse(self, filled):
        build_warehouse(filled)
        rows = lake.read("completion_trend", data_dir=filled.root)
        assert rows.num_rows == 15
        with open_warehouse(filled) as connection:
            view = connection.table("completion_trend").order("scope, account_id, course_id, snapshot_date")
            assert view.to_arrow_table().to_pylist() == rows.to_pylist()

    def test_names_a_damaged_file(self, filled):
        path = filled.file(ACCOUNT_COMPLETION, Partition("acme", MARCH[7]))
        damage_pages(path)
        with pytest.raises(LakeError, match=f"{path} is damaged"):
            lake.read("completion_trend", data_dir=filled.root)

    def test_refuses_a_file_with_a_changed_value(self, filled):
        path = filled.file(ACCOUNT_COMPLETION, Partition("acme", MARCH[7]))
        change_value(path, "n_all")
        with pytest.raises(LakeError, match=f"{path} is damaged"):
            lake.read("completion_trend", data_dir=filled.root)


class TestWarehouse:
    def test_has_the_view_with_its_meaning_without_any_file(self, data):
        build_warehouse(data)
        with open_warehouse(data) as connection:
            view = connection.table("completion_trend")
            assert (view.columns, len(view)) == (COMPLETION_TREND.column_names, 0)
            found = connection.sql("SELECT comment FROM duckdb_views() WHERE view_name = 'completion_trend'").fetchall()
        assert found == [(COMPLETION_TREND.doc,)]

    @pytest.mark.usefixtures("without_comments")
    def test_a_late_day_is_compared_without_a_repair(self, data):
        publish_accounts(data, MARCH[7], n_all=9)
        build_warehouse(data)
        publish_accounts(data, MARCH[0], n_all=4)
        build_warehouse(data)
        with open_warehouse(data) as connection:
            query = "SELECT n_all_change_7d FROM completion_trend ORDER BY snapshot_date"
            assert connection.sql(query).fetchall() == [(None,), (5,)]

    @needs_old_duckdb
    def test_an_old_duckdb_reads_the_view(self, data):
        publish_accounts(data, MARCH[0], MARCH[7], n_all=4)
        build_warehouse(data)
        assert read_warehouse(data)["completion_trend"] == (2, 1, "2026-03-01", "2026-03-08")
