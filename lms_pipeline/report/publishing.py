"""Writing the report into a file.

Belongs here: its place, by default under `LMS_DATA_DIR/reports`. Not here: the page (`page.py`).
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from lms_pipeline.lake.paths import DataDir
from lms_pipeline.report.content import ReportContent, build_content
from lms_pipeline.report.page import render_page
from lms_pipeline.settings import Settings
from lms_pipeline.storage.disk import atomic_write, find_target

WHAT = "The report"


def write_report(
    settings: Settings,
    day: date | None = None,
    account_id: str | None = None,
    output: Path | None = None,
    *,
    with_names: bool = False,
) -> Path:
    """Write the report of a day and return its path. An older report at the same path is replaced as a whole.

    A report below the data directory is sent to the bucket, if there is one.

    Args:
        settings: the data directory, the limit of small groups, the time zone and the present.
        day: the day; None for the latest one with completion metrics.
        account_id: the account; None for all.
        output: the file; None for `LMS_DATA_DIR/reports/completion-<day>.html`, with the account's id if there is one.
        with_names: whether those who need attention are listed by name.

    Raises:
        NothingToReportError: nothing was computed for the day.
        WrongUseError: names are requested although small groups are withheld, or `output` is no regular file.
        LakeError: a file of the lake can't be read, or the report can't be written.
    """
    if output is not None:
        find_target(output, WHAT)
    content = build_content(settings, day, account_id, with_names=with_names)
    return write_content(settings, content, output)


def write_content(settings: Settings, content: ReportContent, output: Path | None = None) -> Path:
    """Write a report and return its path, by default that of `write_report`.

    Raises:
        WrongUseError: `output` is no regular file.
        LakeError: it can't be written.
    """
    data = DataDir.open(settings)
    path = output or data.report_path(content.day, content.account_id, with_names=content.has_names)
    writing = data.replacing(path) if output is None else atomic_write(find_target(output, WHAT))
    text = render_page(content)
    with data.storage.state.lock("report"), writing as new:
        new.write_text(text, encoding="utf-8")
    return path
