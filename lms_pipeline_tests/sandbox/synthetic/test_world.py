"""The world that is made up: the same for the same seed, and further on at a later clock."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from lms_pipeline.enrollments.tables import STATUSES
from lms_pipeline.sandbox.errors import SandboxError
from lms_pipeline.sandbox.synthetic.profiles import (
    ACADEMY_ID,
    ACCOUNTS,
    BROKEN_ID,
    COMPANY_ID,
    CRM_ID,
    GROUP_ID,
    PROFILES,
    TALENTLMS_ID,
)
from lms_pipeline.sandbox.synthetic.world import GeneratedWorld, generated_world
from lms_pipeline_tests.sandbox.worlds import Json

SWEPT = [ACADEMY_ID, COMPANY_ID, GROUP_ID]
SPRING = datetime(2026, 4, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def world():
    return generated_world()


@pytest.fixture(scope="module")
def enrollments(world):
    return served(world, COMPANY_ID, SPRING) + served(world, ACADEMY_ID, SPRING)


def served(world: GeneratedWorld, account_id: str, at: datetime, kind: str = "enrollments") -> list[Json]:
    listing = getattr(world.view(account_id, at), kind)()
    return [
        json.loads(record.unified) | {"remote_data": json.loads(record.remote)}
        for record in listing.read(0, 10**9).records
    ]


def by_id(records: list[Json]) -> dict[str, Json]:
    return {record["id"]: record for record in records}


class TestDeterminism:
    def test_the_same_seed_and_instant_give_the_same_bytes_whatever_was_asked_before(self):
        wandering = generated_world(seed=7)
        for year in (2024, 2031, 2025):
            wandering.view(COMPANY_ID, datetime(year, 7, 1, tzinfo=UTC)).enrollments().read(0, 500)
        again = wandering.view(COMPANY_ID, SPRING).enrollments().read(0, 10**9)
        assert again == generated_world(seed=7).view(COMPANY_ID, SPRING).enrollments().read(0, 10**9)

    def test_an_account_is_the_same_whichever_others_are_chosen(self, world):
        alone = generated_world(accounts=[ACADEMY_ID])
        assert [account.id for account in alone.accounts()] == [ACADEMY_ID]
        assert served(alone, ACADEMY_ID, SPRING) == served(world, ACADEMY_ID, SPRING)

    def test_another_seed_gives_another_world(self, world):
        assert served(generated_world(seed=1), ACADEMY_ID, SPRING) != served(world, ACADEMY_ID, SPRING)

    def test_an_account_that_is_not_there_is_one_clear_sentence(self):
        with pytest.raises(
            SandboxError, match=rf"^The generated world has no account nobody: it has {ACADEMY_ID}.*\.$"
        ):
            generated_world(accounts=["nobody"])


class TestAccounts:
    def test_there_is_one_of_each_sort(self, world):
        told = {account.id: (account.integration.category, account.status) for account in world.accounts()}
        assert told == {
            **dict.fromkeys([*SWEPT, TALENTLMS_ID], ("lms", "active")),
            BROKEN_ID: ("lms", "needs_reauth"),
            CRM_ID: ("crm", "active"),
        }
        assert [account.id for account in world.accounts() if account.demands_pair] == [TALENTLMS_ID]

    def test_what_can_be_asked_has_a_company(self):
        askable = {one.id for one in ACCOUNTS if one.status == "active" and one.integration.category == "lms"}
        assert askable == set(PROFILES)

    @pytest.mark.parametrize(
        ("account_id", "learners", "enrollments"),
        [(ACADEMY_ID, 60, 650), (COMPANY_ID, 300, 7_000), (GROUP_ID, 1_500, 28_000)],
    )
    def test_sizes_are_about_what_they_are_said_to_be(self, world, account_id, learners, enrollments):
        active = [user for user in served(world, account_id, SPRING, "users") if user["status"] == "active"]
        assert len(active) == pytest.approx(learners, rel=0.15)
        assert len(served(world, account_id, SPRING)) == pytest.approx(enrollments, rel=0.15)


class TestTime:
    @pytest.mark.parametrize("year", [2024, 2030, 2035])
    def test_every_year_has_something_new(self, world, year):
        begin, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year, 12, 31, tzinfo=UTC)
        assert len(served(world, ACADEMY_ID, end)) > len(served(world, ACADEMY_ID, begin)) > 0

    def test_before_its_beginning_and_after_its_end_the_world_answers_too(self, world):
        assert served(world, ACADEMY_ID, datetime(1969, 1, 1, tzinfo=UTC)) == []
        late = datetime(2036, 1, 1, tzinfo=UTC)
        assert len(served(world, ACADEMY_ID, late)) == len(served(world, ACADEMY_ID, late.replace(year=9000)))

    @pytest.mark.parametrize("account_id", [ACADEMY_ID, COMPANY_ID])
    def test_from_day_to_day_enrollments_appear_and_are_finished(self, world, account_id):
        weeks = [served(world, account_id, SPRING + timedelta(weeks=week)) for week in range(3)]
        finished = [sum(one.get("completed_at") is not None for one in week) for week in weeks]
        assert finished == sorted(set(finished))
        assert len(weeks[0]) < len(weeks[2])

    def test_learners_go_on_and_positions_stay(self, world):
        before, after = (served(world, COMPANY_ID, SPRING + timedelta(days=days)) for days in (0, 10))
        assert [one["id"] for one in after][: len(before)] == [one["id"] for one in before]
        later = by_id(after)
        for one in before:
            if later[one["id"]]["attempts_count"] == one["attempts_count"]:
                assert later[one["id"]]["progress_percent"] >= one["progress_percent"]
            assert later[one["id"]]["updated_at"] >= one["updated_at"]
            assert later[one["id"]]["time_spent_seconds"] >= one["time_spent_seconds"]

    @pytest.mark.parametrize("account_id", [ACADEMY_ID, COMPANY_ID])
    def test_nothing_that_has_happened_lies_in_the_future(self, world, account_id):
        now = SPRING.strftime("%Y-%m-%dT%H:%M:%SZ")
        happened = (
            "assigned_at",
            "enrolled_at",
            "started_at",
            "last_activity_at",
            "completed_at",
            "updated_at",
        )
        for one in served(world, account_id, SPRING):
            told = [one[name] for name in happened if name in one]
            assert told[:-1] == sorted(told[:-1])
            assert max(told) == one["updated_at"] <= now


class TestVariety:
    def test_every_documented_status_but_unknown_is_there(self, enrollments):
        assert {one["status"] for one in enrollments} == set(STATUSES) - {"unknown"}

    def test_one_in_forty_is_an_instructor(self, enrollments):
        roles = Counter(one["remote_data"]["role"] for one in enrollments)
        assert roles["instructor"] / roles.total() == pytest.approx(1 / 40, rel=0.2)
        assert all(
            one["progress_percent"] == 0 for one in enrollments if one["remote_data"]["role"] == "instructor"
        )

    def test_some_fail_and_try_again(self, enrollments):
        retakes = [one for one in enrollments if one["attempts_count"] > 1]
        assert 0.01 < len(retakes) / len(enrollments) < 0.1
        assert {one["attempt_number"] for one in retakes} == {2}

    def test_mandatory_courses_have_due_dates_and_are_taken_every_year(self, enrollments):
        mandatory = [one for one in enrollments if one["is_mandatory"]]
        assert {one["due_at"][10:] for one in mandatory if "due_at" in one} == {"T00:00:00Z"}
        repeats = Counter((one["user"]["id"], one["course"]["id"]) for one in mandatory)
        assert max(repeats.values()) == 4

    def test_completion_rates_are_believable_and_differ_between_courses(self, world):
        done = defaultdict(list)
        for one in served(world, GROUP_ID, SPRING):
            done[one["course"]["title"]].append("completed_at" in one)
        rates = [sum(told) / len(told) for told in done.values() if len(told) > 50]
        assert min(rates) < 0.4
        assert 0.75 < max(rates) < 0.95

    def test_names_come_in_many_scripts_and_addresses_lead_nowhere(self, world):
        users = served(world, GROUP_ID, SPRING, "users")
        letters = "".join(user.get("name", "") for user in users)
        assert all(one in letters for one in "aжήيनא김王")
        addresses = [email["email"] for user in users for email in user["emails"]]
        assert {address.rpartition("@")[2] for address in addresses} == {
            "meridian.example.org",
            "mail.example.org",
        }
        assert len(addresses) == len(set(addresses))
        assert [user for user in users if not user["emails"]]
        assert [user for user in users if "name" not in user]


def test_enrollments_are_filtered_by_learner_and_course(world):
    view = world.view(COMPANY_ID, SPRING)
    everything = served(world, COMPANY_ID, SPRING)
    one = everything[4_000]
    user_id, course_id = one["user"]["id"], one["course"]["id"]
    for wanted in ((user_id, None), (None, course_id), (user_id, course_id)):
        expected = [
            other["id"]
            for other in everything
            if wanted[0] in {None, other["user"]["id"]} and wanted[1] in {None, other["course"]["id"]}
        ]
        found = view.enrollments(*wanted).read(0, 10**6).records
        assert [json.loads(record.unified)["id"] for record in found] == expected


@pytest.mark.parametrize("user_id", ["", "usr-", "usr-1", "usr-99999", "usr-00000", "usr--0001", "crs-001"])
def test_an_id_that_nobody_has_finds_nobody(world, user_id):
    view = world.view(COMPANY_ID, SPRING)
    assert view.user(user_id) is None
    assert view.enrollments(user_id=user_id).read(0, 1).records == []


def test_a_company_that_everybody_has_left_goes_on_empty():
    deserted = msgspec.structs.replace(PROFILES[COMPANY_ID], headcount=1, yearly_turnover=0.4)
    [account] = [account for account in ACCOUNTS if account.id == COMPANY_ID]
    world = GeneratedWorld(1, [account], {COMPANY_ID: deserted})
    there = served(world, COMPANY_ID, datetime(2024, 1, 1, tzinfo=UTC))
    assert served(world, COMPANY_ID, datetime(2035, 12, 31, tzinfo=UTC))[: len(there)]
