"""What the generated TalentLMS portal says of a user and of a course: the cases that a client has to stand."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from lms_pipeline.sandbox.synthetic import certificates
from lms_pipeline.sandbox.synthetic.names import DEPARTMENTS
from lms_pipeline.sandbox.synthetic.profiles import TALENTLMS_ID
from lms_pipeline.sandbox.synthetic.world import generated_world

SPRING = datetime(2026, 3, 1, tzinfo=UTC)
CERTIFICATE = [
    "course_id",
    "course_name",
    "unique_id",
    "issued_date",
    "expiration_date",
    "download_url",
    "public_url",
]


def told(at, kind):
    """The users or the courses as asked for one by one, in the provider's words."""
    view = generated_world(accounts=[TALENTLMS_ID]).view(TALENTLMS_ID, at)
    listing, one = {"users": (view.users(), view.user), "courses": (view.courses(), view.course)}[kind]
    records = [one(json.loads(listed.unified)["id"]) for listed in listing.read(0, 999).records]
    return [json.loads(record.remote) for record in records if record is not None and record.remote]


def day_of(text):
    return datetime.strptime(text, "%d/%m/%Y").replace(tzinfo=UTC).date()


def certificates_of(users):
    return [certificate for user in users for certificate in user["certifications"]]


@pytest.fixture(scope="module")
def users():
    return told(SPRING, "users")


@pytest.fixture(scope="module")
def courses():
    return told(SPRING, "courses")


@pytest.fixture(scope="module")
def roster(courses):
    return [entry for course in courses for entry in course["users"]]


class TestWhatAnAccountHas:
    def test_instructors_on_rosters(self, roster):
        assert {entry["role"] for entry in roster} == {"learner", "instructor"}

    def test_learners_whose_access_has_expired(self, roster):
        expired = [entry for entry in roster if entry["expired_on"]]
        assert expired
        assert all(int(entry["expired_on_timestamp"]) <= SPRING.timestamp() for entry in expired)
        assert {entry["completed_on"] for entry in expired} == {""}

    def test_certificates_that_have_expired_and_others_that_have_not(self, users):
        expired = {day_of(one["expiration_date"]) < SPRING.date() for one in certificates_of(users)}
        assert expired == {True, False}

    @pytest.mark.parametrize("entity", ["&amp;", "&#039;"])
    def test_names_with_entities(self, users, courses, entity):
        spoken = [user[name] for user in users for name in ("first_name", "last_name", "custom_field_1")]
        spoken += [course["name"] for course in courses]
        spoken += [entry["name"] for course in courses for entry in course["users"]]
        assert any(entity in text for text in spoken)

    def test_titles_with_entities(self, users, courses):
        titles = {course["name"] for course in courses}
        assert any("&amp;" in title for title in titles)
        assert {course["name"] for user in users for course in user["courses"]} <= titles

    def test_nothing_as_an_empty_string_and_as_null(self, users, courses, roster):
        for entry in roster + [course for user in users for course in user["courses"]]:
            assert (entry["completed_on"] == "") == (entry["completed_on_timestamp"] is None)
            assert (entry["expired_on"] == "") == (entry["expired_on_timestamp"] is None)
        assert any(entry["completed_on"] == "" for entry in roster)
        assert any(entry["total_time"] is None for entry in roster)
        assert any(user["email"] == "" for user in users)
        assert any(course["certification"] is None for course in courses)


class TestCertificates:
    def test_they_are_written_as_in_the_examples(self, users):
        issued = certificates_of(users)
        assert len(issued) > 200
        for one in issued:
            assert list(one) == CERTIFICATE
            assert re.fullmatch(r"[0-9a-f]{4}(-[0-9a-f]{4}){3}", one["unique_id"])
            assert one["public_url"].startswith("https://learn.olive.example.org/")
        assert len({one["unique_id"] for one in issued}) == len(issued)

    def test_whoever_completes_a_yearly_training_has_one_for_a_year_from_that_day(self, users, courses):
        certifying = {course["id"] for course in courses if course["certification"] is not None}
        for user in users:
            completed = {
                course["id"]: course["name"] + course["completed_on"][:10]
                for course in user["courses"]
                if course["id"] in certifying and course["completed_on"]
            }
            assert completed == {
                one["course_id"]: one["course_name"] + one["issued_date"] for one in user["certifications"]
            }
            for one in user["certifications"]:
                days = (day_of(one["expiration_date"]) - day_of(one["issued_date"])).days
                assert days in {365, 366}

    def test_the_issued_date_is_the_portals_local_day(self, users):
        athens = ZoneInfo("Europe/Athens")
        issued = {(user["id"], one["course_id"]): one for user in users for one in user["certifications"]}
        for user in users:
            for course in user["courses"]:
                if one := issued.get((user["id"], course["id"])):
                    instant = datetime.fromtimestamp(int(course["completed_on_timestamp"]), athens)
                    assert day_of(one["issued_date"]) == instant.date()

    def test_a_course_tells_how_long_its_certificate_is_valid(self, courses):
        told_of = {(one["certification"], one["certification_duration"]) for one in courses}
        assert told_of == {("Classic", "1 year"), (None, None)}

    @pytest.mark.parametrize("year", [2024, 2027, 2030, 2035])
    def test_at_any_present_some_have_expired(self, year):
        present = datetime(year, 6, 1, tzinfo=UTC)
        expired = {
            day_of(one["expiration_date"]) < present.date() for one in certificates_of(told(present, "users"))
        }
        assert expired == {True, False}

    def test_what_was_issued_stays_as_it_is(self, users):
        later = {one["unique_id"]: one for one in certificates_of(told(SPRING.replace(year=2029), "users"))}
        assert all(later[one["unique_id"]] == one for one in certificates_of(users))

    def test_one_of_a_leap_day_expires_on_the_first_of_march(self):
        assert certificates._expiration(date(2024, 2, 29)) == date(2025, 3, 1)
        assert certificates._expiration(date(2024, 2, 28)) == date(2025, 2, 28)


def test_everybody_is_in_the_group_of_their_department(users):
    groups: dict[str, str] = {}
    for user in users:
        [group] = user["groups"]
        assert list(group) == ["id", "name"]
        assert group["name"] == user["custom_field_1"]
        assert groups.setdefault(group["id"], group["name"]) == group["name"]
    assert {html.unescape(name) for name in groups.values()} <= set(DEPARTMENTS)
    assert len(groups) == len(set(groups.values())) > 4
