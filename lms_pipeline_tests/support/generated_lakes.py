"""Small lakes with any rows, for properties of what is made from the files of accounts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, TypeAlias

from hypothesis import strategies as st

from lms_pipeline.lake.paths import DataDir
from lms_pipeline.tables.metrics import COURSE_COMPLETION
from lms_pipeline_tests.support.lake_files import FIRST, SECOND, enrollment, publish

Lake: TypeAlias = Mapping[tuple[str, date], tuple[list[tuple[str | None, float | None]] | None, int | None]]
"""Accounts and days, each with name and score of its enrollments and the number of its courses; None for a missing file."""

texts = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)


@st.composite
def lakes(draw: Any) -> Lake:
    """Return accounts and days, each with the rows of its enrollments and courses; None for a missing file."""
    found: Lake = draw(
        st.dictionaries(
            st.tuples(st.sampled_from(["acme", "Acme-2", "007", "beta"]), st.sampled_from([FIRST, SECOND])),
            st.tuples(
                st.none() | st.lists(st.tuples(texts, st.none() | st.floats(width=32)), max_size=3),
                st.none() | st.integers(0, 3),
            ),
            max_size=6,
        )
    )
    return found


def publish_lake(data: DataDir, lake: Lake) -> None:
    """Publish the files of a lake."""
    for (account, day), (enrollments, courses) in lake.items():
        if enrollments is not None:
            rows = [enrollment(f"u{n}", user_name=name, score=score) for n, (name, score) in enumerate(enrollments)]
            publish(data, account, day, *rows)
        if courses is not None:
            rows = [{"course_id": f"c{n}", "n_all": n} for n in range(courses)]
            publish(data, account, day, *rows, table=COURSE_COMPLETION)
