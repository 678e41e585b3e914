"""A lake in S3, read on a machine that has no file of it: by our own commands, and by other programs."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")

from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.reading import read
from lms_pipeline.lake.roll_up import find_outdated_days, roll_up_day
from lms_pipeline.lake.warehouse import build_warehouse, open_warehouse
from lms_pipeline.storage.opening import open_storage
from lms_pipeline.tables.catalog import TABLES, VIEWS
from lms_pipeline_tests.commands.conftest import command
from lms_pipeline_tests.distributed.s3_front import ACCESS_KEY, SECRET_KEY, Fault
from lms_pipeline_tests.distributed.test_clouds import azure_url
from lms_pipeline_tests.support import other_reader_session
from lms_pipeline_tests.support.lake_files import publish_small_lake
from lms_pipeline_tests.support.warehouse_builds import read_content

__all__ = ["azure_url", "command"]

pytestmark = pytest.mark.distributed

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "querying.md").read_text(encoding="utf-8")
SHOWN_URL = "s3://acme-lms/production"
SQL, PYTHON = (re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) for language in ("sql", "python"))
READERS = ROOT / ".venv-readers" / "bin" / "python"
needs_readers = pytest.mark.skipif(
    not READERS.exists(), reason="no Python with DuckDB's httpfs and polars: `make readers` makes one"
)
ACCOUNT_DAYS = [("acme", 1), ("acme", 2), ("beta", 1), ("beta", 2), ("gamma", 1)]
RATES = [[account, f"2026-03-0{day}", "3", "7"] for account, day in ACCOUNT_DAYS]


def open_machine(tmp_path, name, lake_url):
    return DataDir(tmp_path / name, open_storage(tmp_path / name, lake_url, None))


def publish_all(data):
    """Publish a lake, roll it up and build the warehouse."""
    publish_small_lake(data)
    for day in find_outdated_days(data):
        roll_up_day(data, day)
    build_warehouse(data)
    return data


@pytest.fixture(scope="module")
def published(s3_server, tmp_path_factory):
    """The address of a bucket, and the machine that pulled into it and built the warehouse. Read-only: tests share it."""
    address, folder = f"s3://{s3_server.create_bucket()}/installation", tmp_path_factory.mktemp("machines")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in s3_server.environment.items():
            environment.setenv(name, value)
        return address, publish_all(open_machine(folder, "puller", address))


@pytest.fixture
def published_url(s3, published):
    return published[0]


@pytest.fixture
def data(s3, published):
    return published[1]


@pytest.fixture
def third(tmp_path, published_url, monkeypatch, command):
    """A machine without a file, on which the commands run."""
    third = open_machine(tmp_path, "third", published_url)
    monkeypatch.setattr(DataDir, "open", lambda _: third)
    monkeypatch.setenv("LMS_DATA_DIR", str(third.root))
    return third


@pytest.fixture(params=["s3", "az"])
def cloud_url(request):
    """The address in each cloud of a lake with a warehouse: that of S3 is shared."""
    if request.param == "s3":
        return request.getfixturevalue("published_url")
    url, folder = request.getfixturevalue("azure_url"), request.getfixturevalue("tmp_path")
    publish_all(open_machine(folder, "puller", url))
    return url


def test_the_warehouse_of_each_cloud_has_the_content_of_one_on_a_disk(cloud_url, tmp_path):
    disk = publish_small_lake(DataDir(tmp_path / "disk"))
    build_warehouse(disk, is_rolled_up=True)
    assert read_content(open_machine(tmp_path, "third", cloud_url)) == read_content(disk)


def test_the_command_answers(third, command):
    sql = "SELECT account_id, snapshot_date, n_all FROM account_completion ORDER BY ALL"
    assert command("query", sql, "--format", "csv").out.splitlines()[1:] == [
        f"{account},{day},7" for account, day, *_ in RATES
    ]


def test_python_reads_the_rows_of_a_disk(third, tmp_path):
    disk = publish_small_lake(DataDir(tmp_path / "disk"))
    for day in find_outdated_days(third):  # the index of this machine learns of the roll-ups
        roll_up_day(third, day)
    for table in (*TABLES, *VIEWS):
        assert read(table).to_pylist() == read(table, data_dir=disk.root).to_pylist(), table


def test_the_warehouse_has_no_credentials(data):
    content = data.warehouse.read_bytes()
    assert ACCESS_KEY.encode() not in content
    assert SECRET_KEY.encode() not in content


def test_refused_credentials_are_one_sentence_that_does_not_show_them(third, s3, command, caplog):
    s3.faults.append(Fault("status", method="GET", match="lake_by_day", times=100, status=403, code="AccessDenied"))
    done = command("query", "FROM account_completion")
    assert done.status == 1
    assert re.fullmatch(r"Error: s3://\S+ can't be (read|listed): .*AccessDenied.*\n", done.err)
    assert not re.search(f"{ACCESS_KEY}|{SECRET_KEY}", done.err + caplog.text)


def run_reader(kind, text):
    done = subprocess.run(
        [READERS, other_reader_session.__file__, kind],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return sorted(json.loads(done.stdout.splitlines()[-1]))


@needs_readers
class TestOtherPrograms:
    """What the page shows, run as written but for the address, the extensions and the secret."""

    def test_duckdb_attaches_the_warehouse(self, data, published_url):
        _, _, shown = SQL[0].replace(SHOWN_URL, published_url).partition("credential_chain);")
        assert run_reader("duckdb", shown) == [["acme", "3", "7"], ["beta", "3", "7"], ["gamma", "3", "7"]]

    def test_duckdb_reads_each_table_of_the_warehouse(self, data, published_url):
        counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM lms.{name}" for name in (*TABLES, *VIEWS))  # noqa: S608
        found = run_reader("duckdb", f"ATTACH '{published_url}/warehouse/lms.duckdb' AS lms (READ_ONLY); {counts}")
        with open_warehouse(data) as connection:
            assert found == sorted([name, str(len(connection.table(name)))] for name in (*TABLES, *VIEWS))

    def test_duckdb_reads_roll_ups(self, data, published_url):
        assert run_reader("duckdb", SQL[1].replace(SHOWN_URL, published_url)) == RATES

    def test_polars_reads_roll_ups(self, data, published_url):
        assert run_reader("python", PYTHON[1].replace(SHOWN_URL, published_url)) == RATES


def test_pyarrow_reads_roll_ups(data, published_url, capsys):
    found: dict[str, Any] = {}
    exec(PYTHON[0].replace(SHOWN_URL, published_url), found)  # noqa: S102 - our own docs
    assert capsys.readouterr().out
    rows = found["rates"].to_table(columns=["account_id", "snapshot_date", "n_completed", "n_all"]).to_pylist()
    assert sorted([str(value) for value in row.values()] for row in rows) == RATES
