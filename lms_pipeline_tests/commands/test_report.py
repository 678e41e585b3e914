"""`lms-pipeline report`: its options, and what it prints."""

import stat

import pytest

from lms_pipeline.lake.paths import DataDir
from lms_pipeline_tests.support.report_lake import DAY, Enrolled, publish_day, register


@pytest.fixture
def report(command, tmp_path, monkeypatch):
    monkeypatch.delenv("LMS_NOW")
    data = DataDir(tmp_path / "data")
    register(data, {"acme": "Acme"})
    publish_day(data, "acme", DAY, [Enrolled(f"u{number}", "c1") for number in range(5)])
    return lambda *words: command("report", *words)


def test_prints_the_path_and_size_of_the_file(report, tmp_path):
    done = report()
    path = tmp_path / "data" / "reports" / f"completion-{DAY}.html"
    assert done.status == 0
    assert done.out.startswith(f"The report is at {path} (")
    assert path.exists()


def test_writes_a_file_that_only_the_owner_can_read(report, tmp_path):
    report("-o", str(tmp_path / "board.html"))
    assert stat.S_IMODE((tmp_path / "board.html").stat().st_mode) == 0o600


def test_writes_to_the_file_that_is_named(report, tmp_path):
    assert report("--account", "acme", "-o", str(tmp_path / "board.html")).status == 0
    assert "Acme" in (tmp_path / "board.html").read_text(encoding="utf-8")


def test_has_names_only_on_request(report, tmp_path):
    report("-o", str(tmp_path / "plain.html"))
    report("-o", str(tmp_path / "named.html"), "--with-names")
    assert "Learner u0" not in (tmp_path / "plain.html").read_text(encoding="utf-8")
    assert "Learner u0" in (tmp_path / "named.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--date", "2026-04-09"), "There are no completion metrics on 2026-04-09"),
        (("--account", "nobody"), "Account nobody is not in the registry"),
        (("--date", ""), "'' is not a day: write it as 2026-01-31."),
    ],
)
def test_refuses_what_it_does_not_have(report, words, sentence):
    done = report(*words)
    assert done.status == 2
    assert sentence in done.err


def test_refuses_names_with_small_groups_withheld(report, monkeypatch):
    monkeypatch.setenv("LMS_MIN_COHORT", "5")
    done = report("--with-names")
    assert done.status == 2
    assert "set LMS_MIN_COHORT=1" in done.err


@pytest.mark.parametrize("value", ["0", "many", "1001"])
def test_refuses_a_limit_that_is_no_number_of_learners(report, monkeypatch, value):
    monkeypatch.setenv("LMS_MIN_COHORT", value)
    done = report()
    assert done.status == 2
    assert "LMS_MIN_COHORT can't be used: it must be a whole number from 1 to 1000." in done.err
