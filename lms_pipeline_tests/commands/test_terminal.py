"""Texts from outside on the terminal and in CSV."""

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.commands.terminal import escape_controls

ESCAPES = [
    ("\x1b[2J", r"\x1b[2J"),
    ("a\x07b", r"a\x07b"),
    ("a\nb\tc\rd", r"a\nb\tc\rd"),
    ("\x9b31m", r"\x9b31m"),
    ("\x7f", r"\x7f"),
    ("\u202egnp.exe", r"\u202egnp.exe"),
    ("\u2028", r"\u2028"),
    ("\ud800", r"\ud800"),
    ("Zoë 王 👩\u200d🎓 \u0645\u06cc\u200c\u062e", "Zoë 王 👩\u200d🎓 \u0645\u06cc\u200c\u062e"),
    ("[/red] \\n", "[/red] \\n"),
]
FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1",
    "\uff0dx",
    "-",
    "+49 30 1234",
]
HARMLESS = ["-5", "+0.5", "-1.5e-07", "-inf", "a=b", "", " =1", "2026-01-01"]


@pytest.mark.parametrize(("text", "shown"), ESCAPES)
def test_controls_are_shown_and_letters_stay(text, shown):
    assert escape_controls(text) == shown


@given(st.text(st.characters()))
def test_no_control_character_is_left(text):
    assert not {unicodedata.category(character) for character in escape_controls(text)} & {"Cc", "Cs", "Zl", "Zp"}


def _read_cell(out):
    (_, (cell,)) = csv.reader(io.StringIO(out, newline=""))
    return cell


@pytest.mark.parametrize("text", FORMULAS)
def test_csv_holds_no_formula(query, text):
    sql = "SELECT '{}' AS a".format(text.replace("'", "''"))
    assert _read_cell(query(sql, "--format", "csv").out) == f"'{text}"
    assert _read_cell(query(sql, "--format", "csv", "--raw-text").out) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_csv_keeps_what_is_no_formula(query, text):
    assert _read_cell(query(f"SELECT '{text}' AS a", "--format", "csv").out) == text


def test_csv_keeps_numbers_and_columns_of_one_name(query):
    out = query("SELECT -5 AS a, -0.25::DOUBLE AS a, '=1' AS b", "--format", "csv").out
    assert out == "a,a,b\n-5,-0.25,'=1\n"


@pytest.mark.parametrize("sql", ["SELECT chr(27) || '[2J' AS a", f"SELECT chr(27) || '[2J' AS a, '{'x' * 300}' AS b"])
def test_a_table_shows_escapes(query, sql):
    out = query(sql).out
    assert "\x1b" not in out
    assert r"\x1b[2J" in out


def test_a_name_can_not_control_the_list_of_accounts(command):
    command("accounts", "add", "north", "--name", "\x1b]0;title\x07[/red]")
    done = command("accounts", "list")
    assert done.status == 0
    assert r"\x1b]0;title\x07[/red]" in done.out
    assert "\x1b" not in done.out


def test_a_name_can_not_control_the_report_of_runs(command):
    command("accounts", "add", "north", "--name", "\x1b[2Jnorth")
    done = command("materialize", "--account", "north", "--date", "2026-03-09")
    assert done.err.splitlines()[-2].startswith(r"\x1b[2Jnorth on 2026-03-09: failed: 2026-03-09 is closed")
