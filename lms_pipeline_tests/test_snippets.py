"""The Python and SQL of the README and the docs, over accounts whose ids look like other values: ids stay text."""

import re
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.lake_files import enrollment, write

ROOT = Path(__file__).parent.parent
DAY = date(2026, 3, 1)
WORLDS = {
    "numbers alone": ["007", "42"],
    "dates alone": ["2026-01-01", "2026-12-31"],
    "booleans alone": ["true", "false"],
    "other values": ["007", "42", "1e5", "0x1F", "true", "2026-01-01", "NULL", "null", "None", "nan", "inf", "acme"],
}


def find_snippets(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


IN_BUCKET = ROOT / "docs" / "querying.md"
"""The page whose snippets read a bucket: `distributed/test_reading_in_bucket.py` runs them."""
DOCS = [path for path in sorted((ROOT / "docs").glob("*.md")) if path != IN_BUCKET]
PAGES = ["README.md", "data/README.md", *(str(path.relative_to(ROOT)) for path in DOCS)]
PYTHON = {f"{page} {n}": code for page in PAGES for n, code in enumerate(find_snippets(page, "python"))}
OVER_THE_LAKE = {name: code for name, code in PYTHON.items() if "lms_pipeline.sandbox" not in code}
SQL = {f"{page} {n}": code for page in PAGES for n, code in enumerate(find_snippets(page, "sql"))}


@pytest.fixture(scope="module", params=WORLDS)
def world(request, tmp_path_factory):
    """Accounts, and a folder whose data directory has a row in each table of each account."""
    folder = tmp_path_factory.mktemp("world")
    data = DataDir(folder / "data")
    accounts = WORLDS[request.param]
    for account in accounts:
        for table in TABLES.values():
            row = enrollment("u1", status="in_progress") | {"n_all": 60, "n_completed": 3}
            known = {name: row[name] for name in row.keys() & set(table.column_names)}
            write(data.file(table, Partition(account, DAY)), table, known)
    for account in accounts:
        Registry(data).add(account, name=None, first_day=DAY)
    build_warehouse(data)
    return accounts, folder


def is_open(relation):
    try:
        return bool(relation.columns)
    except duckdb.ConnectionException:
        return False


def read_accounts(value):
    """Return the account ids of rows in any library; None for rows without an account, and for something else."""
    match value:
        case duckdb.DuckDBPyRelation() if not is_open(value):
            return None
        case duckdb.DuckDBPyRelation() if "account_id" in value.columns:
            return [account for (account,) in value.project("account_id").fetchall()]
        case pd.DataFrame() if "account_id" in value.columns:
            return value["account_id"].tolist()
        case pa.Table() if "account_id" in value.column_names:
            return value.column("account_id").to_pylist()
    return None


@pytest.mark.parametrize("code", OVER_THE_LAKE.values(), ids=OVER_THE_LAKE)
def test_python_runs_as_written_and_account_ids_stay_text(code, world, monkeypatch, capsys):
    accounts, folder = world
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LMS_DATA_DIR", "data")
    found: dict[str, object] = {}
    exec(code, found)  # noqa: S102 - our own docs
    assert capsys.readouterr().out.strip()
    for value in list(found.values()):
        if (ids := read_accounts(value)) is not None:
            assert sorted(ids) == sorted(accounts)


@pytest.mark.parametrize("library", ["duckdb.sql", "pyarrow.dataset", "pandas", "lake.read", "lake.frame"])
def test_the_readme_shows_each_library(library):
    assert any(library in code for code in OVER_THE_LAKE.values())


@pytest.mark.parametrize("world", choose(["other values"], list(WORLDS)), indirect=True)
@pytest.mark.parametrize("code", SQL.values(), ids=SQL)
def test_sql_runs_as_written(code, world, monkeypatch):
    _, folder = world
    monkeypatch.chdir(folder)
    with open_warehouse(DataDir(folder / "data")) as connection:
        assert connection.sql(code).columns
