"""A session with libraries that this package does not have: `other_reader_session.py duckdb|python` runs what it reads from
standard input, over the bucket that the environment names, and prints the rows of the last statement as JSON.

Run it with the Python of `make readers`. It imports nothing of this package, which that Python need not have.
"""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import duckdb


def find_extension() -> Path:
    """Return the file of httpfs, which its wheel has: `INSTALL` would download it."""
    package = find_spec("duckdb_extension_httpfs")
    assert package is not None
    assert package.origin is not None
    [extension] = Path(package.origin).parent.rglob("httpfs.duckdb_extension")
    return extension


def run_sql(text: str) -> list[list[str]]:
    """Run SQL with httpfs and the credentials of the environment; return the rows as texts."""
    endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{find_extension()}'")
        connection.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{os.environ['AWS_ACCESS_KEY_ID']}', ENDPOINT '{endpoint}', URL_STYLE 'path', "
            f"SECRET '{os.environ['AWS_SECRET_ACCESS_KEY']}', REGION 'us-east-1', USE_SSL false)"
        )
        return [[str(value) for value in row] for row in connection.execute(text).fetchall()]


def run_python(text: str) -> list[list[str]]:
    """Run Python; return the rows of its data frame `rates` as texts."""
    found: dict[str, object] = {}
    exec(text, found)  # noqa: S102 - our own docs
    rows = found["rates"].select("account_id", "snapshot_date", "n_completed", "n_all").collect()  # type: ignore[attr-defined]
    return [[str(value) for value in row] for row in rows.rows()]


if __name__ == "__main__":
    run = {"duckdb": run_sql, "python": run_python}[sys.argv[1]]
    rows = run(sys.stdin.read())
    sys.stdout.write("\n" + json.dumps(rows))
