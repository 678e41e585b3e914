"""Which fields of the API decide a column: one field after the other is served otherwise, and the columns that change
are those that name it, no more and no fewer.
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
from lms_pipeline.transform.dedupe import StagedRows
from lms_pipeline.transform.enrollments import build_raw_batch
from lms_pipeline.transform.rosters import RosterEntry, RosterKey, build_roster_batch, read_roster_response
from lms_pipeline.transform.shapes import list_api_fields
from lms_pipeline.transform.users_courses import ListFlattener
from lms_pipeline_tests.support.fitting_records import TIMESTAMPS
from lms_pipeline_tests.support.served_records import NOON, flatten, read_records

Served = dict[str, list[Any]]
"""The records of each list."""
Columns = dict[tuple[str, str], list[Any]]

DAY = "2026-02-03T04:05:06Z"
MAIL = {"email": "a@example.org", "is_primary": True, "type": "work"}


def roster(*ids: str) -> list[dict[str, Any]]:
    """Enrollments as a roster tells them, the last one completed."""
    told = {
        "role": "learner",
        "enrolled_on_timestamp": 1_772_366_400,
        "completion_status": "incomplete",
        "completion_percentage": 40,
        "total_time_seconds": 60,
    }
    completed = [*[dict[str, Any]()] * (len(ids) - 1), {"completed_on_timestamp": 1_772_452_800}]
    return [{"id": one, **told, **more} for one, more in zip(ids, completed, strict=True)]


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
            "remote_data": {"courses": roster("c7", "c8")},
        },
        {
            "id": "u2",
            "first_name": "Two",
            "last_name": "Second",
            "remote_data": {"courses": roster("c7", "c8")},
        },
    ],
    "courses": [
        {
            "id": "c1",
            "title": "First",
            "status": "active",
            "created_at": DAY,
            "updated_at": DAY,
            "remote_data": {"users": roster("u1", "u2")},
        },
        {"id": "c2", "name": "Second", "remote_data": {"users": roster("u1", "u2")}},
    ],
}
OTHERWISE: dict[type, Callable[[Any], Any]] = {
    str: lambda text: text.replace("04:05:06Z", "05:06:07Z") if text == DAY else f"{text}x",
    bool: lambda told: not told,
    int: lambda number: number + 1,
    dict: lambda told: {key: value if key == "id" else otherwise(value) for key, value in told.items()},
    list: lambda told: [otherwise(one) for one in told],
}


def otherwise(value: Any) -> Any:
    """Another value that fits; of objects inside, the ids stay."""
    return OTHERWISE[type(value)](value)


def with_other_ids(remote_data: dict[str, Any]) -> dict[str, Any]:
    return {
        key: [one | {"id": f"{one['id']}x"} for one in listed] if isinstance(listed, list) else listed
        for key, listed in remote_data.items()
    }


def changed(field: str) -> Iterator[Served]:
    """What is served with a field otherwise, wherever it stands; also with rosters of others, and an id left out."""
    yield served_with(field, otherwise)
    if field.endswith(".remote_data"):
        yield served_with(field, with_other_ids)
    if field in {"course-enrollments.id", "course-enrollments.user.id", "course-enrollments.course.id"}:
        without = served_with(field, lambda _: None)["course-enrollments"][0]
        yield SERVED | {
            "course-enrollments": [SERVED["course-enrollments"][0], without | {"remote_data": None}]
        }


def served_with(field: str, change: Callable[[Any], Any]) -> Served:
    name, *parents, last = field.split(".")
    served = copy.deepcopy(SERVED)
    if last == ALL_FIELDS:
        served[name] = [
            otherwise(record) if record == REJECTED else record | {"new": 1} for record in served[name]
        ]
        return served
    for record in served[name]:
        if record != REJECTED:
            holder = reduce(lambda inner, parent: inner.get(parent, {}), parents, record)
            if last in holder:
                holder[last] = change(holder[last])
    return served


def columns(served: Served, folder: Path) -> Columns:
    """Every column of every pulled table."""
    flat, _ = flatten(*served["course-enrollments"])
    lists = {
        LEARNERS: ListFlattener("learners").flatten(read_records(*served["users"]), NOON),
        COURSES: ListFlattener("courses").flatten(read_records(*served["courses"]), NOON),
    }
    found = [*listed(served["courses"], "users"), *listed(served["users"], "courses")]
    times = [NOON] * len(found)
    payloads = build_raw_batch(
        [one.user_id for one in found],
        [one.course_id for one in found],
        [one.payload for one in found],
        "roster",
        times,
    )
    for table, batch in lists.items():
        pq.write_table(pa.Table.from_batches([batch]), folder / f"{table.name}.parquet")
    with (
        TableFile(UNIFIED_ENROLLMENTS, folder / "settled.parquet") as into,
        StagedRows(UNIFIED_ENROLLMENTS, ("user_id", "course_id"), folder / "waiting") as waiting,
    ):
        waiting.add(flat.unified)
        waiting.add(build_roster_batch(found, times))
        waiting.deduplicate_and_enrich(into, *(folder / f"{table.name}.parquet" for table in lists))
        into.close({})
    rows = {
        "unified_enrollments": pq.read_table(into.path),
        "raw_enrollments": pa.Table.from_batches([flat.raw, payloads]),
        "rejected_enrollments": flat.rejected,
        "learners": lists[LEARNERS],
        "courses": lists[COURSES],
    }
    return {
        (table, name): of.column(name).to_pylist() for table, of in rows.items() for name in of.schema.names
    }


def listed(records: list[dict[str, Any]], side: RosterKey) -> Iterator[RosterEntry]:
    for record, raw in zip(records, read_records(*map(json.dumps, records)), strict=True):
        told = read_roster_response(raw, side, record["id"])
        assert told is not None
        yield from told.entries


def moved(before: Columns, after: Columns, *, are_ids: bool) -> set[tuple[str, str]]:
    """The columns that changed; where ids are changed, only ids: rows that don't meet any more say nothing of values."""
    return {
        (table, name)
        for (table, name), values in before.items()
        if after[table, name] != values
        and (not are_ids or name.endswith("_id") or table == "rejected_enrollments")
    }


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], set[str]]:
    """By column the fields that moved it."""
    folder = tmp_path_factory.mktemp("columns")
    before = columns(SERVED, folder)
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for field in list_api_fields():
        for number, served in enumerate(changed(field)):
            are_ids = field.endswith(".id") or number == 1
            for column in moved(before, columns(served, folder), are_ids=are_ids):
                found[column].add(field)
    return found


@pytest.mark.parametrize("table", PULLED_TABLES, ids=lambda table: table.name)
def test_a_column_is_moved_by_the_fields_it_names_and_no_other(table, seen):
    for column in table.columns:
        whole = {field.removesuffix("*") for field in column.sources if field.endswith("*")}
        others = {field for field in seen[table.name, column.name] if not field.startswith(tuple(whole))}
        found = others | {field for field in seen[table.name, column.name] if field.endswith("*")}
        assert (column.name, found) == (column.name, column.sources)


def test_every_field_decides_something():
    named = set().union(*(column.sources for table in PULLED_TABLES for column in table.columns))
    assert named == set(list_api_fields())
