"""Faults in the pages of a list, as a client sees them."""

import json

import httpx
import pytest

from lms_pipeline.sandbox import Record
from lms_pipeline.sandbox.faults import (
    Drift,
    EmptyPage,
    Endless,
    ExpiredCursor,
    Html,
    Partial,
    RepeatedCursor,
    ShiftedPage,
)
from lms_pipeline.sandbox.faults.pages import change_types
from lms_pipeline_tests.support.sandbox import SWEEPING, Json, fetch_all

USERS = "/unified/lms/users"
SWEPT = {"integrated_account_id": SWEEPING}
ALL = [f"u{number}" for number in range(12)]


def fetch_user_ids(client: httpx.Client, **parameters: str | int) -> list[str]:
    return [user["id"] for user in fetch_all(client, USERS, **SWEPT, **parameters)]


def fetch_page(client: httpx.Client, cursor: str = "", limit: int = 5) -> Json:
    response = client.get(USERS, params={**SWEPT, "limit": limit, "next_cursor": cursor})
    assert response.status_code == 200, response.text
    page: Json = response.json()
    return page


def read_ids(page: Json) -> list[str]:
    return [user["id"] for user in page["result"]]


@pytest.mark.parametrize("status", [400, 404, 409, 410, 422])
def test_an_expired_cursor_is_refused_and_the_first_page_is_not(sandbox, client, status):
    sandbox.fault(ExpiredCursor(status=status))
    cursor = fetch_page(client)["next_cursor"]
    response = client.get(USERS, params=SWEPT | {"next_cursor": cursor})
    assert (response.status_code, response.json()["message"]) == (status, "next_cursor has expired")


def test_a_repeated_cursor_leads_to_its_own_page(sandbox, client):
    sandbox.fault(RepeatedCursor())
    cursor = fetch_page(client)["next_cursor"]
    assert fetch_page(client, cursor)["next_cursor"] == cursor


def test_an_empty_page_has_a_cursor_and_loses_no_record(sandbox, client):
    sandbox.fault(EmptyPage(after=1, times=2))
    sizes, cursor, seen = [], "", []
    while cursor is not None:
        page = fetch_page(client, cursor)
        sizes.append(len(page["result"]))
        seen += read_ids(page)
        cursor = page["next_cursor"]
    assert sizes == [5, 0, 0, 5, 2]
    assert seen == ALL


def test_records_that_appear_before_a_page_repeat_the_last_ones(sandbox, client):
    sandbox.fault(ShiftedPage(by=2, times=1))
    assert fetch_user_ids(client, limit=5) == [*ALL[:5], *ALL[3:]]


def test_records_that_vanish_before_a_page_leave_a_gap(sandbox, client):
    sandbox.fault(ShiftedPage(by=-2, times=1))
    assert fetch_user_ids(client, limit=5) == [*ALL[:5], *ALL[7:]]


@pytest.mark.parametrize(("empty", "later"), [(False, ALL), (True, [])])
def test_an_endless_list_has_a_new_cursor_on_each_page(sandbox, client, empty, later):
    sandbox.fault(Endless(empty=empty))
    cursors, cursor, seen = set(), "", []
    for _ in range(4):
        page = fetch_page(client, cursor, limit=12)
        cursors.add(cursor := page["next_cursor"])
        seen.append(read_ids(page))
    assert len(cursors) == 4
    assert seen == [ALL, later, later, later]


def test_a_partial_page_is_marked(sandbox, client):
    sandbox.fault(Partial(share=0.5, times=1))
    first = fetch_page(client, limit=12)
    assert (read_ids(first), first["is_partial_response"]) == (ALL[:6], True)
    assert "is_partial_response" not in fetch_page(client, limit=12)


def test_drift_changes_types_and_no_value():
    unified = {
        "id": "17",
        "score": 81.5,
        "n": 3,
        "user": {"id": "007", "emails": [{"is_primary": True}]},
        "long": "1234567890123456",
        "none": None,
        "name": "Ann",
        "arabic": "٣",
    }
    record = change_types(Record(json.dumps(unified).encode(), b'{ "n": 1 }'))
    assert json.loads(record.unified) == {
        "id": 17,
        "score": "81.5",
        "n": "3",
        "user": {"id": "007", "emails": [{"is_primary": "true"}]},
        "long": "1234567890123456",
        "none": None,
        "name": "Ann",
        "arabic": "٣",
    }
    assert record.remote == b'{ "n": 1 }'


def test_drift_changes_the_pages_of_a_list(sandbox, client):
    sandbox.fault(Drift())
    assert fetch_user_ids(client) == ALL
    assert sandbox.faults()[0]["struck"] == 1


def test_a_fault_of_lists_matches_no_other_request(sandbox, client):
    sandbox.fault(Drift(times=1))
    client.get("/integrated-account")
    assert [(fault["met"], fault["struck"]) for fault in sandbox.faults()] == [(0, 0)]


def test_two_faults_strike_the_same_request(sandbox, client):
    sandbox.fault(Partial(), Html(times=1, after=1))
    assert fetch_page(client)["is_partial_response"] is True
    assert client.get(USERS, params=SWEPT).text.startswith("<!DOCTYPE")
    assert [fault["struck"] for fault in sandbox.faults()] == [2, 1]
