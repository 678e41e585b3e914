"""The file of the report: where it is."""

import os
import shutil
from pathlib import Path

import pytest

from lms_pipeline.commands.report import report
from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.report.content import build_content
from lms_pipeline.report.page import render_page
from lms_pipeline.report.publishing import write_report
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket
from lms_pipeline_tests.support.report_lake import DAY, NOW


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


class TestInABucket:
    @pytest.fixture
    def bucket(self, company, tmp_path, monkeypatch):
        """The store of the company's lake in a bucket, of which this machine has no file."""
        shutil.copytree(company().data_dir / "lake", tmp_path / "bucket" / "lake")
        bucket = FolderBucket(tmp_path / "scratch", tmp_path / "bucket")
        data = open_in_bucket(tmp_path / "scratch", bucket)
        monkeypatch.setattr(DataDir, "open", lambda _: data)
        return bucket

    def test_the_report_is_sent(self, bucket, company, tmp_path):
        path = write_report(company(), account_id="lakes")
        stored = tmp_path / "bucket" / "reports" / f"completion-{DAY}-lakes.html"
        assert stored.read_bytes() == path.read_bytes()
        assert stored.read_text(encoding="utf-8") == render_page(build_content(company(), DAY, "lakes"))

    def test_one_for_a_file_of_the_user_is_not_sent(self, bucket, company, tmp_path):
        write_report(company(), account_id="lakes", output=tmp_path / "board.html")
        assert [key for method, key in bucket.log if method == "PUT"] == []

    def test_the_command_prints_its_address(self, bucket, company, monkeypatch, capsys):
        monkeypatch.setenv("LMS_DATA_DIR", str(company().data_dir))
        monkeypatch.setenv("LMS_NOW", NOW.isoformat())
        report.main([], standalone_mode=False)
        assert capsys.readouterr().out.startswith(f"The report is at s3://bucket/reports/completion-{DAY}.html (")


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
