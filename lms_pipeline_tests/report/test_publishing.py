"""The file of the report: where it is."""

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
