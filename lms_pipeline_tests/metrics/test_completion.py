"""The rows of a completion table: schema, order, old files, hostile values; and that the docs name every column."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline.metrics.completion import open_completion
from lms_pipeline.tables.catalog import METRIC_TABLES
from lms_pipeline.tables.measures import RATES, Rate
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.over_time import COMPLETION_TREND
from lms_pipeline.tables.schema import Table, arrow_schema
from lms_pipeline_tests.support.enrollment_files import FETCHED_AT, compute_rows, enrollments_file, write

DOCUMENTED_TABLES = (*METRIC_TABLES, PORTFOLIO_COMPLETION, COMPLETION_TREND)
DOCS = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


@pytest.mark.parametrize("learners", ["", "ann"])
def test_schemas_are_those_of_the_tables_with_and_without_rows(learners: str, tmp_path: Path) -> None:
    began = {"enrolled_at": FETCHED_AT - timedelta(days=9)}
    rows = [{"user_id": user, "course_id": "c1", "status": "overdue", **began} for user in learners.split()]
    with open_completion(enrollments_file(write(tmp_path / "data.parquet", rows))) as read_rows:
        for table in METRIC_TABLES:
            batches = read_rows(table)
            assert batches.schema == arrow_schema(table), table.name
            read = batches.read_all()
            assert read.schema == arrow_schema(table), table.name
            assert (read.num_rows > 0) is (bool(rows) or table is ACCOUNT_COMPLETION), table.name


def test_rows_are_ordered_by_their_key_in_small_batches(tmp_path: Path) -> None:
    rows = [{"user_id": f"u{n * 7919 % 50_000}", "course_id": "c", "status": "enrolled"} for n in range(50_000)]
    file = enrollments_file(write(tmp_path / "data.parquet", rows))
    with open_completion(file, [LEARNER_COMPLETION]) as read_rows:
        batches = read_rows(LEARNER_COMPLETION)
        sizes, users = [], []
        for batch in batches:
            sizes.append(batch.num_rows)
            users += batch["user_id"].to_pylist()
    assert users == sorted({row["user_id"] for row in rows})
    assert max(sizes) <= 20_480


def test_columns_that_an_old_file_lacks_are_null(tmp_path: Path) -> None:
    old = pa.table(
        {
            "status": ["completed", "enrolled"],
            "course_id": ["c1", "c1"],
            "user_id": ["ann", "bob"],
            "fetched_at": pa.array([FETCHED_AT] * 2, pa.timestamp("us", tz="UTC")),
            "of_a_newer_schema": [1, 2],
        }
    )
    pq.write_table(old, tmp_path / "data.parquet")
    [course] = compute_rows(COURSE_COMPLETION, enrollments_file(tmp_path / "data.parquet"))
    assert course["completion_rate"] == 1 / 2
    assert course["course_title"] is None
    assert course["n_due"] is None


def test_the_path_adds_no_columns(tmp_path: Path) -> None:
    """Otherwise the account `7` of the folder would be a column, and a number."""
    folder = tmp_path / "account_id=7" / "course_id=c9"
    folder.mkdir(parents=True)
    rows = [{"user_id": "ann", "course_id": "c1", "status": "enrolled"}]
    [course] = compute_rows(COURSE_COMPLETION, enrollments_file(write(folder / "it's [odd].parquet", rows)))
    assert course["course_id"] == "c1"


def test_no_mean_is_infinite(tmp_path: Path) -> None:
    rows = [{"user_id": user, "course_id": "c1", "status": "enrolled", "score": 1e308} for user in "abc"]
    [course] = compute_rows(COURSE_COMPLETION, enrollments_file(write(tmp_path / "data.parquet", rows)))
    assert course["score_mean"] is None
    assert course["score_n"] == 3


@pytest.mark.parametrize("table", DOCUMENTED_TABLES, ids=lambda table: table.name)
def test_every_column_is_documented(table: Table) -> None:
    named = set(re.findall(r"`(<rate>)?(\w+)`", DOCS.read_text(encoding="utf-8")))
    changes = {f"{rate.name}{suffix}" for rate in RATES for prefix, suffix in named if prefix}
    assert {table.name, *table.column_names} - {name for prefix, name in named if not prefix} - changes == set()


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: rate.name)
def test_every_rate_is_defined_as_one_count_divided_by_another(rate: Rate) -> None:
    definition = rf"^\| `{rate.name}` \| \w[^|]* / \w[^|]* \| `{rate.name}_num`, `{rate.name}_den` \| \w[^|]* \|$"
    assert len(re.findall(definition, DOCS.read_text(encoding="utf-8"), re.MULTILINE)) == 1
