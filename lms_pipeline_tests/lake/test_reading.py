"""Reading the lake from Python."""

import subprocess
import sys
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline import lake
from lms_pipeline.errors import LakeError, WrongUseError
from lms_pipeline.lake.paths import BadIdError, DataDir, Partition
from lms_pipeline.tables.catalog import TABLES, UnknownTableError
from lms_pipeline.tables.metrics import PORTFOLIO_COMPLETION
from lms_pipeline.tables.pulled import COURSES, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import SCHEMA_VERSION, arrow_schema
from lms_pipeline_tests.support.lake_files import FIRST, SECOND, THIRD, enrollment, publish, publish_all_accounts
from lms_pipeline_tests.support.parquet_damage import change_value


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Three days of three accounts, for tests that only read."""
    data = DataDir(tmp_path_factory.mktemp("filled"))
    for account in ("007", "7", "acme"):
        for day in (FIRST, SECOND, THIRD):
            publish(data, account, day, enrollment(f"{account}-{day.day}"))
    return data


def users(table: pa.Table) -> list[str]:
    found: list[str] = table.column("user_id").to_pylist()
    return sorted(found)


def test_rows_are_read_with_their_account_and_day(filled):
    rows = lake.read("unified_enrollments", data_dir=filled.root).to_pylist()
    assert {(row["account_id"], row["snapshot_date"], row["user_id"]) for row in rows} == {
        (account, day, f"{account}-{day.day}") for account in ("007", "7", "acme") for day in (FIRST, SECOND, THIRD)
    }


def test_a_text_in_place_of_a_list_of_accounts_is_refused(filled):
    """Its characters are valid ids, so that nothing would be found."""
    with pytest.raises(WrongUseError, match=r"write accounts=\['acme'\]"):
        lake.read("unified_enrollments", accounts="acme", data_dir=filled.root)


def test_the_partition_columns_come_first_and_in_their_types(filled):
    schema = lake.read("unified_enrollments", data_dir=filled.root).schema
    assert schema.names == ["account_id", "snapshot_date", *UNIFIED_ENROLLMENTS.column_names]
    assert [schema.field(0).type, schema.field(1).type] == [pa.string(), pa.date32()]
    assert schema.types[2:] == arrow_schema(UNIFIED_ENROLLMENTS).types


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"accounts": ["007"]}, ["007-1", "007-2", "007-3"]),
        ({"accounts": ("7", "acme"), "last": FIRST}, ["7-1", "acme-1"]),
        ({"accounts": ["acme"], "first": SECOND}, ["acme-2", "acme-3"]),
        ({"accounts": iter(["acme"]), "first": SECOND, "last": SECOND}, ["acme-2"]),
        ({"accounts": []}, []),
        ({"accounts": ["nobody"]}, []),
        ({"first": date(2027, 1, 1)}, []),
        ({"first": THIRD, "last": FIRST}, []),
    ],
)
def test_accounts_and_days_are_selected_with_both_ends_included(filled, arguments, found):
    assert users(lake.read("unified_enrollments", **arguments, data_dir=filled.root)) == found


@pytest.mark.parametrize("table", sorted(TABLES))
def test_an_empty_lake_gives_an_empty_table_with_its_columns(data, table):
    rows = lake.read(table, data_dir=data.root)
    assert rows.num_rows == 0
    account = ["account_id"] if TABLES[table].per_account else []
    assert rows.schema.names == [*account, "snapshot_date", *TABLES[table].column_names]


class TestAllAccounts:
    """`portfolio_completion`, which is not divided by account."""

    def test_has_its_day_before_its_columns(self, data):
        publish_all_accounts(data, FIRST, {"accounts": 2, "n_all": 7})
        publish_all_accounts(data, THIRD, {"accounts": 3, "n_all": 9})
        rows = lake.read("portfolio_completion", first=SECOND, data_dir=data.root)
        assert rows.schema.names == ["snapshot_date", *PORTFOLIO_COMPLETION.column_names]
        assert rows.select(["snapshot_date", "accounts", "n_all"]).to_pylist() == [
            {"snapshot_date": THIRD, "accounts": 3, "n_all": 9}
        ]

    def test_can_not_be_read_of_chosen_accounts(self, data):
        with pytest.raises(WrongUseError, match=r"^The rows of portfolio_completion are over all accounts: leave the"):
            lake.read("portfolio_completion", ["acme"], data_dir=data.root)


def test_a_snapshot_without_rows_gives_no_rows(data):
    publish(data, "acme", FIRST)
    assert lake.read("unified_enrollments", data_dir=data.root).num_rows == 0


def test_a_column_that_an_older_file_lacks_is_null(data):
    publish(data, "acme", SECOND, {"course_id": "new", "status": "open"}, table=COURSES)
    old = data.file(COURSES, Partition("acme", FIRST))
    old.parent.mkdir(parents=True)
    pq.write_table(pa.table({"course_id": ["old"]}), old)
    rows = lake.read("courses", data_dir=data.root).sort_by("snapshot_date").to_pylist()
    assert [(row["course_id"], row["status"], row["extra"]) for row in rows] == [
        ("old", None, None),
        ("new", "open", None),
    ]


def test_a_file_of_a_newer_version_is_a_clear_error(data):
    path = publish(data, "acme", FIRST).path
    newer = SCHEMA_VERSION + 1
    rows = pq.read_table(path).replace_schema_metadata({"lms_pipeline.schema_version": str(newer)})
    pq.write_table(rows, path)
    with pytest.raises(LakeError) as caught:
        lake.read("unified_enrollments", data_dir=data.root)
    assert str(caught.value) == (
        f"{path} was written by a newer lms_pipeline (schema {newer}, this one reads up to {SCHEMA_VERSION}): "
        "upgrade this one."
    )
    assert lake.read("unified_enrollments", ["other"], data_dir=data.root).num_rows == 0


def test_a_file_that_is_damaged_is_a_clear_error(data):
    path = publish(data, "acme", FIRST, *(enrollment(f"u{number}") for number in range(500))).path
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(LakeError, match=rf"^{path} is damaged: restore it, or run `lms-pipeline replay` for its day"):
        lake.read("unified_enrollments", data_dir=data.root)


def test_a_file_whose_pages_are_damaged_is_a_clear_error(data):
    publish(data, "acme", SECOND, enrollment("u1"))
    path = publish(data, "acme", FIRST, *(enrollment(f"u{number}") for number in range(500))).path
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(2_000) + content[2_004:])
    with pytest.raises(LakeError, match=rf"^{path} is damaged: "):
        lake.read("unified_enrollments", data_dir=data.root)


def test_a_file_with_a_changed_value_is_a_clear_error(data):
    path = publish(data, "acme", FIRST, *(enrollment(f"u{number}", status="passed") for number in range(9))).path
    change_value(path, "status")
    with pytest.raises(LakeError, match=rf"^{path} is damaged: "):
        lake.read("unified_enrollments", data_dir=data.root)


def test_files_that_are_not_published_are_not_read(data):
    publish(data, "acme", FIRST, enrollment("u1"))
    hidden = data.unpublished_file(UNIFIED_ENROLLMENTS, Partition("acme", FIRST), "run-2")
    hidden.write_bytes(b"half a file")
    (hidden.parent / "other.parquet").write_bytes(b"")
    assert users(lake.read("unified_enrollments", data_dir=data.root)) == ["u1"]


def test_folders_that_are_no_partitions_are_not_read(data):
    publish(data, "acme", FIRST, enrollment("u1"))
    root = data.lake / "unified_enrollments"
    for folder in ("account_id=a.b/snapshot_date=2026-03-01", "account_id=x/snapshot_date=today", "a/b"):
        (root / folder).mkdir(parents=True)
        (root / folder / "data.parquet").write_bytes(b"")
    assert users(lake.read("unified_enrollments", data_dir=data.root)) == ["u1"]


def test_equals_signs_and_quotes_in_the_path_make_no_columns(tmp_path):
    data = DataDir(tmp_path / "account_id=9" / "env=it's")
    publish(data, "acme", FIRST, enrollment("u1"))
    [row] = lake.read("unified_enrollments", data_dir=data.root).to_pylist()
    assert (row["account_id"], row["snapshot_date"], "env" in row) == ("acme", FIRST, False)


def test_an_unknown_table_or_a_bad_id_is_one_sentence(data):
    with pytest.raises(UnknownTableError, match=r"^There is no table 'enrolments' in the lake: it has account_"):
        lake.read("enrolments", data_dir=data.root)
    with pytest.raises(BadIdError, match=r"^'\.\./x' can't be an account id: "):
        lake.read("courses", ["../x"], data_dir=data.root)


def test_the_default_data_directory_is_that_of_the_settings(filled, monkeypatch):
    monkeypatch.setenv("LMS_DATA_DIR", str(filled.root))
    assert lake.read("unified_enrollments").num_rows == 9


def test_a_frame_keeps_nulls_and_types(data):
    publish(data, "007", FIRST, enrollment("u1", score=1.5), enrollment("u2", attempts_count=3))
    frame = lake.frame("unified_enrollments", data_dir=data.root)
    assert frame["account_id"].tolist() == ["007", "007"]
    assert frame["score"].isna().tolist() == [False, True]
    assert frame["attempts_count"].tolist()[1] == 3
    assert str(frame.dtypes["attempts_count"]) == "int64[pyarrow]"
    assert str(frame.dtypes["snapshot_date"]) == "date32[day][pyarrow]"


def test_importing_the_package_does_not_import_pyarrow():
    code = "import sys, lms_pipeline.lake as lake; assert 'pyarrow' not in sys.modules; lake.read"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_package_offers_nothing_else():
    with pytest.raises(AttributeError, match="has no attribute 'write'"):
        _ = lake.write
