"""The resources: plain objects, so that nothing downstream has a Dagster type in its signature.

What belongs here: making them from the settings. A user's own assets can ask for `truto`, `lake` and `duckdb` by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_duckdb import DuckDBResource

from lms_pipeline.connection import Truto
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings

if TYPE_CHECKING:
    import duckdb


class Warehouse(DuckDBResource):
    """dagster-duckdb's resource on the warehouse: read-only, and closed whatever happens."""

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for as long as the block runs.

        Raises:
            LakeError: the warehouse was not built yet.
        """
        from lms_pipeline.lake import warehouse

        with warehouse.open_warehouse(DataDir(Path(self.database).parent)) as connection:
            yield connection


def build_resources(settings: Settings) -> dict[str, object]:
    """`truto`, `lake` and `duckdb`."""
    data = DataDir(settings.data_dir)
    return {"truto": Truto(settings), "lake": data, "duckdb": Warehouse(database=str(data.warehouse))}
