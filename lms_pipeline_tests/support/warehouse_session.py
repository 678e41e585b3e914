"""A session with an old DuckDB: `warehouse_session.py FILE` prints what it reads of each table and view as JSON.

Run it with a Python that has that DuckDB. It imports nothing of this package, which that Python need not have.
"""

import json
import sys

import duckdb


def read_tables(file: str) -> dict[str, object]:
    """Return the rows, accounts, first and last day of each table, after reading each value of each column."""
    found: dict[str, object] = {}
    with duckdb.connect(file, read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        names = connection.execute("SELECT table_name FROM information_schema.tables ORDER BY table_name").fetchall()
        for (name,) in names:
            connection.execute(f"SELECT max(COLUMNS(*)::VARCHAR) FROM {name}").fetchall()  # noqa: S608
            account = "account_id" if "account_id" in list_columns(connection, name) else "NULL"
            found[name] = connection.execute(
                f"SELECT count(*), count(DISTINCT {account}), min(snapshot_date)::VARCHAR, max(snapshot_date)::VARCHAR "  # noqa: S608
                f"FROM {name}"
            ).fetchone()
    return found


def list_columns(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    """Return the names of the columns of a table: one over all accounts has no `account_id`."""
    return [column for column, *_ in connection.execute(f"DESCRIBE {name}").fetchall()]


if __name__ == "__main__":
    json.dump({"version": duckdb.__version__, "tables": read_tables(sys.argv[1])}, sys.stdout)
