"""The file of the report: where it is."""

import os
from pathlib import Path

import pytest

from lms_pipeline.errors import WrongUseError
from lms_pipeline.report.publishing import write_report
from lms_pipeline_tests.support.report_lake import DAY


def test_the_default_file_is_under_the_data_directory(company):
    settings = company()
    path = write_report(settings, account_id="lakes")
    assert path == settings.data_dir / "reports" / f"completion-{DAY}-lakes.html"


def test_a_report_with_names_does_not_replace_the_one_without(company):
    path = write_report(company(), account_id="lakes", with_names=True)
    assert path.name == f"completion-{DAY}-lakes-names.html"


def test_another_file_can_be_chosen(company, tmp_path):
    chosen = tmp_path / "board.html"
    assert write_report(company(), account_id="lakes", output=chosen) == chosen
    assert chosen.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_link_stays_and_the_file_it_leads_to_is_replaced(company, tmp_path):
    target, link = tmp_path / "board.html", tmp_path / "latest.html"
    target.write_text("old")
    link.symlink_to(target)
    write_report(company(), account_id="lakes", output=link)
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")


def make_folder(path):
    path.mkdir()
    return path


def make_pipe(path):
    os.mkfifo(path)
    return path


def make_circle(path):
    path.symlink_to(path)
    return path


def make_link_to_folder(path):
    folder = path.with_name("folder")
    folder.mkdir()
    path.symlink_to(folder)
    return path


@pytest.mark.parametrize(
    "make", [make_folder, make_pipe, make_circle, make_link_to_folder, lambda _: Path(), lambda _: Path("a\0b")]
)
def test_what_is_no_regular_file_is_not_replaced(company, tmp_path, make):
    path = make(tmp_path / "output")
    before = sorted((one.name, one.lstat().st_mode) for one in tmp_path.iterdir())
    with pytest.raises(WrongUseError, match=r"can't be written to .*: name a file"):
        write_report(company(), account_id="lakes", output=path)
    assert sorted((one.name, one.lstat().st_mode) for one in tmp_path.iterdir()) == before
