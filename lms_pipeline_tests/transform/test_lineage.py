"""Which fields of the API decide a column: each field is served with another value in turn, and exactly the columns
change that have the field in their lineage.
"""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline.lake.files import TableFile
from lms_pipeline.tables.pulled import ALL_FIELDS, COURSES, LEARNERS, PULLED_TABLES, UNIFIED_ENROLLMENTS
from lms_pipeline.transform.dedupe import Sources, deduplicate
from lms_pipeline.transform.enrollments import RawColumns, build_raw_batch
from lms_pipeline.transform.rosters import RosterEntry, RosterKey, build_roster_batch, read_roster_response
from lms_pipeline.transform.shapes import list_api_fields
from lms_pipeline.transform.users_courses import ListFlattener
from lms_pipeline_tests.support.fitting_records import TIMESTAMPS
from lms_pipeline_tests.support.served_records import NOON, build_response, flatten, read_records

Served = dict[str, list[Any]]
"""The records of each list."""
Columns = dict[tuple[str, str], list[Any]]

DAY = "2026-02-03T04:05:06Z"
MAIL = {"email": "a@example.org", "is_primary": True, "type": "work"}


def build_roster(*ids: str) -> list[dict[str, Any]]:
    """Return the entries of a roster, the last one completed."""
    common = {
        "role": "learner",
        "enrolled_on_timestamp": 1_772_366_400,
        "completion_status": "incomplete",
        "completion_percentage": 40,
        "total_time_seconds": 60,
    }
    completed = [*[dict[str, Any]()] * (len(ids) - 1), {"completed_on_timestamp": 1_772_452_800}]
    return [{"id": item, **common, **more} for item, more in zip(ids, completed, strict=True)]


REJECTED = 5

SERVED: Served = {
    "course-enrollments": [
        {
            "id": "e1",
            "user": {"id": "u9", "name": "Nine", "emails": [MAIL]},
            "course": {"id": "c9", "title": "Ninth"},
            "status": "enrolled",
            "progress_percent": 10,
            "score": 50,
            "is_mandatory": True,
            "attempt_number": 1,
            "attempts_count": 1,
            **dict.fromkeys(TIMESTAMPS, DAY),
            "assigned_by": {"id": "u8", "name": "Eight"},
            "time_spent_seconds": 60,
            "custom_fields": {"a": 1},
            "urls": [{"type": "web", "url": "https://example.org"}],
            "remote_data": {"role": "learner"},
        },
        REJECTED,
    ],
    "users": [
        {
            "id": "u1",
            "name": "One",
            "emails": [MAIL],
            "status": "active",
            "created_at": DAY,
            "updated_at": DAY,
            "remote_data": {"courses": build_roster("c7", "c8")},
        },
        {"id": "u2", "first_name": "Two", "last_name": "Second", "remote_data": {"courses": build_roster("c7", "c8")}},
    ],
    "courses": [
        {
            "id": "c1",
            "title": "First",
            "status": "active",
            "created_at": DAY,
            "updated_at": DAY,
            "remote_data": {"users": build_roster("u1", "u2")},
        },
        {"id": "c2", "name": "Second", "remote_data": {"users": build_roster("u1", "u2")}},
    ],
}
CHANGES: dict[type, Callable[[Any], Any]] = {
    str: lambda text: text.replace("04:05:06Z", "05:06:07Z") if text == DAY else f"{text}x",
    bool: lambda flag: not flag,
    int: lambda number: number + 1,
    dict: lambda members: {key: value if key == "id" else change_value(value) for key, value in members.items()},
    list: lambda items: [change_value(item) for item in items],
}


def change_value(value: Any) -> Any:
    """Return another value that fits its field. Ids inside objects stay."""
    return CHANGES[type(value)](value)


def change_ids(remote_data: dict[str, Any]) -> dict[str, Any]:
    return {
        key: [item | {"id": f"{item['id']}x"} for item in value] if isinstance(value, list) else value
        for key, value in remote_data.items()
    }


def iter_variants(field: str) -> Iterator[Served]:
    """Yield the lists with a field changed in all records; also with other ids in rosters, and without an id."""
    yield change_field(field, change_value)
    if field.endswith(".remote_data"):
        yield change_field(field, change_ids)
    if field in {"course-enrollments.id", "course-enrollments.user.id", "course-enrollments.course.id"}:
        without = change_field(field, lambda _: None)["course-enrollments"][0]
        yield SERVED | {"course-enrollments": [SERVED["course-enrollments"][0], without | {"remote_data": None}]}


def change_field(field: str, change: Callable[[Any], Any]) -> Served:
    name, *parents, last = field.split(".")
    served = copy.deepcopy(SERVED)
    if last == ALL_FIELDS:
        served[name] = [change_value(record) if record == REJECTED else record | {"new": 1} for record in served[name]]
        return served
    for record in served[name]:
        if record != REJECTED:
            holder = reduce(lambda inner, parent: inner.get(parent, {}), parents, record)
            if last in holder:
                holder[last] = change(holder[last])
    return served


def build_columns(served: Served, folder: Path) -> Columns:
    """Return the values of every column of every pulled table."""
    batches, _ = flatten(*served["course-enrollments"])
    lists = {
        LEARNERS: ListFlattener("learners").flatten([build_response(*served["users"])]),
        COURSES: ListFlattener("courses").flatten([build_response(*served["courses"])]),
    }
    entries = [*read_entries(served["courses"], "users"), *read_entries(served["users"], "courses")]
    times = [NOON] * len(entries)
    raw = RawColumns()
    user_ids, course_ids, given = zip(*entries, strict=True)
    raw.extend(user_ids, course_ids, given, times)
    payloads = build_raw_batch(raw, "roster")
    for table, batch in lists.items():
        pq.write_table(pa.Table.from_batches([batch]), folder / f"{table.name}.parquet")
    with (
        TableFile(UNIFIED_ENROLLMENTS, folder / "served.parquet") as file,
        TableFile(UNIFIED_ENROLLMENTS, folder / "unified.parquet") as second,
    ):
        file.write(batches.unified)
        file.write(build_roster_batch(entries, times))
        sources = Sources(folder / "learners.parquet", folder / "courses.parquet")
        target, _ = deduplicate(
            file, ("user_id", "course_id"), open_second=lambda: second, scratch=folder / "scratch", sources=sources
        )
        target.close({})
    rows = {
        "unified_enrollments": pq.read_table(target.path),
        "raw_enrollments": pa.Table.from_batches([batches.raw, payloads]),
        "rejected_enrollments": batches.rejected,
        "learners": lists[LEARNERS],
        "courses": lists[COURSES],
    }
    return {(table, name): of.column(name).to_pylist() for table, of in rows.items() for name in of.schema.names}


def read_entries(records: list[dict[str, Any]], key: RosterKey) -> Iterator[RosterEntry]:
    for record, raw in zip(records, read_records(*map(json.dumps, records)), strict=True):
        response = read_roster_response(raw, key, record["id"])
        assert response is not None
        yield from response.entries


def find_changed(baseline: Columns, variant: Columns, *, are_ids: bool) -> set[tuple[str, str]]:
    """Return the columns that differ. With changed ids only id columns count: rows that no longer join have other values."""
    return {
        (table, name)
        for (table, name), values in baseline.items()
        if variant[table, name] != values and (not are_ids or name.endswith("_id") or table == "rejected_enrollments")
    }


@pytest.fixture(scope="module")
def deciding_fields(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], set[str]]:
    """Return the fields that change each column."""
    folder = tmp_path_factory.mktemp("columns")
    baseline = build_columns(SERVED, folder)
    fields: dict[tuple[str, str], set[str]] = defaultdict(set)
    for field in list_api_fields():
        for number, served in enumerate(iter_variants(field)):
            are_ids = field.endswith(".id") or number == 1
            for column in find_changed(baseline, build_columns(served, folder), are_ids=are_ids):
                fields[column].add(field)
    return fields


@pytest.mark.parametrize("table", PULLED_TABLES, ids=lambda table: table.name)
def test_a_column_is_decided_by_the_fields_in_its_lineage_and_no_other(table, deciding_fields):
    for column in table.columns:
        whole = {field.removesuffix("*") for field in column.sources if field.endswith("*")}
        others = {field for field in deciding_fields[table.name, column.name] if not field.startswith(tuple(whole))}
        found = others | {field for field in deciding_fields[table.name, column.name] if field.endswith("*")}
        assert (column.name, found) == (column.name, column.sources)


def test_every_field_is_in_the_lineage_of_a_column():
    named = set().union(*(column.sources for table in PULLED_TABLES for column in table.columns))
    assert named == set(list_api_fields())
