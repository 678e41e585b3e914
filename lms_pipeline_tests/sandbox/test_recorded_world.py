"""The world of `--records` files."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from lms_pipeline.sandbox import Clock, SandboxError, records_world, running
from lms_pipeline_tests.support.sandbox import Json, build_line, fetch_all, iterate_pages, open_client, write_lines

ENROLLMENTS, USERS, COURSES = (f"/unified/lms/{name}" for name in ("course-enrollments", "users", "courses"))
SECOND = datetime(2013, 10, 2, tzinfo=UTC)
LATER = datetime(2013, 11, 1, tzinfo=UTC)


@pytest.fixture
def serving(tmp_path):
    """Return a function that serves lines, and returns a client and a function to set the clock."""
    with ExitStack() as stack:

        def start(*lines: Json) -> tuple[httpx.Client, Callable[[datetime], None]]:
            world = records_world([write_lines(tmp_path / "lines.ndjson", lines)])
            sandbox = stack.enter_context(running(world, clock=Clock(LATER)))
            return stack.enter_context(open_client(sandbox)), sandbox.set_clock

        yield start


def fetch(client: httpx.Client, path: str = ENROLLMENTS, **parameters: str | int) -> list[Json]:
    return fetch_all(client, path, integrated_account_id="acme", **parameters)


def fetch_statuses(client: httpx.Client) -> list[tuple[str, str]]:
    return [(one["id"], one["status"]) for one in fetch(client)]


def test_an_enrollment_is_served_in_its_latest_valid_version(serving):
    client, set_clock = serving(
        build_line("e1", "2013-10-03T00:00:00Z", with_={"status": "completed"}),
        build_line("e1", "2013-10-01T00:00:00Z", with_={"status": "assigned"}),
        build_line("e1", "2013-10-02T00:00:00Z", with_={"status": "in_progress"}),
    )
    served = {}
    for instant in (SECOND, SECOND - timedelta(seconds=1), SECOND - timedelta(days=2), LATER):
        set_clock(instant)
        served[instant] = [status for _, status in fetch_statuses(client)]
    assert list(served.values()) == [["in_progress"], ["assigned"], [], ["completed"]]


def test_the_later_line_of_two_versions_of_one_instant_wins(serving):
    client, _ = serving(build_line("e1", with_={"status": "failed"}), build_line("e1", with_={"status": "passed"}))
    assert fetch_statuses(client) == [("e1", "passed")]


def test_a_deleted_enrollment_is_absent_until_a_later_version(serving):
    client, set_clock = serving(
        build_line("e1"),
        build_line("e2"),
        build_line("e1", "2013-10-02T00:00:00Z", deleted=True),
        build_line("e1", "2013-10-03T00:00:00Z", with_={"status": "completed"}),
    )
    set_clock(SECOND)
    assert fetch_statuses(client) == [("e2", "enrolled")]
    set_clock(LATER)
    assert fetch_statuses(client) == [("e1", "completed"), ("e2", "enrolled")]


def test_enrollments_without_an_id_are_identified_by_the_pair(serving):
    by_pair = {"id": None, "user": {"id": 7}}
    client, _ = serving(
        build_line(with_=by_pair | {"status": "assigned"}),
        build_line(with_=by_pair | {"course": {"id": "c2"}}),
        build_line(valid_from="2013-10-02T00:00:00Z", with_=by_pair | {"status": "failed"}),
    )
    assert [(one["course"]["id"], one["status"]) for one in fetch(client)] == [("c1", "failed"), ("c2", "enrolled")]


def test_records_and_raw_are_served_byte_for_byte(tmp_path):
    enrollment = '{ "id":"e1", "odd" : 1.50e0, "name":"\\u00e9é" }'
    raw = '{"role":"learner",  "n": 100000000000000000000, "again":1, "again":2}'
    path = tmp_path / "lines.ndjson"
    path.write_text(
        f'{{"account":"acme","valid_from":"2013-10-01T00:00:00Z","enrollment":{enrollment},"raw":{raw}}}\n',
        encoding="utf-8",
    )
    with running(records_world([path])) as sandbox, open_client(sandbox) as client:
        content = client.get(ENROLLMENTS, params={"integrated_account_id": "acme"}).content
        raw_content = client.get(
            ENROLLMENTS, params={"integrated_account_id": "acme", "truto_response_format": "raw"}
        ).content
    assert content.startswith(f'{{"result":[{enrollment[:-1]},"remote_data":{raw}}}],"next_cursor":null'.encode())
    assert raw_content.startswith(f'{{"result":[{raw}],"next_cursor":null'.encode())


@pytest.mark.parametrize("more", [{}, {"raw": None}])
def test_a_record_without_raw_has_no_remote_data(serving, more):
    client, _ = serving(build_line("e1", **more))
    assert "remote_data" not in fetch(client)[0]


def test_enrollments_are_served_in_the_order_in_which_they_first_appear(serving):
    client, _ = serving(
        build_line("b"),
        build_line("a"),
        build_line("c", "2013-09-01T00:00:00Z"),
        build_line("a", "2013-10-05T00:00:00Z"),
    )
    assert [one["id"] for one in fetch(client, limit=2)] == ["b", "a", "c"]


def test_enrollments_are_filtered_by_learner_and_course(serving):
    client, _ = serving(
        *(
            build_line(f"{user}{course}", with_={"user": {"id": user}, "course": {"id": course}})
            for user in ("u1", "u2", "u3")
            for course in ("c1", "c2")
        )
    )
    assert [one["id"] for one in fetch(client, **{"user[id]": "u2"}, limit=1)] == ["u2c1", "u2c2"]
    assert [one["id"] for one in fetch(client, **{"course[id]": "c2"})] == ["u1c2", "u2c2", "u3c2"]
    assert [one["id"] for one in fetch(client, **{"user[id]": "u3", "course[id]": "c1"})] == ["u3c1"]
    assert fetch(client, **{"user[id]": "u3", "course[id]": "c3"}) == []


def test_users_and_courses_are_those_that_visible_enrollments_name(serving):
    client, set_clock = serving(
        build_line("e1", with_={"user": {"id": "u1", "name": "Old"}}),
        build_line("e2", "2013-10-03T00:00:00Z", with_={"user": {"id": "u1", "name": "New"}, "course": {"id": "c2"}}),
        build_line("e3", with_={"user": "nobody"}),
    )
    assert fetch(client, USERS) == [{"id": "u1", "name": "New"}]
    assert fetch(client, COURSES) == [{"id": "c1"}, {"id": "c2"}]
    assert client.get(f"{USERS}/u1", params={"integrated_account_id": "acme"}).json()["name"] == "New"
    set_clock(SECOND)
    assert fetch(client, USERS) == [{"id": "u1", "name": "Old"}]
    assert client.get(f"{COURSES}/c2", params={"integrated_account_id": "acme"}).status_code == 404


def test_a_sweep_returns_every_remaining_enrollment_while_the_clock_moves(serving):
    lines = [build_line(f"e{number}") for number in range(5)]
    client, set_clock = serving(*lines, build_line("e0", "2013-10-02T00:00:00Z", deleted=True))
    set_clock(SECOND - timedelta(hours=1))
    pages = iterate_pages(client, ENROLLMENTS, integrated_account_id="acme", limit=2)
    assert [one["id"] for one in next(pages)] == ["e0", "e1"]
    set_clock(SECOND)
    assert [one["id"] for page in pages for one in page] == ["e2", "e3", "e4"]


def test_several_files_make_one_world(tmp_path):
    world = records_world(
        [
            write_lines(tmp_path / "one.ndjson", [build_line("e1"), build_line("e1", account_id="other")]),
            write_lines(tmp_path / "two.ndjson", [build_line("e1", "2013-10-09T12:00:00+02:00")]),
        ]
    )
    acme, other = world.accounts()
    assert (acme.id, other.id) == ("acme", "other")
    assert (acme.integration.name, acme.integration.category, acme.status) == ("records", "lms", "active")
    assert acme.updated_at == datetime(2013, 10, 9, 10, tzinfo=UTC)


def test_naive_instants_are_utc_and_blank_lines_are_skipped(tmp_path):
    path = tmp_path / "lines.ndjson"
    path.write_text(f"\n{json.dumps(build_line('e1', '2013-10-01T00:00:00'))}\n  \n", encoding="utf-8")
    [acme] = records_world([path]).accounts()
    assert acme.created_at == datetime(2013, 10, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("invalid", "reason"),
    [
        ('{"account" 5}', "JSON is malformed"),
        ("[]", "Expected `object`"),
        (json.dumps({**build_line(), "valid_from": "yesterday"}), "valid_from"),
        (json.dumps({"account": "acme"}), "valid_from"),
        (json.dumps({**build_line(), "removed": True}), "removed"),
        (json.dumps({**build_line(), "enrollment": 5}), "Expected `object`"),
        (json.dumps(build_line(with_={"id": "", "user": None})), "has no id, and not both"),
        (json.dumps(build_line(with_={"remote_data": {}})), "belongs beside it as raw"),
    ],
)
def test_an_invalid_line_is_named(tmp_path, invalid, reason):
    path = tmp_path / "lines.ndjson"
    path.write_text(f"{json.dumps(build_line())}\n{invalid}\n", encoding="utf-8")
    with pytest.raises(SandboxError) as caught:
        records_world([path])
    message = str(caught.value)
    assert message.startswith(f"{path}, line 2 can't be used as a record: ")
    assert reason in message
    assert "\n" not in message


def test_a_line_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "lines.ndjson"
    path.write_bytes(b'{"account":"\xff","valid_from":"2013-10-01T00:00:00Z","enrollment":{"id":"e1"}}\n')
    with pytest.raises(SandboxError, match="line 1 "):
        records_world([path])


def test_a_file_that_is_missing_or_empty_is_one_clear_sentence(tmp_path):
    with pytest.raises(SandboxError, match=r"missing\.ndjson can't be read: No such file"):
        records_world([tmp_path / "missing.ndjson"])
    with pytest.raises(SandboxError, match="There are no records in"):
        records_world([write_lines(tmp_path / "empty.ndjson", [])])
    with pytest.raises(SandboxError, match="no files at all"):
        records_world([])


def test_a_view_is_built_once_for_all_pages_of_a_sweep(tmp_path):
    world = records_world(
        [write_lines(tmp_path / "lines.ndjson", [build_line(), build_line(valid_from="2013-10-20T00:00:00Z")])]
    )
    view = world.view("acme", SECOND)
    assert world.view("acme", SECOND + timedelta(hours=1)) is view
    assert world.view("acme", LATER) is not view
