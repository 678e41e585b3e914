"""The resources: plain objects, so that no signature outside `defs/` has a Dagster type.

Belongs here: building them from the settings. Assets of another project can use `truto`, `lake` and `duckdb` by name.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
from dagster_duckdb import DuckDBResource

from lms_pipeline.connection import Truto
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings

if TYPE_CHECKING:
    import duckdb


class Warehouse(DuckDBResource):
    """dagster-duckdb's resource on the warehouse: read-only, and always closed."""

    lake: dg.ResourceDependency[DataDir]

    @contextmanager
    def get_connection(self) -> Iterator["duckdb.DuckDBPyConnection"]:
        """Open a connection for the block.

        Raises:
            LakeError: the warehouse was not built yet.
        """
        from lms_pipeline.lake import warehouse

        with warehouse.open_warehouse(self.lake) as connection:
            yield connection


def build_resources(settings: Settings) -> dict[str, object]:
    """Build `truto`, `lake` and `duckdb`."""
    data = DataDir.open(settings)
    return {
        "truto": Truto(settings),
        "lake": data,
        "duckdb": Warehouse(database=data.describe(data.warehouse), lake=data),
    }
