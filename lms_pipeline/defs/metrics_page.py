"""What the metrics tell of each of their tables.

What belongs here: the figures that go onto the pages of the assets. What they mean is told by the tables themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from lms_pipeline.defs.pages import provenance
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, RATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lms_pipeline.lake.publishing import Published


def metric_figures(published: Published) -> dict[str, Any]:
    """What is told of one table."""
    if published.table == ACCOUNT_COMPLETION:
        return account_figures(published)
    told = provenance(published.path)
    return told | _courses(published) if published.table == COURSE_COMPLETION else told


def account_figures(published: Published) -> dict[str, Any]:
    """The rates, each a number that is plotted, and all of them with what was divided."""
    from lms_pipeline.metrics.completion import only_row

    names = ("n_all", "n_completed", "learners", *(rate.name for rate in RATES))
    divided = (f"{rate.name}{of}" for rate in RATES for of in ("_num", "_den"))
    row = only_row(published, [*names, *divided])
    figures = {name: row[name] for name in names if row[name] is not None}
    return provenance(published.path) | figures | {"rates": dg.MetadataValue.md(_rates_table(row))}


def _rates_table(row: Mapping[str, Any]) -> str:
    lines = (
        f"| {rate.name.replace('_', ' ')} | {_told(row[rate.name], '.1%')} | {_told(row[f'{rate.name}_num'], ',')} "
        f"| {_told(row[f'{rate.name}_den'], ',')} |"
        for rate in RATES
    )
    return "\n".join(["| rate | | counted | of |\n|---|--:|--:|--:|", *lines])


def _told(figure: float | None, form: str) -> str:
    return "-" if figure is None else format(figure, form)


def _courses(published: Published) -> dict[str, Any]:
    """The largest courses as text, which the page shows at once, and as a picture; and the ends of the scale."""
    from lms_pipeline.report.charts import as_markdown
    from lms_pipeline.report.completion import Courses

    courses = Courses(published.path)
    chart = courses.chart(f"Completion by course, {published.partition.day}")
    told: dict[str, Any] = {
        "largest_courses": dg.MetadataValue.md(courses.lines()),
        "completion_by_course": dg.MetadataValue.md(as_markdown(chart, "completion by course")),
    }
    extremes = courses.extremes()
    if extremes is not None:
        lowest, highest = extremes
        told |= {
            "lowest_rate": lowest.rate,
            "lowest_rate_course_id": lowest.course_id,
            "highest_rate": highest.rate,
            "highest_rate_course_id": highest.course_id,
        }
    return told
