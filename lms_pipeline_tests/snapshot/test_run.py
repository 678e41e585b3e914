"""A whole snapshot run of an account, from the API to the published files."""

from datetime import date

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.sandbox import Clock, records_world, running
from lms_pipeline.snapshot.job import TABLES
from lms_pipeline.transform.dedupe import Duplicates
from lms_pipeline_tests.support.sandbox import build_line, write_lines
from lms_pipeline_tests.support.scripted_api import page, refusal
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import DAY, OPEN, SnapshotRunner, record, respond_by_path

PEOPLE = [("u1", "Ann", "ann@example.org"), ("u2", "Bob", "bob@example.org"), ("u3", "Cleo", "cleo@example.org")]


def build_person_line(number, user_id, name, address):
    user = {"id": user_id, "name": name, "emails": [{"email": address, "is_primary": True}]}
    course = {"id": f"c{number % 2}", "title": f"Course {number % 2}"}
    return build_line(f"e{number}", "2026-02-01T00:00:00Z", with_={"user": user, "course": course}, raw={"n": number})


LINES = [
    *(build_person_line(number, *person) for number, person in enumerate(PEOPLE)),
    build_line("e3", "2026-02-01T00:00:00Z", with_={"user": "nobody"}),
    build_line("e4", "2026-02-01T00:00:00Z", with_={"user": {"id": "u1"}, "course": {"id": "  "}}, raw={"n": 4}),
    build_line("7", "2026-02-01T00:00:00Z", with_={"user": {"id": "u1"}, "course": {"id": "c1"}, "score": 1}),
    build_line("x", "2026-02-01T00:00:00Z", with_={"id": 7, "user": {"id": "u1"}, "course": {"id": "c1"}, "score": 2}),
    build_line("e0", "2026-03-01T12:00:00Z", with_={"status": "Completed "}, raw={"n": 0}),
]
"""The API serves e0, e1, e2, two records without a usable learner or course, and two with the same id: "7" and 7."""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    path = write_lines(tmp_path_factory.mktemp("records") / "lines.ndjson", LINES)
    with running(records_world([path]), clock=Clock(OPEN)) as sandbox:
        yield sandbox


@pytest.fixture
def runner(tmp_path, sandbox):
    return SnapshotRunner(tmp_path, sandbox.url, sandbox.token)


@pytest.fixture(scope="module")
def published(tmp_path_factory, sandbox):
    """The runner and the result of one run; the tests only read its files."""
    runner = SnapshotRunner(tmp_path_factory.mktemp("published"), sandbox.url, sandbox.token)
    return runner, runner.run()


class TestSweep:
    def test_publishes_all_five_tables_of_one_run(self, published):
        runner, result = published
        assert [one.table.name for one in result.published] == [
            "raw_enrollments",
            "rejected_enrollments",
            "learners",
            "courses",
            "unified_enrollments",
        ]
        assert {runner.read_metadata(name)["run_id"] for name in TABLES} == {"run-1"}
        assert runner.list_published_tables() == sorted(TABLES)
        assert runner.list_leftovers() == []

    def test_stores_rejects_or_deduplicates_every_served_record(self, published):
        _, result = published
        assert result.rows.served == 7
        assert (result.rows.rejected, result.rows.duplicates) == (2, Duplicates(identical=0, conflicting=1))
        assert {one.table.name: one.rows for one in result.published} == {
            "raw_enrollments": 4,
            "rejected_enrollments": 2,
            "learners": 3,
            "courses": 2,
            "unified_enrollments": 4,
        }

    def test_keeps_the_order_of_the_api_and_the_last_record_of_a_duplicate(self, published):
        runner, _ = published
        assert runner.read_rows("unified_enrollments", "enrollment_id", "user_id", "course_id", "status", "score") == [
            ("e0", "u1", "c1", "completed", None),
            ("e1", "u2", "c1", "enrolled", None),
            ("e2", "u3", "c0", "enrolled", None),
            ("7", "u1", "c1", "enrolled", 2.0),
        ]

    def test_keeps_raw_byte_for_byte_also_of_a_rejected_record(self, published):
        runner, _ = published
        assert runner.read_rows("raw_enrollments", "user_id", "payload") == [
            ("u1", '{"n": 0}'),
            ("u2", '{"n": 1}'),
            ("u3", '{"n": 2}'),
            ("u1", '{"n": 4}'),
        ]

    def test_names_the_field_of_a_rejected_record(self, published):
        runner, _ = published
        assert [field for (field,) in runner.read_rows("rejected_enrollments", "field")] == ["user.id", "course.id"]

    def test_is_incomplete_with_duplicates(self, published):
        runner, result = published
        assert result.complete is False
        assert runner.read_metadata()["complete"] == "false"

    def test_stores_strategy_time_and_requests_in_the_metadata(self, published):
        runner, result = published
        metadata = runner.read_metadata()
        assert (metadata["strategy"], metadata["pulled_at"], metadata["requests"]) == (
            "sweep",
            OPEN.isoformat(),
            str(result.requests),
        )
        assert result.choice.why == "its LMS lists all enrollments"

    def test_reads_the_pages_twice_when_records_come_twice(self, runner, sandbox):
        before = sandbox.stats()["requests"].get("acme", {})
        result = runner.run(options=AccountOptions(page_size=3))
        after = sandbox.stats()["requests"]["acme"]
        calls = {route: count - before.get(route, 0) for route, count in after.items()}
        assert calls == {
            "GET /unified/lms/{resource}/meta/{method}": 1,
            "GET /unified/lms/course-enrollments": 2 * 3,
            "GET /unified/lms/users": 1,
            "GET /unified/lms/courses": 1,
        }
        assert result.requests == 9


def test_the_same_records_have_the_same_digests_with_any_page_size(runner):
    runner.run()
    first = {name: runner.read_metadata(name)["digest"] for name in TABLES}
    runner.run(run_id="run-2", options=AccountOptions(page_size=500))
    assert {name: runner.read_metadata(name)["digest"] for name in TABLES} == first
    assert runner.read_metadata()["run_id"] == "run-2"


def test_different_records_have_different_digests(tmp_path):
    digests = set()
    for score in (1, 2):
        with serve(respond_by_path([page(record("u1", score=score))])) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            runner.run()
            digests.add(runner.read_metadata()["digest"])
    assert len(digests) == 2


def test_names_and_titles_come_from_the_lists(tmp_path):
    ann = {"id": "u1", "first_name": "Ann", "last_name": "Lee", "emails": [{"email": "ann@example.org"}]}
    script = respond_by_path([page(record("u1"))], [page(ann)], [page({"id": "c1", "name": "Fire"})])
    with serve(script) as server:
        runner = SnapshotRunner(tmp_path, server.url)
        runner.run()
    assert runner.read_rows("unified_enrollments", "user_name", "user_email", "course_title") == [
        ("Ann Lee", "ann@example.org", "Fire")
    ]


def test_the_pair_is_the_key_of_an_account_without_enrollment_ids(tmp_path):
    duplicate = record("u1", id=None, status="completed")
    served = page(record("u1"), record("u2", id=None), duplicate)
    with serve(respond_by_path([served, served])) as server:
        runner = SnapshotRunner(tmp_path, server.url)
        result = runner.run(identity="pair")
    assert runner.read_rows("unified_enrollments", "enrollment_id", "user_id", "status") == [
        (None, "u2", "enrolled"),
        (None, "u1", "completed"),
    ]
    assert result.rows.duplicates == Duplicates(identical=0, conflicting=1)


def test_an_account_without_enrollments_publishes_tables_without_rows(tmp_path):
    with serve(respond_by_path()) as server:
        runner = SnapshotRunner(tmp_path, server.url)
        result = runner.run()
    assert {one.table.name: one.rows for one in result.published} == dict.fromkeys(TABLES, 0)
    assert (result.complete, runner.read_metadata()["complete"]) == (True, "true")
    assert runner.read_rows("unified_enrollments", "user_id", "fetched_at") == []


@pytest.mark.parametrize("path", ["enrollments", "users", "courses"])
def test_a_partial_response_makes_the_snapshot_incomplete(tmp_path, path):
    with serve(respond_by_path(**{path: [page(cursor="1"), page(is_partial_response=True)]})) as server:
        runner = SnapshotRunner(tmp_path, server.url)
        assert runner.run().complete is False
    assert runner.read_metadata()["complete"] == "false"


@pytest.mark.parametrize("status", [404, 405])
def test_lists_that_the_lms_does_not_offer_are_empty_and_the_snapshot_is_complete(tmp_path, status):
    script = respond_by_path([page(record("u1"))], [refusal(status)], [refusal(status)])
    with serve(script) as server:
        runner = SnapshotRunner(tmp_path, server.url)
        result = runner.run()
    assert {one.table.name: one.rows for one in result.published}["unified_enrollments"] == 1
    assert runner.read_rows("learners", "user_id") == runner.read_rows("courses", "course_id") == []
    assert result.complete


def test_records_with_problems_are_counted_by_table(tmp_path):
    users = [page({"id": "u1"}, {"id": "u1", "name": "Ann"}, {"id": None})]
    with serve(respond_by_path([page(record("u1", score="high", status="paused"))], users)) as server:
        result = SnapshotRunner(tmp_path, server.url).run()
    assert result.reading["learners"] == {"rejected": 1, "duplicates": 1}
    assert result.reading["courses"] == {}
    assert result.reading["unified_enrollments"] == {"read_leniently": 1, "unreadable_score": 1}
    assert result.rows.undocumented_statuses == {"paused": 1}


def test_a_page_with_half_an_emoji_is_counted_as_repaired(tmp_path):
    cut, whole = record("u1", remote_data={"name": "x\ud83d"}), record("u2", remote_data={"name": "x"})
    with serve(respond_by_path([page(cut, cursor="more"), page(whole)])) as server:
        runner = SnapshotRunner(tmp_path, server.url)
        result = runner.run()
    assert (result.rows.served, result.rows.repaired_pages) == (2, 1)
    assert runner.read_rows("raw_enrollments", "user_id") == [("u1",), ("u2",)]


class TestListsOnly:
    @pytest.mark.parametrize("tables", [["learners"], ["courses"], ["learners", "courses"]])
    def test_publish_without_a_request_for_enrollments(self, tmp_path, tables):
        users, courses = [page({"id": "u1"})], [page({"id": "c1"}, {"id": "c2"})]
        with serve(respond_by_path(users=users, courses=courses)) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            result = runner.run(tables=tables)
        assert [one.table.name for one in result.published] == tables
        assert runner.list_published_tables() == sorted(tables)
        assert {request.path for request in server.received} <= {"/unified/lms/users", "/unified/lms/courses"}
        assert result.requests == len(server.received) == len(tables)

    def test_become_all_five_tables_with_one_table_of_enrollments(self, runner):
        runner.run(tables=["rejected_enrollments"])
        assert runner.list_published_tables() == sorted(TABLES)


def test_accounts_and_days_do_not_overwrite_each_other(tmp_path):
    with serve(respond_by_path()) as server:
        runner = SnapshotRunner(tmp_path, server.url)
        runner.run()
        runner.run(account_id="other")
        runner.run(day=date(2026, 3, 2), now=OPEN.replace(day=3))
    assert runner.list_published_tables() == sorted([*TABLES] * 3)
    assert runner.file("learners", DAY, "other").exists()
