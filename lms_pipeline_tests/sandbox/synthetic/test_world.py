"""The synthetic world: the same for the same seed, further on at a later clock."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise

import msgspec
import pytest

from lms_pipeline.sandbox import SandboxError, generated_world
from lms_pipeline.sandbox.synthetic.world import (
    ACADEMY_ID,
    ACCOUNTS,
    BROKEN_ID,
    COMPANY_ID,
    CRM_ID,
    GROUP_ID,
    PROFILES,
    TALENTLMS_ID,
    SyntheticWorld,
)
from lms_pipeline.tables.pulled import STATUSES
from lms_pipeline_tests.support.sandbox import Json

SWEPT = [ACADEMY_ID, COMPANY_ID, GROUP_ID]
SPRING = datetime(2026, 4, 15, tzinfo=UTC)
HAPPENED = ("assigned_at", "enrolled_at", "started_at", "last_activity_at", "completed_at", "updated_at")


@pytest.fixture(scope="module")
def world():
    return generated_world()


@pytest.fixture(scope="module")
def enrollments(world):
    return served(world, COMPANY_ID, SPRING) + served(world, ACADEMY_ID, SPRING)


@pytest.fixture(scope="module", autouse=True)
def _served_records_are_dropped():
    yield
    served.cache_clear()


@cache
def served(world: SyntheticWorld, account_id: str, at: datetime, kind: str = "enrollments") -> list[Json]:
    """Return all records of a kind. Read-only, since tests share them."""
    listing = getattr(world.view(account_id, at), kind)()
    return [
        json.loads(record.unified) | {"remote_data": json.loads(record.remote)}
        for record in listing.read(0, 10**9).records
    ]


class TestDeterminism:
    def test_the_same_seed_and_instant_give_the_same_bytes_in_whatever_order_requested(self):
        wandering = generated_world(seed=7)
        for year in (2024, 2031, 2025):
            wandering.view(COMPANY_ID, datetime(year, 7, 1, tzinfo=UTC)).enrollments().read(0, 500)
        again = wandering.view(COMPANY_ID, SPRING).enrollments().read(0, 10**9)
        assert again == generated_world(seed=7).view(COMPANY_ID, SPRING).enrollments().read(0, 10**9)

    def test_an_account_is_the_same_whichever_others_are_chosen(self, world):
        chosen = generated_world(accounts=[ACADEMY_ID])
        assert [account.id for account in chosen.accounts()] == [ACADEMY_ID]
        assert served(chosen, ACADEMY_ID, SPRING) == served(world, ACADEMY_ID, SPRING)

    def test_another_seed_gives_another_world(self, world):
        assert served(generated_world(seed=1), ACADEMY_ID, SPRING) != served(world, ACADEMY_ID, SPRING)

    def test_an_unknown_account_is_one_clear_sentence(self):
        says = rf"^The synthetic world has no account nobody: it has {ACADEMY_ID}.*\.$"
        with pytest.raises(SandboxError, match=says):
            generated_world(accounts=["nobody"])


class TestAccounts:
    def test_there_is_one_of_each_kind(self, world):
        kinds = {account.id: (account.integration.category, account.status) for account in world.accounts()}
        assert kinds == {
            **dict.fromkeys([*SWEPT, TALENTLMS_ID], ("lms", "active")),
            BROKEN_ID: ("lms", "needs_reauth"),
            CRM_ID: ("crm", "active"),
        }
        assert [account.id for account in world.accounts() if account.requires_pair] == [TALENTLMS_ID]

    def test_every_active_lms_account_has_a_company(self):
        usable = {one.id for one in ACCOUNTS if one.status == "active" and one.integration.category == "lms"}
        assert usable == set(PROFILES)

    @pytest.mark.parametrize(
        ("account_id", "learners", "enrollments"),
        [(ACADEMY_ID, 60, 650), (COMPANY_ID, 300, 7_000), (GROUP_ID, 1_500, 28_000)],
    )
    def test_sizes_are_about_those_of_the_docs(self, world, account_id, learners, enrollments):
        active = [user for user in served(world, account_id, SPRING, "users") if user["status"] == "active"]
        assert len(active) == pytest.approx(learners, rel=0.15)
        assert len(served(world, account_id, SPRING)) == pytest.approx(enrollments, rel=0.15)


class TestTime:
    @pytest.mark.parametrize("year", [2024, 2030, 2035])
    def test_every_year_has_something_new(self, world, year):
        begin, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year, 12, 31, tzinfo=UTC)
        assert len(served(world, ACADEMY_ID, end)) > len(served(world, ACADEMY_ID, begin)) > 0

    def test_before_the_first_and_after_the_last_year_there_is_a_state_too(self, world):
        assert served(world, ACADEMY_ID, datetime(1969, 1, 1, tzinfo=UTC)) == []
        late = datetime(2036, 1, 1, tzinfo=UTC)
        assert len(served(world, ACADEMY_ID, late)) == len(served(world, ACADEMY_ID, late.replace(year=9000)))

    @pytest.mark.parametrize("account_id", [ACADEMY_ID, COMPANY_ID])
    def test_every_week_enrollments_appear_and_are_finished(self, world, account_id):
        weeks = [served(world, account_id, SPRING + timedelta(weeks=week)) for week in range(3)]
        finished = [sum("completed_at" in one for one in week) for week in weeks]
        assert finished == sorted(set(finished))
        assert len(weeks[0]) < len(weeks[2])

    def test_learners_advance_and_positions_stay(self, world):
        before, after = (served(world, COMPANY_ID, SPRING + timedelta(days=days)) for days in (0, 10))
        assert [one["id"] for one in after][: len(before)] == [one["id"] for one in before]
        for one, later in zip(before, after, strict=False):
            if later["attempts_count"] == one["attempts_count"]:
                assert later["progress_percent"] >= one["progress_percent"]
            assert later["updated_at"] >= one["updated_at"]
            assert later["time_spent_seconds"] >= one["time_spent_seconds"]

    @pytest.mark.parametrize("second", [SPRING, SPRING.replace(microsecond=999_999)])
    @pytest.mark.parametrize("account_id", [ACADEMY_ID, COMPANY_ID])
    def test_nothing_that_has_happened_is_in_the_future(self, world, account_id, second):
        now = SPRING.strftime("%Y-%m-%dT%H:%M:%SZ")
        for one in served(world, account_id, second):
            happened = [one[name] for name in HAPPENED if name in one]
            assert happened[:-1] == sorted(happened[:-1])
            assert max(happened) == one["updated_at"] <= now

    @pytest.mark.parametrize("kind", ["users", "courses", "enrollments"])
    def test_lists_are_in_the_order_of_creation(self, world, kind):
        created = [one["created_at"] for one in served(world, GROUP_ID, SPRING, kind)]
        assert created == sorted(created)

    def test_something_is_due_all_year_round(self, enrollments):
        due = sorted({datetime.fromisoformat(one["due_at"]) for one in enrollments if "due_at" in one})
        assert max(later - earlier for earlier, later in pairwise(due)) < timedelta(days=45)


class TestVariety:
    def test_there_is_every_documented_status_but_unknown(self, enrollments):
        assert {one["status"] for one in enrollments} == set(STATUSES) - {"unknown"}

    def test_one_in_forty_is_an_instructor_without_progress(self, enrollments):
        instructors = [one for one in enrollments if one["remote_data"]["role"] == "instructor"]
        assert len(instructors) / len(enrollments) == pytest.approx(1 / 40, rel=0.2)
        assert {one["progress_percent"] for one in instructors} == {0}

    def test_some_fail_and_try_again(self, enrollments):
        retakes = [one for one in enrollments if one["attempts_count"] > 1]
        assert 0.01 < len(retakes) / len(enrollments) < 0.1
        assert {one["attempt_number"] for one in retakes} == {2}

    def test_mandatory_courses_have_due_dates_and_come_back_every_year(self, enrollments):
        mandatory = [one for one in enrollments if one["is_mandatory"]]
        assert {one["due_at"][10:] for one in mandatory} == {"T00:00:00Z"}
        repeats = Counter((one["user"]["id"], one["course"]["id"]) for one in mandatory)
        assert max(repeats.values()) == 4  # from 2023 to 2026

    def test_completion_rates_are_plausible_and_differ_between_courses(self, world):
        completed = defaultdict(list)
        for one in served(world, GROUP_ID, SPRING):
            completed[one["course"]["title"]].append("completed_at" in one)
        rates = [sum(ones) / len(ones) for ones in completed.values() if len(ones) > 50]
        assert min(rates) < 0.4
        assert 0.75 < max(rates) < 0.95

    def test_names_come_in_many_scripts_and_addresses_lead_nowhere(self, world):
        users = served(world, GROUP_ID, SPRING, "users")
        letters = "".join(user.get("name", "") for user in users)
        assert all(one in letters for one in "aжήيनא김王")
        addresses = [email["email"] for user in users for email in user["emails"]]
        domains = {address.rpartition("@")[2] for address in addresses}
        assert domains == {"meridian.example.org", "mail.example.org"}
        assert len(addresses) == len(set(addresses))
        assert [user for user in users if not user["emails"]]
        assert [user for user in users if "name" not in user]


def test_enrollments_are_filtered_by_learner_and_course(world):
    everything = served(world, COMPANY_ID, SPRING)
    user_id, course_id = everything[4_000]["user"]["id"], everything[4_000]["course"]["id"]
    for pair in ((user_id, None), (None, course_id), (user_id, course_id)):
        expected = [
            other["id"]
            for other in everything
            if pair[0] in {None, other["user"]["id"]} and pair[1] in {None, other["course"]["id"]}
        ]
        found = world.view(COMPANY_ID, SPRING).enrollments(*pair).read(0, 10**6).records
        assert [json.loads(record.unified)["id"] for record in found] == expected


@pytest.mark.parametrize("user_id", ["", "usr-", "usr-1", "usr-99999", "usr-00000", "usr--0001", "crs-001"])
def test_an_unknown_id_finds_nobody(world, user_id):
    view = world.view(COMPANY_ID, SPRING)
    assert view.user(user_id) is None
    assert view.enrollments(user_id=user_id).read(0, 1).records == []


def test_a_company_that_everybody_has_left_continues_without_people():
    deserted = msgspec.structs.replace(PROFILES[COMPANY_ID], headcount=1, yearly_turnover=0.4)
    [account] = [account for account in ACCOUNTS if account.id == COMPANY_ID]
    world = SyntheticWorld(1, [account], {COMPANY_ID: deserted})
    there = served(world, COMPANY_ID, datetime(2024, 1, 1, tzinfo=UTC))
    assert served(world, COMPANY_ID, datetime(2035, 12, 31, tzinfo=UTC))[: len(there)]
