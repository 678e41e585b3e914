import json
from typing import Any

import httpx
import pytest

from benchmarks.world.pages import World, list_pairs, write_world
from benchmarks.world.server import TOKEN, serve_world

ROWS = 2_000


def read_list(client, account, name):
    """Follow the cursors; return the records and the number of pages."""
    records: list[dict[str, Any]] = []
    query, pages = {"integrated_account_id": account}, 0
    while True:
        body = client.get(f"/unified/lms/{name}", params=query).raise_for_status().json()
        records, pages = records + body["result"], pages + 1
        if body["next_cursor"] is None:
            return records, pages
        query["next_cursor"] = body["next_cursor"]


@pytest.fixture(scope="module")
def client(world):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with serve_world(world) as url, httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
        yield client


def test_the_same_pages_are_rendered_again(world, tmp_path):
    again = write_world(tmp_path, ROWS)
    assert {file.name: file.read_bytes() for file in again.iterdir()} == {
        file.name: file.read_bytes() for file in world.iterdir()
    }


def test_pages_that_are_there_are_used(world):
    before = {file.name: file.stat().st_mtime_ns for file in world.iterdir()}
    assert write_world(world.parent, ROWS) == world
    assert {file.name: file.stat().st_mtime_ns for file in world.iterdir()} == before


def test_a_record_has_about_the_size_of_a_real_one(world):
    sizes = [
        sum(map(len, World(world).read_bodies(name, ROWS))) / ROWS for name in ("enrollments_with_raw", "enrollments")
    ]
    assert sizes == [pytest.approx(945, rel=0.05), pytest.approx(518, rel=0.05)]


@pytest.mark.parametrize(
    ("name", "records", "pages"), [("course-enrollments", 4_000, 8), ("users", 400, 2), ("courses", 400, 1)]
)
def test_a_larger_account_repeats_the_pages_with_other_ids(client, name, records, pages):
    found, count = read_list(client, "acc-4000", name)
    assert (len({record["id"] for record in found}), count) == (records, pages)


def test_every_enrollment_is_of_a_listed_user_and_course(client):
    enrollments, _ = read_list(client, "acc-4000", "course-enrollments")
    for name, key in (("users", "user"), ("courses", "course")):
        listed = {record["id"] for record in read_list(client, "acc-4000", name)[0]}
        assert {enrollment[key]["id"] for enrollment in enrollments} <= listed


def test_raw_data_can_be_left_out(client):
    query = {"integrated_account_id": "acc-2000", "truto_ignore_remote_data": "true"}
    assert "remote_data" not in client.get("/unified/lms/course-enrollments", params=query).json()["result"][0]


def test_an_account_of_pairs_has_no_list(client):
    response = client.get("/unified/lms/course-enrollments", params={"integrated_account_id": "acc-pairs"})
    assert (response.status_code, "missing_required_query_parameters" in response.text) == (400, True)


def test_each_listed_pair_is_served(client, world):
    for user_id, course_id in list_pairs(world, 3):
        query = {"integrated_account_id": "acc-pairs", "user[id]": user_id, "course[id]": course_id}
        (record,) = client.get("/unified/lms/course-enrollments", params=query).json()["result"]
        assert (record["user"]["id"], record["course"]["id"]) == (user_id, course_id)


def test_another_token_is_refused(client):
    response = client.get("/integrated-account", headers={"Authorization": "Bearer other"})
    assert response.status_code == 401


def test_bodies_in_memory_are_those_of_the_server(client, world):
    body = World(world).read_bodies("enrollments_with_raw", ROWS)[0]
    response = client.get("/unified/lms/course-enrollments", params={"integrated_account_id": "acc-2000"})
    assert json.loads(body) == response.json()
