"""Completion of one account at the end of one day: by course, for the account, by learner.

What belongs here: running the SQL of the completion tables over a snapshot, as a stream of exactly the table's schema.
What the figures mean is `tables.py` and `sql/`; where the result is stored is the lake's affair.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lms_pipeline.metrics.sets import Snapshot, bind, classified, run
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION, LEARNER_COMPLETION
from lms_pipeline.tables.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from lms_pipeline.tables.schema import Table

__all__ = ["Snapshot", "completions"]

ONE_ROW_PER = {COURSE_COMPLETION: "course", ACCOUNT_COMPLETION: "account", LEARNER_COMPLETION: "learner"}

ROWS_PER_BATCH = 20_000
"""About 10 MB; with DuckDB's million, 500,000 learners were one batch and 440 MB more at the peak."""


@contextmanager
def completions(snapshot: Snapshot) -> Iterator[Callable[[Table], pa.RecordBatchReader]]:
    """The completion tables of a snapshot, which is classified once for all of them.

    Ask for the rows of one table after the other: a reader is done with before the next is asked for.
    """
    with classified(snapshot) as connection:
        run(connection, "counts.sql", "people.sql", "rates.sql")

        def rows(table: Table) -> pa.RecordBatchReader:
            bind(connection, one_row_per=ONE_ROW_PER[table])
            ordered = connection.view("completion").order("row_id").select(*table.column_names)
            return _exactly(arrow_schema(table), ordered.to_arrow_reader(ROWS_PER_BATCH))

        yield rows


def _exactly(schema: pa.Schema, batches: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows in the table's own types: DuckDB sums to 128 bits and calls every column nullable."""
    import pyarrow as pa

    return pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in batches))
