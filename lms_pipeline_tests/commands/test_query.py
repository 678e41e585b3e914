"""`lms-pipeline query`: formats, refusals and errors."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lms_pipeline.lake import warehouse
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.roll_up import roll_up_day
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.lake_files import FIRST, enrollment, publish
from lms_pipeline_tests.support.parquet_damage import truncate
from lms_pipeline_tests.test_snippets import SQL


def test_a_table_shows_whole_values(query):
    done = query("SELECT 'a rather long text of some forty letters' AS a, 0.25 AS b, NULL AS c")
    assert done.status == 0
    assert "a rather long text of some forty letters" in done.out
    assert "0.25" in done.out


def test_csv_is_quoted_where_needed(query):
    assert query("SELECT 1 AS a, 'x,y' AS b, NULL AS c", "--format", "csv").out == 'a,b,c\n1,"x,y",\n'


def test_json_is_an_array_of_objects(query):
    out = query("SELECT 1 AS a, [1, 2] AS b UNION ALL SELECT 2, NULL ORDER BY a", "--format", "json").out
    assert json.loads(out) == [{"a": 1, "b": [1, 2]}, {"a": 2, "b": None}]


def test_json_without_rows_is_an_empty_array(query):
    assert json.loads(query("FROM learners", "--format", "json").out) == []


def test_parquet_is_written_to_a_file(query, tmp_path):
    assert query("SELECT 7 AS a", "--format", "parquet", "-o", str(tmp_path / "x.parquet")).status == 0
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == [{"a": 7}]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["SELEC 1"], "The SQL can't be run: Parser Error"),
        (["SELECT * FROM nothing_like_it"], "The SQL can't be run: Catalog Error"),
        (["FROM acount_completion"], 'does not exist; Did you mean "account_completion"?; `SHOW TABLES` lists'),
        (["SELECT n_al FROM account_completion"], 'not found in FROM clause; Candidate bindings: "n_all"'),
        (["CREATE TABLE x (a INT)"], "The SQL must be a single query"),
        (["COPY (SELECT 1) TO 'x.csv'"], "The SQL must be a single query"),
        (["SELECT 1; SELECT 2"], "The SQL must be a single query"),
        (["SELECT", "1"], "The query has to be one argument: put it in quotes."),
        (["SELECT 1", "--format", "parquet"], "Parquet output needs a file: name one with -o."),
    ],
)
def test_wrong_use_is_one_sentence_and_writes_nothing(words, sentence, query, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    done = query(*words)
    assert (done.status, done.out) == (2, "")
    assert sentence in done.err
    assert len(done.err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_that_can_not_be_written_is_one_sentence(query, tmp_path):
    done = query("SELECT 1", "--format", "csv", "-o", str(tmp_path / "nowhere" / "x.csv"))
    assert done.status == 1
    assert done.err == f"Error: {tmp_path}/nowhere/x.csv can't be written: No such file or directory.\n"


def test_without_a_warehouse_it_says_how_to_build_one(command):
    done = command("query", "SELECT 1")
    assert done.status == 1
    assert "run `lms-pipeline materialize` first" in done.err


def test_a_wide_table_is_not_cut(query):
    header = query("FROM account_completion").out
    assert "learner_compliance_rate_den" in header
    assert "…" not in header


def test_a_closed_pipe_ends_it_without_an_error(query, tmp_path):
    query("SELECT 1")  # makes the modes of the directory private, and says so
    line = f"{sys.executable} -m lms_pipeline.cli query 'FROM range(1000000)' --format csv | head -1"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("range\n", "")


@pytest.mark.parametrize(
    "sql",
    [
        "FROM nothing_like_it",
        "SELECT nothing_like_it FROM learners",
        "SELECT l.nothing_like_it FROM learners l",
        "SELECT x.user_id FROM learners l",
    ],
)
def test_an_unknown_name_says_how_to_list_the_names(query, sql):
    done = query(sql)
    assert done.status == 2
    assert done.err.endswith("; `SHOW TABLES` lists the tables, `DESCRIBE <table>` the columns.\n")


def test_tables_and_columns_are_listed(query):
    assert "learner_completion" in query("SHOW TABLES").out
    assert "snapshot_date" in query("DESCRIBE learners").out


def test_sql_can_not_read_variables_of_the_code(query):
    assert "The SQL can't be run: Catalog Error" in query("FROM rows").err


def overwrite(path):
    path.write_bytes(b"no Parquet at all, and longer than a footer")


@pytest.mark.parametrize(
    "sql", ["FROM unified_enrollments", "SELECT status, count(*) FROM unified_enrollments GROUP BY 1"]
)
@pytest.mark.parametrize(
    ("harm", "named"),
    [(Path.unlink, "*/*/data.parquet"), (overwrite, f"account_id=acme/snapshot_date={FIRST}/data.parquet")],
    ids=["the only one is missing", "damaged"],
)
def test_a_file_that_can_not_be_read_is_named_with_what_to_do(command, tmp_path, sql, harm, named):
    data = DataDir(tmp_path / "data")
    file = publish(data, "acme", FIRST, enrollment("u1")).path
    warehouse.build_warehouse(data)
    harm(file)
    done = command("query", sql)
    assert done.status == 1
    path = f"{data.lake}/unified_enrollments/{named}"
    sentence = "can't be read: it is missing or damaged; restore it, or run `lms-pipeline replay`"
    assert f"Error: {path} {sentence}" in done.err


@pytest.mark.parametrize("damage", [Path.unlink, truncate], ids=["missing", "damaged"])
def test_a_build_is_advised_for_a_roll_up(command, tmp_path, damage):
    data = DataDir(tmp_path / "data")
    publish(data, "acme", FIRST, enrollment("u1"))
    roll_up_day(data, FIRST)
    warehouse.build_warehouse(data, is_rolled_up=True)
    damage(data.roll_up(UNIFIED_ENROLLMENTS, FIRST))
    done = command("query", "FROM unified_enrollments")
    assert done.status == 1
    assert f"Error: The roll-up {data.roll_ups}/unified_enrollments/" in done.err
    assert "run `lms-pipeline materialize --select warehouse`, which writes it again." in done.err
    assert "replay" not in done.err


def test_a_copied_warehouse_does_not_read_the_original(command, tmp_path):
    data = DataDir(tmp_path / "original's")
    publish(data, "acme", FIRST, enrollment("u1"))
    warehouse.build_warehouse(data)
    shutil.copytree(data.root, tmp_path / "data", symlinks=True, dirs_exist_ok=True)
    done = command("query", "FROM unified_enrollments")
    assert (done.status, done.out) == (1, "")
    assert "was built for another folder" in done.err
    warehouse.build_warehouse(DataDir(tmp_path / "data"))
    assert command("query", "SELECT count(*) FROM unified_enrollments").status == 0


def test_csv_on_a_terminal_shows_escapes(query, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    out = query("SELECT chr(27) || '[2J' AS a", "--format", "csv").out
    assert out == "a\n\\x1b[2J\n"


OVER_THE_WAREHOUSE = {name: sql for name, sql in SQL.items() if "'data/" not in sql}


@pytest.mark.parametrize("sql", OVER_THE_WAREHOUSE.values(), ids=OVER_THE_WAREHOUSE)
def test_the_sql_of_the_docs_can_be_pasted_with_its_comment(query, sql):
    done = query(sql, "--format", "csv")
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize(
    "sql",
    [
        "-- how many?\nSELECT 7 AS a",
        "--how many?\nSELECT 7 AS a",
        "--format: one\nSELECT 7 AS a",
        "--a=b\nSELECT 7 AS a",
        "--format\nSELECT 7 AS a",
        "--\nSELECT 7 AS a",
        "---\n-- two lines\nSELECT 7 AS a",
        "-- one\r\nSELECT 7 AS a",
        "\n-- one\nSELECT 7 AS a",
    ],
)
@pytest.mark.parametrize("place", [0, 2])
def test_sql_may_begin_with_a_comment_before_and_after_options(query, sql, place):
    words = ["--format", "csv"]
    words.insert(place, sql)
    done = query(*words)
    assert (done.status, done.out) == (0, "a\n7\n")


@pytest.mark.parametrize("option", ["--fromat", "--fromat=csv"])
def test_an_option_with_a_typo_is_no_sql(query, option):
    done = query(option, "SELECT 7")
    assert (done.status, "No such option" in done.err) == (2, True)


def test_an_option_may_have_blanks_and_line_ends_in_its_value(query, tmp_path):
    path = tmp_path / "two words\n.csv"
    assert query(f"--output={path}", "SELECT 7 AS a", "--format=csv").status == 0
    assert path.read_text(encoding="utf-8") == "a\n7\n"
