"""A whole pull of an account, from the sandbox to the published files."""

from datetime import date

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.sandbox import Clock, records_world, running
from lms_pipeline.snapshot.job import TABLES
from lms_pipeline.transform.dedupe import Duplicates
from lms_pipeline_tests.support.sandbox import build_line, write_lines
from lms_pipeline_tests.support.scripted_api import page, refusal
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import DAY, OPEN, Taker, by_path, record

PEOPLE = [
    ("u1", "Ann", "ann@example.org"),
    ("u2", "Bob", "bob@example.org"),
    ("u3", "Cleo", "cleo@example.org"),
]


def served(number, user_id, name, address):
    user = {"id": user_id, "name": name, "emails": [{"email": address, "is_primary": True}]}
    course = {"id": f"c{number % 2}", "title": f"Course {number % 2}"}
    return build_line(
        f"e{number}", "2026-02-01T00:00:00Z", with_={"user": user, "course": course}, raw={"n": number}
    )


LINES = [
    *(served(number, *person) for number, person in enumerate(PEOPLE)),
    build_line("e3", "2026-02-01T00:00:00Z", with_={"user": "nobody"}),
    build_line(
        "e4", "2026-02-01T00:00:00Z", with_={"user": {"id": "u1"}, "course": {"id": "  "}}, raw={"n": 4}
    ),
    build_line("7", "2026-02-01T00:00:00Z", with_={"user": {"id": "u1"}, "course": {"id": "c1"}, "score": 1}),
    build_line(
        "x", "2026-02-01T00:00:00Z", with_={"id": 7, "user": {"id": "u1"}, "course": {"id": "c1"}, "score": 2}
    ),
    build_line("e0", "2026-03-01T12:00:00Z", with_={"status": "Completed "}, raw={"n": 0}),
]
"""Served: e0, e1, e2, two without a usable learner or course, and two whose ids are read as the same: "7" and 7."""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    path = write_lines(tmp_path_factory.mktemp("records") / "lines.ndjson", LINES)
    with running(records_world([path]), clock=Clock(OPEN)) as sandbox:
        yield sandbox


@pytest.fixture
def taker(tmp_path, sandbox):
    return Taker(tmp_path, sandbox.url, sandbox.token)


@pytest.fixture(scope="module")
def taken(tmp_path_factory, sandbox):
    """One pull that several tests look at."""
    taker = Taker(tmp_path_factory.mktemp("taken"), sandbox.url, sandbox.token)
    return taker, taker.take()


class TestSweep:
    def test_publishes_all_five_tables_of_one_run(self, taken):
        taker, report = taken
        assert [one.table.name for one in report.published] == [
            "raw_enrollments",
            "rejected_enrollments",
            "learners",
            "courses",
            "unified_enrollments",
        ]
        assert {taker.metadata(name)["run_id"] for name in TABLES} == {"run-1"}
        assert taker.visible() == sorted(TABLES)
        assert taker.left_over() == []

    def test_what_was_served_is_stored_rejected_or_a_duplicate(self, taken):
        _, report = taken
        assert report.rows.served == 7
        assert (report.rows.rejected, report.rows.duplicates) == (2, Duplicates(identical=0, conflicting=1))
        assert {one.table.name: one.rows for one in report.published} == {
            "raw_enrollments": 4,
            "rejected_enrollments": 2,
            "learners": 3,
            "courses": 2,
            "unified_enrollments": 4,
        }

    def test_rows_stand_in_the_order_served_and_of_a_duplicate_the_last(self, taken):
        taker, _ = taken
        assert taker.rows(
            "unified_enrollments", "enrollment_id", "user_id", "course_id", "status", "score"
        ) == [
            ("e0", "u1", "c1", "completed", None),
            ("e1", "u2", "c1", "enrolled", None),
            ("e2", "u3", "c0", "enrolled", None),
            ("7", "u1", "c1", "enrolled", 2.0),
        ]

    def test_raw_is_kept_to_the_byte_also_of_a_record_that_is_rejected(self, taken):
        taker, _ = taken
        assert taker.rows("raw_enrollments", "user_id", "payload") == [
            ("u1", '{"n": 0}'),
            ("u2", '{"n": 1}'),
            ("u3", '{"n": 2}'),
            ("u1", '{"n": 4}'),
        ]

    def test_a_rejected_record_tells_its_field(self, taken):
        taker, _ = taken
        assert [field for (field,) in taker.rows("rejected_enrollments", "field")] == ["user.id", "course.id"]

    def test_duplicates_mean_that_something_may_be_missing(self, taken):
        taker, report = taken
        assert report.complete is False
        assert taker.metadata()["complete"] == "false"

    def test_the_files_tell_how_they_were_had(self, taken):
        taker, report = taken
        told = taker.metadata()
        assert (told["strategy"], told["pulled_at"], told["requests"]) == (
            "sweep",
            OPEN.isoformat(),
            str(report.requests),
        )
        assert report.choice.why == "its LMS lists all enrollments"

    def test_the_server_saw_each_page_once_and_again_since_some_records_came_twice(self, taker, sandbox):
        before = sandbox.stats()["requests"].get("acme", {})
        report = taker.take(options=AccountOptions(page_size=3))
        after = sandbox.stats()["requests"]["acme"]
        asked = {route: count - before.get(route, 0) for route, count in after.items()}
        assert asked == {
            "GET /unified/lms/{resource}/meta/{method}": 1,
            "GET /unified/lms/course-enrollments": 2 * 3,
            "GET /unified/lms/users": 1,
            "GET /unified/lms/courses": 1,
        }
        assert report.requests == 9


def test_the_same_answers_give_the_same_digests_in_whatever_pages(taker):
    taker.take()
    first = {name: taker.metadata(name)["digest"] for name in TABLES}
    taker.take(run_id="run-2", options=AccountOptions(page_size=500))
    assert {name: taker.metadata(name)["digest"] for name in TABLES} == first
    assert taker.metadata()["run_id"] == "run-2"


def test_another_state_gives_another_digest(tmp_path):
    digests = set()
    for score in (1, 2):
        with serve(by_path([page(record("u1", score=score))])) as server:
            taker = Taker(tmp_path, server.url)
            taker.take()
            digests.add(taker.metadata()["digest"])
    assert len(digests) == 2


def test_names_come_from_the_lists(tmp_path):
    ann = {"id": "u1", "first_name": "Ann", "last_name": "Lee", "emails": [{"email": "ann@example.org"}]}
    answers = by_path([page(record("u1"))], [page(ann)], [page({"id": "c1", "name": "Fire"})])
    with serve(answers) as server:
        taker = Taker(tmp_path, server.url)
        taker.take()
    assert taker.rows("unified_enrollments", "user_name", "user_email", "course_title") == [
        ("Ann Lee", "ann@example.org", "Fire")
    ]


def test_by_pair_the_pair_is_the_key_and_no_id_is_needed(tmp_path):
    again = record("u1", id=None, status="completed")
    served = page(record("u1"), record("u2", id=None), again)
    with serve(by_path([served, served])) as server:
        taker = Taker(tmp_path, server.url)
        report = taker.take(identity="pair")
    assert taker.rows("unified_enrollments", "enrollment_id", "user_id", "status") == [
        (None, "u2", "enrolled"),
        (None, "u1", "completed"),
    ]
    assert report.rows.duplicates == Duplicates(identical=0, conflicting=1)


def test_an_account_without_enrollments_publishes_tables_without_rows(tmp_path):
    with serve(by_path()) as server:
        taker = Taker(tmp_path, server.url)
        report = taker.take()
    assert {one.table.name: one.rows for one in report.published} == dict.fromkeys(TABLES, 0)
    assert (report.complete, taker.metadata()["complete"]) == (True, "true")
    assert taker.rows("unified_enrollments", "user_id", "fetched_at") == []


@pytest.mark.parametrize("path", ["enrollments", "users", "courses"])
def test_a_partial_answer_makes_a_snapshot_that_is_not_complete(tmp_path, path):
    with serve(by_path(**{path: [page(cursor="1"), page(is_partial_response=True)]})) as server:
        taker = Taker(tmp_path, server.url)
        assert taker.take().complete is False
    assert taker.metadata()["complete"] == "false"


@pytest.mark.parametrize("status", [404, 405])
def test_lists_that_are_not_offered_are_empty_and_nothing_is_missing(tmp_path, status):
    answers = by_path([page(record("u1"))], [refusal(status)], [refusal(status)])
    with serve(answers) as server:
        taker = Taker(tmp_path, server.url)
        report = taker.take()
    assert {one.table.name: one.rows for one in report.published}["unified_enrollments"] == 1
    assert taker.rows("learners", "user_id") == taker.rows("courses", "course_id") == []
    assert report.complete


def test_what_is_odd_in_the_lists_is_counted_by_table(tmp_path):
    users = [page({"id": "u1"}, {"id": "u1", "name": "Ann"}, {"id": None})]
    with serve(by_path([page(record("u1", score="high", status="paused"))], users)) as server:
        report = Taker(tmp_path, server.url).take()
    assert report.reading["learners"] == {"rejected": 1, "duplicates": 1}
    assert report.reading["courses"] == {}
    assert report.reading["unified_enrollments"] == {"read_leniently": 1, "unreadable_score": 1}
    assert report.rows.undocumented_statuses == {"paused": 1}


def test_a_page_with_half_an_emoji_is_counted_since_its_raw_is_not_to_the_byte(tmp_path):
    cut, whole = record("u1", remote_data={"name": "x\ud83d"}), record("u2", remote_data={"name": "x"})
    with serve(by_path([page(cut, cursor="more"), page(whole)])) as server:
        taker = Taker(tmp_path, server.url)
        report = taker.take()
    assert (report.rows.served, report.rows.repaired_pages) == (2, 1)
    assert taker.rows("raw_enrollments", "user_id") == [("u1",), ("u2",)]


class TestListsAlone:
    @pytest.mark.parametrize("tables", [["learners"], ["courses"], ["learners", "courses"]])
    def test_are_had_without_asking_for_enrollments(self, tmp_path, tables):
        users, courses = [page({"id": "u1"})], [page({"id": "c1"}, {"id": "c2"})]
        with serve(by_path(users=users, courses=courses)) as server:
            taker = Taker(tmp_path, server.url)
            report = taker.take(tables=tables)
        assert [one.table.name for one in report.published] == tables
        assert taker.visible() == sorted(tables)
        assert {asked.path for asked in server.received} <= {"/unified/lms/users", "/unified/lms/courses"}
        assert report.requests == len(server.received) == len(tables)

    def test_with_one_table_of_enrollments_all_five_are_published(self, taker):
        taker.take(tables=["rejected_enrollments"])
        assert taker.visible() == sorted(TABLES)


def test_accounts_and_days_stand_beside_each_other(tmp_path):
    with serve(by_path()) as server:
        taker = Taker(tmp_path, server.url)
        taker.take()
        taker.take(account_id="other")
        taker.take(day=date(2026, 3, 2), now=OPEN.replace(day=3))
    assert taker.visible() == sorted([*TABLES] * 3)
    assert taker.file("learners", DAY, "other").exists()
