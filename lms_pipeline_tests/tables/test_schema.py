"""The vocabulary in which a table is described, and what every described table must have."""

import subprocess
import sys

import pyarrow as pa
import pytest

from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.schema import Column, ListOf, Table, arrow_schema, arrow_type

EVERY_TABLE = pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))


@pytest.mark.parametrize(
    ("kind", "arrow"),
    [
        ("string", pa.string()),
        ("double", pa.float64()),
        ("int64", pa.int64()),
        ("bool", pa.bool_()),
        ("timestamp", pa.timestamp("us", tz="UTC")),
        ("date", pa.date32()),
        (
            ListOf((("type", "string"), ("rank", "int64"))),
            pa.list_(pa.struct([("type", pa.string()), ("rank", pa.int64())])),
        ),
    ],
)
def test_a_kind_has_its_arrow_type(kind, arrow):
    assert arrow_type(kind) == arrow


def test_a_list_writes_itself_as_arrow_does():
    assert str(ListOf((("type", "string"), ("url", "string")))) == "list<struct<type: string, url: string>>"


def test_a_schema_keeps_order_and_nullability():
    table = Table("t", "A table.", (Column("b", "int64", "B", nullable=False), Column("a", "date", "A")))
    columns = [pa.field("b", pa.int64(), nullable=False), pa.field("a", pa.date32())]
    assert arrow_schema(table).equals(pa.schema(columns))


@EVERY_TABLE
def test_a_table_says_what_it_is(table):
    assert table.doc.strip()


@EVERY_TABLE
def test_every_column_says_what_it_means(table):
    assert [column.name for column in table.columns if not column.doc.strip()] == []


@EVERY_TABLE
def test_no_column_stands_twice(table):
    assert len(set(table.column_names)) == len(table.column_names)


@EVERY_TABLE
def test_the_columns_of_the_path_are_not_in_the_file(table):
    assert {"account_id", "snapshot_date"}.isdisjoint(table.column_names)


@EVERY_TABLE
def test_the_key_is_of_the_table_s_columns(table):
    assert set(table.key) <= set(table.column_names)


def test_the_tables_can_be_told_without_loading_arrow():
    told = "import sys, lms_pipeline.tables.catalog as c; print(len(c.TABLES) > 4, 'pyarrow' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.split() == ["True", "False"]
