"""Metadata of the metric tables with small groups withheld: Dagster's pages are outside of the lake.

Belongs here: what events show with `LMS_MIN_COHORT` above 1. Without a limit they show what `metadata.py` builds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from lms_pipeline.defs.metadata import build_metric_metadata, build_portfolio_metadata, read_provenance
from lms_pipeline.lake.paths import Partition
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, PORTFOLIO_COMPLETION

if TYPE_CHECKING:
    from lms_pipeline.lake.paths import DataDir
    from lms_pipeline.lake.publishing import Published


def build_shown_metadata(data: DataDir, published: Published, limit: int) -> dict[str, Any]:
    """Build the figures of one metric table that may be shown with this limit of learners.

    Of `course_completion` the courses with as many learners, of `account_completion` their sum; of other tables none.
    """
    if limit == 1:
        is_portfolio = published.table == PORTFOLIO_COMPLETION
        return build_portfolio_metadata(published) if is_portfolio else build_metric_metadata(published)
    figures = read_provenance(published.path)
    if published.table == COURSE_COMPLETION:
        return figures | _build_courses(published, limit)
    if published.table == ACCOUNT_COMPLETION and isinstance(published.partition, Partition):
        return figures | _build_account(data, published, published.partition, limit)
    return figures


def _build_courses(published: Published, limit: int) -> dict[str, Any]:
    from lms_pipeline.report.completion import Courses

    return {"largest_courses": dg.MetadataValue.md(Courses(published.path, limit).format_largest())}


def _build_account(data: DataDir, published: Published, partition: Partition, limit: int) -> dict[str, Any]:
    """Build the figures of an account; none if its courses are not of the same pull and rules."""
    import pyarrow.parquet as pq

    from lms_pipeline.lake.files import read_metadata
    from lms_pipeline.metrics.source import read_source
    from lms_pipeline.report.small_groups import select_account

    data.fetch([COURSE_COMPLETION], [partition])
    path = data.file(COURSE_COMPLETION, partition)
    if not path.exists() or read_source(read_metadata(path)) != read_source(read_metadata(published.path)):
        return {}
    with pq.ParquetFile(published.path) as account, pq.ParquetFile(path) as courses:
        (row,) = account.read().to_pylist()
        selected = select_account(partition.account_id, row, courses.read().to_pylist(), limit)
    if selected is None:
        return {}
    shown, figures = selected.shown, selected.shown.figures
    return {
        "n_all": figures.enrollments,
        "n_completed": figures.completed,
        "courses_left_out": shown.courses_left_out,
        **({} if figures.learners is None else {"learners": figures.learners}),
        **{name: rate.value for name, rate in figures.rates.items()},
    }
