"""What the page of a partition shows of a published file: figures, a query to begin with, and where the file is.

What belongs here: what every table's page has. The figures are of `pull_page.py` and `metrics_page.py`. Numbers are
numbers, so that the UI plots them over the days. No learner's name or e-mail is among them: Dagster's log keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lms_pipeline.tables.metrics import LEARNER_COMPLETION

if TYPE_CHECKING:
    from pathlib import Path

    from lms_pipeline.lake.publishing import Published


def published_metadata(published: Published, account: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """All of a page; `account` is what people call it."""
    return {
        "account": account,
        "dagster/partition_row_count": published.rows,
        **figures,
        "query": dg.MetadataValue.md(_queries(published)),
        **file_metadata(published.path),
    }


def file_metadata(path: Path) -> dict[str, Any]:
    """Where a file is, and how large."""
    return {
        "path": dg.MetadataValue.path(path),
        "dagster/uri": path.as_uri().replace("%3D", "="),  # as DuckDB and pandas take it
        "file_bytes": path.stat().st_size,
    }


def provenance(path: Path) -> dict[str, Any]:
    """What a file tells of the pull that its rows come from."""
    from lms_pipeline.lake.files import read_metadata

    told = read_metadata(path)
    pulled_at = (
        {"pulled_at": moment(datetime.fromisoformat(told["pulled_at"]))} if "pulled_at" in told else {}
    )
    return {"complete": told.get("complete") == "true", "strategy": told.get("strategy"), **pulled_at}


def moment(at: datetime) -> dg.MetadataValue:
    """A moment, which the UI shows in the time zone of who looks."""
    return dg.MetadataValue.timestamp(at)


def _queries(published: Published) -> str:
    """To be pasted, in Markdown; an id and a date need no quoting, they were validated."""
    partition, name = published.partition, published.table.name
    of_account = "" if partition.account_id is None else f"account_id = '{partition.account_id}' AND "
    where = f"{of_account}snapshot_date = '{partition.day}'"
    path = str(published.path).replace("'", "''")
    alone = f"```sql\nFROM '{path}'\n```"
    if published.table == LEARNER_COMPLETION:  # the warehouse has the latest day alone
        return alone
    return (
        f'```sh\nlms-pipeline query "FROM {name} WHERE {where}"\n```\n\nThe file alone, in DuckDB:\n\n{alone}'
    )
