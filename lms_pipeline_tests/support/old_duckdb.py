"""The oldest DuckDB that the README names, in a virtual environment of its own.

What it reads belongs to `warehouse_session`, which runs in that environment.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lms_pipeline.lake.paths import DataDir
from lms_pipeline.lake.warehouse_sql import OLDEST_READER
from lms_pipeline_tests.support import warehouse_session

PYTHON = Path(__file__).parents[2] / ".venv-duckdb" / "bin" / "python"

needs_old_duckdb = pytest.mark.skipif(
    not PYTHON.exists(), reason="no Python with an old DuckDB: `make old-duckdb` makes one"
)


def read_warehouse(data: DataDir) -> dict[str, tuple[Any, ...]]:
    """Return the number of rows, the number of accounts, the first and the last day of each table and view."""
    done = subprocess.run(
        [PYTHON, warehouse_session.__file__, str(data.warehouse.resolve())],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    session = json.loads(done.stdout)
    assert session["version"] == OLDEST_READER
    return {name: tuple(found) for name, found in session["tables"].items()}
