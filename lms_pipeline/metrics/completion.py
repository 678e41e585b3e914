"""Completion of one account at the end of one day: by course, for the account, by learner.

What belongs here: running the SQL of the completion tables over a snapshot, as a stream of exactly the table's schema.
What the figures mean is `tables.py` and `sql/`; where the result is stored is the lake's affair.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from lms_pipeline.metrics.sets import Snapshot, bind, classified, run
from lms_pipeline.metrics.tables import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lms_pipeline.schema import Table

__all__ = ["Snapshot", "completion"]

ONE_ROW_PER = {COURSE_COMPLETION: "course", ACCOUNT_COMPLETION: "account", LEARNER_COMPLETION: "learner"}


@contextmanager
def completion(table: Table, snapshot: Snapshot) -> Iterator[pa.RecordBatchReader]:
    """The rows of one of the completion tables, in the order of its key; readable until the block ends."""
    with classified(snapshot) as connection:
        bind(connection, one_row_per=ONE_ROW_PER[table])
        run(connection, "counts.sql", "people.sql", "rates.sql")
        figures = connection.table("completion").order(", ".join(table.key) or "n_all")
        yield _exactly(arrow_schema(table), figures.select(*table.column_names).to_arrow_reader())


def _exactly(schema: pa.Schema, batches: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows in the table's own types: DuckDB sums to 128 bits and calls every column nullable."""
    return pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in batches))
