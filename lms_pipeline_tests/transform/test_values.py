"""Single values that are not what the page says: understood without guessing, or told to be unreadable."""

import json

import pytest

from lms_pipeline_tests.support.served_records import (
    MINIMAL,
    flatten,
    flatten_row,
    flatten_row_of_text,
    flatten_row_with,
    parse_extra,
)

INT64_MIN, INT64_MAX = -9_223_372_036_854_775_808, 9_223_372_036_854_775_807


@pytest.mark.parametrize(
    ("served", "read"),
    [
        ("50", 50.0),
        ('"50"', 50.0),
        ('" 50.5 "', 50.5),
        ('"-0.25"', -0.25),
        ('"+7"', 7.0),
        ('"1e2"', 100.0),
        ("1e2", 100.0),
        ("9223372036854775808", 9.223372036854775808e18),
    ],
)
def test_a_number_is_read_also_from_a_text(served, read):
    assert flatten_row_of_text(f'"progress_percent":{served}')["progress_percent"] == read


@pytest.mark.parametrize(
    "served", ["50%", "1,5", "12 of 20", "NaN", "Infinity", "0x10", "1e999", "٣", "1_000", ".5"]
)
def test_a_text_that_is_no_plain_number_is_kept_in_extra(served):
    told = flatten_row_with(score=served)
    assert (told["score"], parse_extra(told)) == (None, {"score": served})


@pytest.mark.parametrize(
    ("served", "read"),
    [
        ('"3"', 3),
        ("3.0", 3),
        ('"3.0"', 3),
        ("3e2", 300),
        ('"-4"', -4),
        (str(INT64_MAX), INT64_MAX),
        (str(INT64_MIN), INT64_MIN),
        (f'"{INT64_MAX}"', INT64_MAX),
    ],
)
def test_a_whole_number_is_read_however_it_is_written(served, read):
    assert flatten_row_of_text(f'"attempts_count":{served}')["attempts_count"] == read


@pytest.mark.parametrize(
    "served",
    ["3.5", '"3.5"', str(INT64_MAX + 1), str(INT64_MIN - 1), f'"{INT64_MAX + 1}"', "1e19", "true", "[3]"],
)
def test_what_is_no_whole_number_of_64_bits_is_kept_in_extra(served):
    told = flatten_row_of_text(f'"attempt_number":{served}')
    assert (told["attempt_number"], told["extra"]) == (None, f'{{"attempt_number":{served}}}')


@pytest.mark.parametrize("served", [True, "true", "TRUE", " True ", 1, "1"])
def test_yes_is_read_in_its_spellings(served):
    assert flatten_row_with(is_mandatory=served)["is_mandatory"] is True


@pytest.mark.parametrize("served", [False, "false", "False", 0, "0"])
def test_no_is_read_in_its_spellings(served):
    assert flatten_row_with(is_mandatory=served)["is_mandatory"] is False


@pytest.mark.parametrize("served", ["yes", "on", "t", 2, -1, 1.0, [True], {}])
def test_what_is_neither_yes_nor_no_is_kept_in_extra(served):
    told = flatten_row_with(is_mandatory=served)
    assert (told["is_mandatory"], parse_extra(told)) == (None, {"is_mandatory": served})


@pytest.mark.parametrize(
    ("served", "read"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05"),
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05"),
        ("2026-01-02T03:04", "2026-01-02T03:04:00"),
        (" 2026-01-02T03:04:05Z ", "2026-01-02T03:04:05"),
        ("2026-01-02T03:04:05+05:30", "2026-01-01T21:34:05"),
        ("2026-01-02T03:04:05+0530", "2026-01-01T21:34:05"),
        ("2026-01-02T23:04:05-02:00", "2026-01-03T01:04:05"),
        ("2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05.678901"),
        ("2026-01-02", "2026-01-02T00:00:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00"),
        ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999"),
    ],
)
def test_a_date_time_is_read_as_an_instant_and_as_utc_where_it_names_no_offset(served, read):
    assert flatten_row_with(due_at=served)["due_at"].isoformat() == f"{read}+00:00"


@pytest.mark.parametrize(
    "served",
    [
        *("0000-00-00 00:00:00", "2026-02-30", "02/01/2026", "20260102", "2026", "1767312000", "never"),
        *(1767312000, 1767312000.5, True, {"$date": "2026-01-02"}, ["2026-01-02"]),
    ],
)
def test_what_is_no_iso_date_is_kept_in_extra_and_not_1970(served):
    told = flatten_row_with(completed_at=served)
    assert (told["completed_at"], parse_extra(told)) == (None, {"completed_at": served})


@pytest.mark.parametrize(
    ("served", "read"),
    [("7", "7"), ("-7", "-7"), ("0", "0"), ("123456789012345678901", "123456789012345678901")],
)
def test_a_whole_number_is_an_id_digit_by_digit(served, read):
    told = flatten_row(
        f'{{"id":{served},"user":{{"id":{served}}},"course":{{"id":{served}}},"assigned_by":{{"id":{served}}}}}'
    )
    assert [told[name] for name in ("enrollment_id", "user_id", "course_id", "assigned_by_id")] == [read] * 4


def test_an_id_that_is_a_text_stays_as_it_is():
    assert flatten_row_with(id=" 007 ")["enrollment_id"] == " 007 "


@pytest.mark.parametrize(
    ("served", "read"), [(7, "7"), (7.5, "7.5"), ("Ünï 日本 🎓", "Ünï 日本 🎓"), ("a\x00b", "a\x00b")]
)
def test_a_name_is_a_text_and_a_number_is_one_too(served, read):
    assert flatten_row(MINIMAL | {"user": {"id": "u1", "name": served}})["user_name"] == read


@pytest.mark.parametrize("served", [True, ["Ada"], {"first": "Ada"}])
def test_a_name_of_another_kind_is_kept_in_extra(served):
    told = flatten_row(MINIMAL | {"user": {"id": "u1", "name": served}})
    assert (told["user_name"], parse_extra(told)) == (None, {"user.name": served})


def test_unreadable_values_are_counted_by_field():
    person = {"id": "u1", "emails": [{"is_primary": "x"}, {"is_primary": "y"}]}
    _, flattener = flatten(
        MINIMAL | {"score": "a", "due_at": "b"}, MINIMAL | {"score": "c"}, MINIMAL | {"user": person}
    )
    assert flattener.counts == {
        "read_leniently": 3,
        "unreadable_score": 2,
        "unreadable_due_at": 1,
        "unreadable_user.emails": 2,
    }


def test_what_was_understood_is_not_counted_as_unreadable():
    _, flattener = flatten(MINIMAL | {"score": "12", "due_at": "2026-01-02", "id": 7})
    assert flattener.counts == {"read_leniently": 1}


@pytest.mark.parametrize("never", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00"])
def test_an_instant_that_no_calendar_holds_is_kept_in_extra(never):
    row = flatten_row_with(due_at=never, completed_at="9999-12-31T00:00:00Z")
    assert row["due_at"] is None
    assert json.loads(row["extra"]) == {"due_at": never}
    assert row["completed_at"].year == 9999
