"""The lists inside an enrollment, and the one e-mail address taken from them."""

import pytest

from lms_pipeline_tests.support.served_records import MINIMAL, flatten_row, flatten_row_with, parse_extra

ADA, BOB = "ada@example.org", "bob@example.org"


def of(*emails):
    """The row of a learner with these e-mails."""
    return flatten_row(MINIMAL | {"user": {"id": "u1", "emails": list(emails)}})


def test_the_primary_address_is_taken():
    assert of({"email": ADA}, {"email": BOB, "is_primary": True})["user_email"] == BOB


def test_the_first_of_two_primary_addresses_is_taken():
    assert of({"email": ADA, "is_primary": True}, {"email": BOB, "is_primary": True})["user_email"] == ADA


def test_the_first_address_is_taken_where_none_is_primary():
    assert of({"email": ADA, "is_primary": False}, {"email": BOB})["user_email"] == ADA


@pytest.mark.parametrize("blank", [None, "", " "])
def test_an_address_that_is_none_is_passed_over(blank):
    assert of({"email": blank, "is_primary": True}, {"email": BOB})["user_email"] == BOB


@pytest.mark.parametrize("emails", [[], [{}], [{"type": "work"}], [{"email": ""}]])
def test_no_address_is_null(emails):
    assert of(*emails)["user_email"] is None


def test_a_primary_flag_that_is_a_text_counts():
    assert of({"email": ADA}, {"email": BOB, "is_primary": "true"})["user_email"] == BOB


def test_all_addresses_are_kept_with_their_fields_in_order():
    told = of({"email": ADA, "is_primary": True, "type": "work"}, {"email": BOB, "type": ""}, {})
    assert told["user_emails"] == [
        {"email": ADA, "is_primary": True, "type": "work"},
        {"email": BOB, "is_primary": None, "type": None},
        {"email": None, "is_primary": None, "type": None},
    ]


def test_one_odd_field_of_an_address_leaves_the_others():
    told = of({"email": ADA, "is_primary": "maybe"}, {"email": BOB})
    assert [email["email"] for email in told["user_emails"]] == [ADA, BOB]
    assert parse_extra(told) == {"user.emails[0].is_primary": "maybe"}


@pytest.mark.parametrize("served", [ADA, {"email": ADA}, [ADA], [[]], 5])
def test_emails_that_are_no_list_of_objects_are_kept_in_extra(served):
    told = flatten_row(MINIMAL | {"user": {"id": "u1", "emails": served}})
    assert (told["user_emails"], told["user_email"], parse_extra(told)) == (
        None,
        None,
        {"user.emails": served},
    )


def test_urls_are_kept_with_type_and_address():
    told = flatten_row_with(
        urls=[{"type": "player", "url": "https://lms.example.org/1"}, {"url": "https://lms.example.org/2"}]
    )
    assert told["urls"] == [
        {"type": "player", "url": "https://lms.example.org/1"},
        {"type": None, "url": "https://lms.example.org/2"},
    ]


def test_who_assigned_the_course_has_an_id_and_a_name():
    told = flatten_row_with(assigned_by={"id": 9, "name": "Grace Hopper"})
    assert (told["assigned_by_id"], told["assigned_by_name"]) == ("9", "Grace Hopper")
