"""`lms-pipeline report`: the completion report as one HTML file.

Belongs here: its options and output. The report is in `report/`.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from lms_pipeline.accounts.names import find_account
from lms_pipeline.commands.common import load_settings, parse_day
from lms_pipeline.commands.terminal import echo
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.storage.disk import format_bytes, measure_size


@click.command()
@click.option(
    "--date",
    "day",
    type=parse_day,
    metavar="YYYY-MM-DD",
    help="Day of the report. Default: the latest with completion metrics.",
)
@click.option("--account", metavar="ID", help="Only this account. Default: all accounts together.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file. Default: reports/completion-DATE.html in LMS_DATA_DIR, and in the bucket of LMS_LAKE_URL.",
)
@click.option(
    "--with-names", is_flag=True, help="List those who need attention by name. Refused if LMS_MIN_COHORT is above 1."
)
def report(day: date | None, account: str | None, output: Path | None, *, with_names: bool) -> None:
    """Write the completion report, one HTML file that needs no connection.

    Groups under LMS_MIN_COHORT learners are withheld.
    """
    from lms_pipeline.report.publishing import write_report

    settings = load_settings()
    if account is not None:
        find_account(settings, account)
    path = write_report(settings, day, account, output, with_names=with_names)
    place = DataDir.open(settings).describe(path) if output is None else str(output)
    echo(f"The report is at {place} ({format_bytes(measure_size(path))}).")
