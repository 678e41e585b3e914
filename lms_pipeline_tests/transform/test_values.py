"""Single values that are not as documented: understood without guessing, or stored in `extra`."""

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
    ("served", "expected"),
    [
        ("50", 50.0),
        ('"50"', 50.0),
        ('" 50.5 "', 50.5),
        ('"-0.25"', -0.25),
        ('"+7"', 7.0),
        ('".5"', 0.5),
        ('"-.5"', -0.5),
        ('"+.25"', 0.25),
        ('" .5 "', 0.5),
        ('"5."', 5.0),
        ('".5e1"', 5.0),
        ('"1.5E-1"', 0.15),
        ('"007"', 7.0),
        ('"1e2"', 100.0),
        ("1e2", 100.0),
        ("9223372036854775808", 9.223372036854775808e18),
    ],
)
def test_a_number_is_also_read_from_a_string(served, expected):
    assert flatten_row_of_text(f'"progress_percent":{served}')["progress_percent"] == expected


@pytest.mark.parametrize(
    "served",
    [
        "50%",
        "1,5",
        "12 of 20",
        "NaN",
        "Infinity",
        "0x10",
        "1e999",
        "٣",
        "1_000",
        ".",
        "-",
        "-.",
        "5..",
        "1.2.3",
        ".5.",
        "e5",
        ".e5",
        "1e",
        "--5",
        "+ 5",
        "1 000",
        ",5",
    ],
)
def test_a_string_that_is_not_a_plain_number_is_kept_in_extra(served):
    row = flatten_row_with(score=served)
    assert (row["score"], parse_extra(row)) == (None, {"score": served})


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        ('"3"', 3),
        ("3.0", 3),
        ('"3.0"', 3),
        ('"3."', 3),
        ('"+3"', 3),
        ('".3e1"', 3),
        ('"1e3"', 1000),
        ("3e2", 300),
        ('"-4"', -4),
        (str(INT64_MAX), INT64_MAX),
        (str(INT64_MIN), INT64_MIN),
        (f'"{INT64_MAX}"', INT64_MAX),
    ],
)
def test_a_whole_number_is_read_in_any_notation(served, expected):
    assert flatten_row_of_text(f'"attempts_count":{served}')["attempts_count"] == expected


@pytest.mark.parametrize(
    "served",
    [
        "3.5",
        '"3.5"',
        '".5"',
        '"."',
        str(INT64_MAX + 1),
        str(INT64_MIN - 1),
        f'"{INT64_MAX + 1}"',
        "1e19",
        "true",
        "[3]",
    ],
)
def test_a_value_that_is_not_a_whole_number_of_64_bits_is_kept_in_extra(served):
    row = flatten_row_of_text(f'"attempt_number":{served}')
    assert (row["attempt_number"], row["extra"]) == (None, f'{{"attempt_number":{served}}}')


@pytest.mark.parametrize("served", [True, "true", "TRUE", " True ", 1, "1"])
def test_true_is_read_in_its_spellings(served):
    assert flatten_row_with(is_mandatory=served)["is_mandatory"] is True


@pytest.mark.parametrize("served", [False, "false", "False", 0, "0"])
def test_false_is_read_in_its_spellings(served):
    assert flatten_row_with(is_mandatory=served)["is_mandatory"] is False


@pytest.mark.parametrize("served", ["yes", "on", "t", 2, -1, 1.0, [True], {}])
def test_a_value_that_is_neither_true_nor_false_is_kept_in_extra(served):
    row = flatten_row_with(is_mandatory=served)
    assert (row["is_mandatory"], parse_extra(row)) == (None, {"is_mandatory": served})


@pytest.mark.parametrize(
    ("served", "expected"),
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
        ("1980-01-01T00:00:00Z", "1980-01-01T00:00:00"),
        ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999"),
    ],
)
def test_a_date_time_is_read_as_an_instant_in_utc_if_it_has_no_offset(served, expected):
    assert flatten_row_with(due_at=served)["due_at"].isoformat() == f"{expected}+00:00"


@pytest.mark.parametrize(
    "served",
    [
        *("0000-00-00 00:00:00", "2026-02-30", "02/01/2026", "20260102", "2026", "1767312000", "never"),
        *(1767312000, 1767312000.5, True, {"$date": "2026-01-02"}, ["2026-01-02"]),
    ],
)
def test_a_value_that_is_not_an_iso_date_is_kept_in_extra(served):
    row = flatten_row_with(completed_at=served)
    assert (row["completed_at"], parse_extra(row)) == (None, {"completed_at": served})


@pytest.mark.parametrize(
    ("served", "expected"), [("7", "7"), ("-7", "-7"), ("0", "0"), ("123456789012345678901", "123456789012345678901")]
)
def test_a_numeric_id_keeps_all_its_digits(served, expected):
    row = flatten_row(
        f'{{"id":{served},"user":{{"id":{served}}},"course":{{"id":{served}}},"assigned_by":{{"id":{served}}}}}'
    )
    assert [row[name] for name in ("enrollment_id", "user_id", "course_id", "assigned_by_id")] == [expected] * 4


def test_a_string_id_is_unchanged():
    assert flatten_row_with(id=" 007 ")["enrollment_id"] == " 007 "


@pytest.mark.parametrize(
    ("served", "expected"), [(7, "7"), (7.5, "7.5"), ("Ünï 日本 🎓", "Ünï 日本 🎓"), ("a\x00b", "a\x00b")]
)
def test_a_name_is_a_string_or_a_number(served, expected):
    assert flatten_row(MINIMAL | {"user": {"id": "u1", "name": served}})["user_name"] == expected


@pytest.mark.parametrize("served", [True, ["Ada"], {"first": "Ada"}])
def test_a_name_of_another_type_is_kept_in_extra(served):
    row = flatten_row(MINIMAL | {"user": {"id": "u1", "name": served}})
    assert (row["user_name"], parse_extra(row)) == (None, {"user.name": served})


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


def test_an_understood_value_is_not_counted_as_unreadable():
    _, flattener = flatten(MINIMAL | {"score": "12", "due_at": "2026-01-02", "id": 7})
    assert flattener.counts == {"read_leniently": 1}


@pytest.mark.parametrize("served", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00"])
def test_an_instant_outside_the_calendar_is_kept_in_extra(served):
    row = flatten_row_with(due_at=served, completed_at="9999-12-31T00:00:00Z")
    assert row["due_at"] is None
    assert json.loads(row["extra"]) == {"due_at": served}
    assert row["completed_at"].year == 9999
