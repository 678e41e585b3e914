"""Metrics that are computed once for each content: most accounts of the tests of runs have the same enrollments.

Belongs here: the memory, for tests of what happens around the figures. Not here: tests of figures, which compute them.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from lms_pipeline.metrics import completion
from lms_pipeline.tables.catalog import METRIC_TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from lms_pipeline.metrics.completion import EnrollmentsFile
    from lms_pipeline.tables.schema import Table

_known: dict[tuple[Any, ...], _Computed] = {}


@dataclass(frozen=True)
class _Computed:
    """What a reader of an open file of enrollments returned."""

    rows: Mapping[Table, pa.Table]
    notes: Mapping[Table, dict[str, str]]

    def __call__(self, table: Table) -> pa.RecordBatchReader:
        return self.rows[table].to_reader()

    def describe(self, table: Table) -> dict[str, str]:
        return self.notes[table]


@pytest.fixture(scope="module", autouse=True)
def remembered_metrics() -> Iterator[None]:
    """Compute the metrics of the same rows and options once in a process."""
    compute = completion.open_completion

    @contextmanager
    def open_known(file: EnrollmentsFile, tables: Sequence[Table] = METRIC_TABLES) -> Iterator[_Computed]:
        key = _build_key(file, tables)
        if key not in _known:
            with compute(file, tables) as read_rows:
                notes = {table: read_rows.describe(table) for table in tables}
                _known[key] = _Computed({table: read_rows(table).read_all() for table in tables}, notes)
        yield _known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "open_completion", open_known)
        yield


def _build_key(file: EnrollmentsFile, tables: Sequence[Table]) -> tuple[Any, ...]:
    """Return what the figures depend on: the rows of the files, not where they are, and all options."""
    earlier = file.earlier and (file.earlier.day, _read(file.earlier.path))
    return (
        *(table.name for table in tables),
        _read(file.path),
        earlier,
        repr(replace(file, path=Path(), earlier=None)),
    )


def _read(path: Path) -> bytes:
    """Return the rows of a file, without the metadata, which names the run."""
    table = pq.read_table(path, partitioning=None).replace_schema_metadata()
    return b"".join([str(table.schema).encode(), *(batch.serialize().to_pybytes() for batch in table.to_batches())])
