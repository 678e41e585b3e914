"""The resources: plain objects, so that nothing downstream has a Dagster type in its signature.

What belongs here: making them from the settings. A user's own assets can ask for `truto`, `lake` and `duckdb` by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_duckdb import DuckDBResource

from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings

if TYPE_CHECKING:
    import duckdb

    from lms_pipeline.truto.client import TrutoClient


@dataclass(frozen=True)
class Truto:
    """Connects to the API when somebody asks; a run that needs no call needs no token."""

    settings: Settings

    def now(self) -> datetime:
        """The present."""
        return self.settings.now()

    def connect(self) -> TrutoClient:
        """A client, to be used as a context manager.

        Raises:
            SettingsError: there is no token.
        """
        from lms_pipeline.truto.client import TrutoClient

        return TrutoClient(self.settings.base_url, self.settings.required_token(), now=self.settings.now)


class Warehouse(DuckDBResource):
    """dagster-duckdb's resource on the warehouse: read-only, and closed whatever happens."""

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for as long as the block runs.

        Raises:
            LakeError: the warehouse was not built yet.
        """
        from lms_pipeline.lake import warehouse

        with warehouse.reading(DataDir(Path(self.database).parent)) as connection:
            yield connection


def build_resources(settings: Settings) -> dict[str, object]:
    """`truto`, `lake` and `duckdb`."""
    data = DataDir(settings.data_dir)
    return {"truto": Truto(settings), "lake": data, "duckdb": Warehouse(database=str(data.warehouse))}
