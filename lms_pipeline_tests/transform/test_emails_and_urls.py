"""The lists inside an enrollment, and the one e-mail address that is chosen."""

import pytest

from lms_pipeline_tests.support.served_records import MINIMAL, flatten_row, flatten_row_with, parse_extra

ADA, BOB = "ada@example.org", "bob@example.org"


def flatten_emails(*emails):
    """Return the row of a learner with these e-mails."""
    return flatten_row(MINIMAL | {"user": {"id": "u1", "emails": list(emails)}})


def test_the_primary_address_is_used():
    assert flatten_emails({"email": ADA}, {"email": BOB, "is_primary": True})["user_email"] == BOB


def test_the_first_of_two_primary_addresses_is_used():
    assert flatten_emails({"email": ADA, "is_primary": True}, {"email": BOB, "is_primary": True})["user_email"] == ADA


def test_the_first_address_is_used_if_none_is_primary():
    assert flatten_emails({"email": ADA, "is_primary": False}, {"email": BOB})["user_email"] == ADA


@pytest.mark.parametrize("blank", [None, "", " "])
def test_a_blank_address_is_skipped(blank):
    assert flatten_emails({"email": blank, "is_primary": True}, {"email": BOB})["user_email"] == BOB


@pytest.mark.parametrize("emails", [[], [{}], [{"type": "work"}], [{"email": ""}]])
def test_no_address_is_null(emails):
    assert flatten_emails(*emails)["user_email"] is None


def test_a_primary_flag_in_a_string_counts():
    assert flatten_emails({"email": ADA}, {"email": BOB, "is_primary": "true"})["user_email"] == BOB


def test_all_addresses_are_kept_with_their_fields_in_order():
    row = flatten_emails({"email": ADA, "is_primary": True, "type": "work"}, {"email": BOB, "type": ""}, {})
    assert row["user_emails"] == [
        {"email": ADA, "is_primary": True, "type": "work"},
        {"email": BOB, "is_primary": None, "type": None},
        {"email": None, "is_primary": None, "type": None},
    ]


def test_an_unreadable_field_of_an_address_leaves_the_other_addresses():
    row = flatten_emails({"email": ADA, "is_primary": "maybe"}, {"email": BOB})
    assert [email["email"] for email in row["user_emails"]] == [ADA, BOB]
    assert parse_extra(row) == {"user.emails[0].is_primary": "maybe"}


@pytest.mark.parametrize("served", [ADA, {"email": ADA}, [ADA], [[]], 5])
def test_emails_that_are_not_a_list_of_objects_are_kept_in_extra(served):
    row = flatten_row(MINIMAL | {"user": {"id": "u1", "emails": served}})
    assert (row["user_emails"], row["user_email"], parse_extra(row)) == (None, None, {"user.emails": served})


def test_urls_are_kept_with_type_and_address():
    row = flatten_row_with(
        urls=[{"type": "player", "url": "https://lms.example.org/1"}, {"url": "https://lms.example.org/2"}]
    )
    assert row["urls"] == [
        {"type": "player", "url": "https://lms.example.org/1"},
        {"type": None, "url": "https://lms.example.org/2"},
    ]


def test_the_person_who_assigned_the_course_has_an_id_and_a_name():
    row = flatten_row_with(assigned_by={"id": 9, "name": "Grace Hopper"})
    assert (row["assigned_by_id"], row["assigned_by_name"]) == ("9", "Grace Hopper")
