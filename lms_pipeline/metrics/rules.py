"""The courses of a snapshot with which rules are matched, and the matched rules as a table for the SQL.

Belongs here: reading ids and titles, the columns of `course_rules`. Not here: matching (`accounts/rule_matching.py`), what
the rules change (`sql/rules.sql`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

from lms_pipeline.accounts.rule_matching import match_rules
from lms_pipeline.accounts.rules import Rule
from lms_pipeline.lake.engine import duckdb_session, execute_file, load_sql
from lms_pipeline.lake.files import check_readable, convert_read_errors
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.scratch import scratch_folder
from lms_pipeline.tables.metrics import COURSE_COMPLETION
from lms_pipeline.tables.pulled import COURSES, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import arrow_schema

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb
    import pyarrow as pa


def build_course_rules(connection: duckdb.DuckDBPyConnection, path: Path, rules: Mapping[int, Rule]) -> pa.Table:
    """Return what the rules in force for an account say about the courses of a file of enrollments, a row a course."""
    import pyarrow as pa

    matched = match_rules(rules, read_course_titles(connection, path))
    return pa.Table.from_pylist([asdict(course) for course in matched.courses], schema=build_schema())


def build_schema() -> pa.Schema:
    """Return the columns of the table `course_rules`: the fields of `CourseRule`. One that is missing here is lost."""
    import pyarrow as pa

    texts = pa.list_(pa.string())
    return pa.schema(
        {
            "course_id": pa.string(),
            "mandatory": pa.bool_(),
            "mandatory_overrides": pa.bool_(),
            "due_days": pa.int32(),
            "due_on": pa.date32(),
            "due_overrides": pa.bool_(),
            "renew_months": pa.int32(),
            "renewal_overrides": pa.bool_(),
            "opens": pa.date32(),
            "excluded_learners": texts,
            "excluded_roles": texts,
        }
    )


def read_course_titles(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str | None]:
    """Return the titles of the courses in a file of enrollments, by id."""
    connection.execute("SET VARIABLE path = $path", {"path": str(path)})
    return dict(connection.execute(load_sql("lms_pipeline.metrics", "sql/enrolled_titles.sql")).fetchall())


def find_courses(data: DataDir, partition: Partition) -> dict[str, str | None]:
    """Return the titles of an account's courses by id: those of its enrollments, and the others of its courses list.

    The caller has fetched both tables.

    Raises:
        LakeError: a file can't be read.
    """
    import duckdb

    titles = _read_titles(data.file(COURSES, partition)) or {}
    path = data.file(UNIFIED_ENROLLMENTS, partition)
    with scratch_folder("metrics") as spill, duckdb_session(spill) as connection:
        try:
            return titles | read_course_titles(connection, path)
        except duckdb.Error:
            check_readable(path)
            raise


class LeftOut(NamedTuple):
    """What one rule leaves out of the enrollments in its courses."""

    enrollments: int
    of: int


def count_left_out(
    data: DataDir, partition: Partition, rules: Mapping[int, Rule], titles: Mapping[str, str | None]
) -> dict[int, LeftOut]:
    """Return what each rule that excludes learners or roles leaves out of a snapshot, by its number.

    A rule whose courses have no enrollment is missing. `rules` are those in force for the account, `titles` are those of
    its courses.

    Raises:
        LakeError: the enrollments can't be read.
    """
    import duckdb
    import pyarrow as pa

    texts = pa.list_(pa.string())
    schema = pa.schema({"number": pa.int64(), "course_id": pa.string(), "learners": texts, "roles": texts})
    rows = [
        {"number": n, "course_id": one.course_id, "learners": one.excluded_learners, "roles": one.excluded_roles}
        for n, rule in rules.items()
        if rule.excluded_learners or rule.excluded_roles
        for one in match_rules({n: rule}, titles).courses
    ]
    if not rows:
        return {}
    path = data.file(UNIFIED_ENROLLMENTS, partition)
    with scratch_folder("metrics") as spill, duckdb_session(spill) as connection:
        connection.from_arrow(pa.Table.from_pylist(rows, schema=schema)).create("exclusions")
        connection.from_arrow(arrow_schema(UNIFIED_ENROLLMENTS).empty_table()).create("unified_columns")
        execute_file(connection, "lms_pipeline.tables", "normalize_role.sql")
        connection.execute("SET VARIABLE path = $path", {"path": str(path)})
        try:
            found = connection.execute(load_sql("lms_pipeline.metrics", "sql/left_out.sql")).fetchall()
        except duckdb.Error:
            check_readable(path)
            raise
    return {number: LeftOut(left_out, of) for number, left_out, of in found}


def find_listed_courses(data: DataDir, partition: Partition) -> dict[str, str | None]:
    """Return the same, without a look at the enrollments where `course_completion` and the courses list exist.

    A course that the list lacks and whose enrollments are all left out is then missing.

    Raises:
        LakeError: a file can't be read.
        StoreError: a file can't be fetched.
    """
    data.fetch([COURSE_COMPLETION, COURSES], [partition])
    counted, listed = (_read_titles(data.file(table, partition)) for table in (COURSE_COMPLETION, COURSES))
    if counted is not None and listed is not None:
        return listed | counted
    data.fetch([UNIFIED_ENROLLMENTS], [partition])
    return find_courses(data, partition)


def _read_titles(path: Path) -> dict[str, str | None] | None:
    """Return the titles of the courses in a file with a row for each, by id; None without the file."""
    import pyarrow.parquet as pq

    if not path.exists():
        return None
    with convert_read_errors(path):
        columns = pq.read_table(path, columns=["course_id", "course_title"], partitioning=None)
    return dict(zip(*(column.to_pylist() for column in columns.columns), strict=True))
