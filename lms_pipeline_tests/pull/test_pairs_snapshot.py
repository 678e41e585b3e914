"""Snapshots of an account that answers for one learner and course at a time, against a portal whose every day is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lms_pipeline.accounts import AccountOptions
from lms_pipeline.lake.paths import Partition
from lms_pipeline.pull.budget import BudgetSpentError, Limits
from lms_pipeline.pull.choosing import Choice
from lms_pipeline.pull.strategies import ListNotOfferedError, NoRosterError
from lms_pipeline.sandbox.faults.refusing import Status
from lms_pipeline.sandbox.server import RunningSandbox, running
from lms_pipeline.taking.order import Report
from lms_pipeline_tests.pull.portal import FIRST, PORTAL, Portal, status, unified
from lms_pipeline_tests.pull.taking import Taker
from lms_pipeline_tests.truto.scripted import Answer, Asked, answering, page, refusal

Rows = list[dict[str, Any]]

LISTS = 2
"""Pages of the lists of users and courses, where both fit one page."""
WAYS = ["roster", "learner"]


class Days:
    """Takes the snapshot of one day after the other."""

    def __init__(self, root: Path, portal: Portal, sandbox: RunningSandbox) -> None:
        self.portal = portal
        self.sandbox = sandbox
        self.taker = Taker(root, sandbox.url, sandbox.token)

    def take(self, day: int, limits: Limits | None = None, **more) -> Report:
        at = FIRST + timedelta(days=day)
        self.sandbox.set_clock(datetime.combine(at, time.max, UTC))
        self.sandbox.clear_counts()
        given = {"strategy": "roster"} | more.pop("options", {})
        return self.taker.take(
            account_id=PORTAL,
            day=at,
            now=datetime.combine(at + timedelta(days=1), time(1), UTC),
            run_id=more.pop("run_id", f"day-{day}"),
            options=AccountOptions(page_size=500, **given),
            limits=limits,
            **more,
        )

    def asked(self) -> Counter[str]:
        routes = self.sandbox.stats()["requests"].get(PORTAL, {})
        return Counter({route.removeprefix("GET /unified/lms/"): count for route, count in routes.items()})

    def rows(self, day: int) -> Rows:
        path = self.taker.file("unified_enrollments", self.date(day), PORTAL)
        rows: Rows = pq.read_table(path, partitioning=None).to_pylist()
        return rows

    def raw(self, day: int) -> Rows:
        path = self.taker.file("raw_enrollments", self.date(day), PORTAL)
        rows: Rows = pq.read_table(path, partitioning=None).to_pylist()
        return rows

    def path(self, file: str, day: int) -> Path:
        partition = Partition(PORTAL, self.date(day))
        if file == "details":
            return self.taker.data.details(partition)
        return self.taker.file(f"{file}_enrollments", self.date(day), PORTAL)

    def lose(self, day: int) -> None:
        for file in ("details", "raw", "unified"):
            self.path(file, day).unlink()

    def sources(self, day: int) -> Counter[str]:
        return Counter(row["source"] for row in self.rows(day))

    @staticmethod
    def date(day: int) -> date:
        return FIRST + timedelta(days=day)


def expected(portal: Portal, day: int) -> dict[tuple[str, str], dict[str, Any]]:
    """What users x courses would bring, from the portal itself."""
    rows = {}
    for one in portal.held(day):
        told = unified(one)
        rows[one.user_id, one.course_id] = {
            "enrollment_id": told["id"],
            "user_name": f"N{one.user_id}",
            "course_title": f"Course {one.course_id}",
            "status": told["status"],
            "status_raw": told["status"],
            "progress_percent": float(told["progress_percent"]),
            "enrolled_at": datetime.fromisoformat(told["enrolled_at"]),
            "completed_at": datetime.fromisoformat(told["completed_at"]) if "completed_at" in told else None,
            "updated_at": datetime.fromisoformat(told["updated_at"]),
            "time_spent_seconds": told["time_spent_seconds"],
            "role": status(one)["role"],
        }
    return rows


def stored(days: Days, day: int) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows, by pair, but for `source` and `fetched_at`; of the other columns none may hold anything."""
    names = set(next(iter(expected(days.portal, day).values())))
    rows = {}
    for row in days.rows(day):
        rows[row["user_id"], row["course_id"]] = {name: row[name] for name in names}
        others = set(row) - names - {"user_id", "course_id", "source", "fetched_at"}
        assert not any(row[name] for name in others)
    assert len(rows) == len(days.rows(day))
    return rows


@pytest.fixture(scope="module")
def portal() -> Portal:
    return Portal(learners=60, courses=10, each=4, every=40)


@pytest.fixture(scope="module")
def serving(portal) -> Iterator[RunningSandbox]:
    with running(portal) as sandbox:
        yield sandbox


@pytest.fixture
def days(tmp_path, portal, serving) -> Iterator[Days]:
    yield Days(tmp_path, portal, serving)
    serving.clear_faults()
    portal.hidden = False
    portal.strays = []
    portal.with_rosters = portal.with_courses = True


class TestCalls:
    @pytest.mark.parametrize(("strategy", "details"), [("roster", 10), ("learner", 60)])
    def test_are_spent_on_what_is_new_or_changed_or_in_turn(self, days, portal, strategy, details):
        pairs = 60 * 4
        assert days.take(0, options={"strategy": strategy}).requests == LISTS + details + pairs
        changed = portal.changed(1)
        assert changed == 6
        days.take(1, options={"strategy": strategy})
        in_turn = -(-(pairs - changed) // 7)
        assert days.asked().total() == LISTS + details + changed + in_turn
        for day in (0, 1):
            assert stored(days, day) == expected(portal, day)
        assert days.sources(1) == {"unified": changed + in_turn, "carried": pairs - changed - in_turn}

    def test_are_spent_on_changes_alone_where_nothing_is_asked_in_turn(self, days, portal):
        for day in (0, 1, 2):
            days.take(day, options={"rotation_days": 0})
        assert days.asked().total() == LISTS + 10 + portal.changed(2)
        assert stored(days, 2) == expected(portal, 2)

    def test_come_round_within_the_rotation(self, days):
        for day in range(4):
            days.take(day, options={"rotation_days": 3})
        oldest = min(row["fetched_at"] for row in days.rows(3))
        assert oldest.date() >= days.date(1)

    def test_are_not_spent_every_day_on_what_a_detail_lists_and_is_no_enrollment(self, days, portal):
        portal.strays = [{"id": "trainer", "role": "instructor"}]
        assert days.take(0).not_enrolled == 10
        again = [days.take(day).not_enrolled for day in range(1, 9)]
        assert max(again) < 10 <= sum(again)  # they come round like all that seems unchanged
        assert stored(days, 8) == expected(portal, 8)

    def test_are_not_spent_on_entries_without_an_id_which_are_told(self, days, portal):
        portal.strays = [{"role": "learner"}, {"id": None}]
        report = days.take(0)
        assert (report.unusable, report.complete, report.requests) == (20, False, LISTS + 10 + 240)
        assert stored(days, 0) == expected(portal, 0)

    def test_of_pairs_are_all_learners_in_all_courses(self, days, portal):
        report = days.take(0, options={"strategy": "pairs"})
        assert days.asked()["course-enrollments"] == 60 * 10
        assert report.not_enrolled == 60 * 10 - 60 * 4
        assert stored(days, 0) == expected(portal, 0)

    def test_of_pairs_are_those_of_a_file(self, days, tmp_path):
        file = tmp_path / "pairs.csv"
        file.write_text("course_id,user_id,more\n101,1,x\n999,1,x\n", encoding="utf-8")
        report = days.take(0, options={"strategy": "pairs", "pairs_file": str(file)})
        assert [(row["user_id"], row["course_id"]) for row in days.rows(0)] == [("1", "101")]
        assert (days.asked()["course-enrollments"], report.not_enrolled) == (2, 1)


class TestCarrying:
    def test_keeps_the_time_of_the_real_answer_and_the_payload(self, days):
        days.take(0)
        fetched = {(row["user_id"], row["course_id"]): row["fetched_at"] for row in days.rows(0)}
        days.take(1)
        carried = [row for row in days.rows(1) if row["source"] == "carried"]
        assert carried
        assert all(row["fetched_at"] == fetched[row["user_id"], row["course_id"]] for row in carried)
        assert len(days.raw(1)) == len(days.rows(1))
        assert {row["source"] for row in days.raw(1)} == {"remote_data"}

    def test_is_told_with_its_staleness(self, days):
        days.take(0)
        report = days.take(1)
        assert report.carried == days.sources(1)["carried"]
        assert report.oldest_fetch == min(row["fetched_at"] for row in days.rows(1))

    @pytest.mark.parametrize("strays", [[], [{"id": "trainer", "role": "instructor"}]])
    def test_saves_the_calls_that_asking_for_everything_takes_more(self, days, portal, strays):
        portal.strays = strays  # which no call finds an enrollment for
        assert days.take(0).calls_saved == 0
        carrying = days.take(1)
        sent = days.asked().total()
        assert days.take(2, may_carry=False).calls_saved == 0
        assert carrying.calls_saved == days.asked().total() - sent > 0

    def test_stops_where_too_much_had_changed_without_a_sign(self, days, portal):
        portal.hidden = True
        days.take(0)
        report = days.take(1)
        assert report.planned["changed"] == 0
        assert report.carry_asked == -(-240 // 7)
        # the first of the rotation are the first of the plan; one in forty of them moved on
        turned = [portal.one(learner, step, 1) for learner in range(60) for step in range(4)]
        by_course = sorted(range(240), key=lambda n: (int(turned[n].course_id), n))
        assert report.carry_differing == sum(
            turned[n].changed_on == 1 for n in by_course[: report.carry_asked]
        )
        assert report.carrying_stops is (report.carry_differing > report.carry_asked * 0.01)
        days.take(2, may_carry=False)
        assert stored(days, 2) == expected(portal, 2)
        assert days.sources(2) == {"unified": 240}

    def test_goes_by_the_snapshot_that_was_there_at_the_beginning_whatever_becomes_of_it(self, days, portal):
        days.take(0)
        days.take(1, tell=lambda _told: days.lose(0))
        assert days.sources(1)["carried"] > 0
        assert stored(days, 1) == expected(portal, 1)

    @pytest.mark.parametrize("file", ["details", "raw", "unified"])
    def test_from_a_damaged_snapshot_is_none_and_told(self, days, caplog, file):
        days.take(0)
        days.path(file, 0).write_bytes(b"PAR1 and no more")
        days.take(1)
        assert days.sources(1) == {"unified": 240}
        assert "is damaged: restore it" in caplog.text
        assert "Nothing is carried over from it today" in caplog.text

    @pytest.mark.parametrize("trouble", ["details are lost", "another strategy", "another plan"])
    def test_needs_a_snapshot_that_was_taken_the_same_way(self, days, trouble):
        days.take(0)
        if trouble == "details are lost":
            for path in (days.taker.root / "state" / "details").rglob("*.parquet"):
                path.unlink()
        given = {
            "details are lost": {},
            "another strategy": {"strategy": "learner"},
            "another plan": {"remote_data": "drop"},
        }
        days.take(1, options=given[trouble])
        assert days.sources(1) == {"unified": 240}


class TestBudget:
    def test_that_is_spent_leaves_the_rest_to_the_details_and_asks_for_it_first_the_next_day(
        self, days, portal
    ):
        limits = Limits(per_snapshot=100)
        report = days.take(0, limits)
        told = 100 - LISTS - 10
        assert days.asked().total() == 100
        assert report.complete
        assert days.sources(0) == {"unified": told, "roster": 240 - told}
        progress = {pair: row["progress_percent"] for pair, row in expected(portal, 0).items()}
        assert {(r["user_id"], r["course_id"]): r["progress_percent"] for r in days.rows(0)} == progress
        roster = [row for row in days.rows(0) if row["source"] == "roster"]
        assert all(row["status_raw"] is row["enrollment_id"] is None for row in roster)
        assert {row["source"] for row in days.raw(0)} == {"remote_data", "roster"}
        days.take(1, limits)
        assert days.asked().total() == 100
        assert days.sources(1)["roster"] < days.sources(0)["roster"]
        day = 1
        while days.sources(day)["roster"]:
            day += 1
            days.take(day, limits)
            assert days.asked().total() <= 100
        assert day == 2
        assert stored(days, day) == expected(portal, day)

    def test_that_is_spent_stores_no_payload_of_a_detail_where_payloads_are_dropped(self, days):
        days.take(0, Limits(per_snapshot=100), options={"remote_data": "drop"})
        assert days.sources(0)["roster"] > 0
        assert days.raw(0) == []

    def test_that_is_spent_can_make_the_snapshot_fail(self, days):
        with pytest.raises(
            BudgetSpentError, match=r"^The 100 calls that a snapshot of portal may cost are used"
        ):
            days.take(0, Limits(per_snapshot=100), options={"when_spent": "fail"})
        assert days.taker.visible() == []

    def test_that_does_not_reach_for_the_details_is_an_error(self, days):
        with pytest.raises(BudgetSpentError):
            days.take(0, Limits(per_snapshot=5))
        assert days.asked().total() == 5
        assert days.taker.visible() == []

    def test_that_does_not_reach_for_pairs_without_details_is_an_error(self, days):
        with pytest.raises(BudgetSpentError):
            days.take(0, Limits(per_snapshot=100), options={"strategy": "pairs"})
        assert days.taker.visible() == []

    def test_of_an_hour_is_waited_for_within_the_hours_and_no_longer(self, days):
        report = days.take(0, Limits(per_hour=50, hours=0.5))
        assert days.asked().total() == 50
        assert report.roster == 240 - (50 - LISTS - 10)


class TestAuto:
    def test_goes_by_rosters_where_they_cost_fewer_calls(self, days, portal):
        report = days.take(0, options={"strategy": "auto"})
        assert report.strategy == "roster"
        assert report.why == (
            "its metadata require user[id] and course[id]; 10 courses with rosters, 60 users with their courses: "
            "the rosters cost fewer calls"
        )
        assert days.asked().total() == 1 + 1 + LISTS + 10 + 240
        assert stored(days, 0) == expected(portal, 0)

    @pytest.mark.parametrize(
        ("rosters", "courses", "chosen"), [(False, True, "learner"), (False, False, "pairs")]
    )
    def test_goes_by_what_the_details_tell(self, days, portal, rosters, courses, chosen):
        portal.with_rosters, portal.with_courses = rosters, courses
        assert days.take(0, options={"strategy": "auto"}).strategy == chosen
        assert stored(days, 0) == expected(portal, 0)

    def test_goes_by_users_where_they_cost_little_more_since_they_tell_more(self, tmp_path):
        portal = Portal(learners=12, courses=10, each=2)
        with running(portal) as sandbox:
            assert Days(tmp_path, portal, sandbox).take(0, options={"strategy": "auto"}).strategy == "learner"

    def test_takes_what_it_chose_before_without_asking_and_chooses_again_where_that_fails(self, days, portal):
        remembered = Choice("learner", "so it was chosen")
        report = days.take(0, options={"strategy": "auto"}, remembered=remembered)
        assert (report.strategy, report.why) == ("learner", "so it was chosen")
        assert days.asked().total() == LISTS + 60 + 240
        portal.with_courses = False
        assert days.take(1, options={"strategy": "auto"}, remembered=remembered).strategy == "roster"

    def test_finds_out_from_the_refusal_where_there_are_no_metadata(self, days):
        days.sandbox.fault(Status(status=404, route="/unified/lms/{resource}/meta/{method}"))
        report = days.take(0, options={"strategy": "auto"})
        assert report.why.startswith("its LMS requires user[id] and course[id]; ")

    def test_looks_on_where_the_first_courses_and_users_are_gone(self, days, portal):
        for resource in ("courses", "users"):
            route = f"/unified/lms/{resource}/{{id}}"
            days.sandbox.fault(Status(status=404, remote=True, route=route, times=2))
        report = days.take(0, options={"strategy": "auto"})
        assert (report.strategy, report.is_settled, report.gone) == ("roster", True, 2)

    def test_that_saw_nothing_is_not_remembered(self, tmp_path):
        with running(Portal(learners=0, courses=3, each=0)) as sandbox:
            report = Days(tmp_path, Portal(0, 3, 0), sandbox).take(0, options={"strategy": "auto"})
        assert not report.is_settled

    def test_does_not_sweep_because_the_metadata_require_nothing(self, tmp_path):
        pair = ["user[id]", "course[id]"]
        insight = {"missing_required_query_parameters": {"value": pair}}

        def answer(asked: Asked) -> Answer:
            if "/meta/" in asked.path:
                return Answer(b'{"query_schema": {}}')
            if asked.path.endswith("course-enrollments"):
                return page() if "user" in asked.target else refusal(400, truto_error_insight=insight)
            return page()

        with answering(answer) as server:
            options = AccountOptions(strategy="auto")
            report = Taker(tmp_path, server.url).take(identity="pair", options=options)
        assert report.why.startswith("its LMS requires user[id] and course[id]")


@pytest.mark.parametrize(
    ("strategy", "resource"),
    [("roster", "courses"), ("learner", "users"), ("pairs", "users")],
)
@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_list_that_a_strategy_goes_by_is_not_taken_for_empty(days, strategy, resource, status):
    days.sandbox.fault(Status(status=status, route=f"/unified/lms/{resource}"))
    with pytest.raises(
        ListNotOfferedError, match=rf"^The LMS of account portal gives no list of its {resource}"
    ):
        days.take(0, options={"strategy": strategy})
    assert days.taker.visible() == []


@pytest.mark.parametrize(
    ("strategy", "says"),
    [("roster", "come without their rosters"), ("learner", "come without their courses")],
)
def test_a_strategy_that_does_not_fit_is_an_error_that_names_others(days, portal, strategy, says):
    portal.with_rosters = portal.with_courses = False
    with pytest.raises(NoRosterError, match=says):
        days.take(0, options={"strategy": strategy})


HOSTILE = ["a/{}", "../{}", "a b {}", "{}+", "{}%", "%2F{}", "é{}", "学习{}", "a&b={}", "{}#", "{}?", '"{}"']


@pytest.mark.parametrize("strategy", ["roster", "learner", "pairs"])
def test_ids_with_anything_in_them_go_through_every_strategy(tmp_path, strategy):
    portal = Portal(learners=len(HOSTILE), courses=len(HOSTILE), each=2, ids=HOSTILE)
    with running(portal) as sandbox:
        days = Days(tmp_path, portal, sandbox)
        days.take(0, options={"strategy": strategy})
        assert stored(days, 0) == expected(portal, 0)
