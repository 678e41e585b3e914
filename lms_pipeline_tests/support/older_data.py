"""The data directory that commit a4277a4 wrote: copies of it, commands over them, and what they hold.

It uses the command line and the files; internals are imported by the functions at its end only.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tarfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import CliRunner

from lms_pipeline import lake
from lms_pipeline.cli import lms_pipeline
from lms_pipeline_tests.support.recorded_truto import TOKEN, RecordedTruto

FOLDER = Path(__file__).parents[1] / "compatibility"
ARCHIVE = FOLDER / "data_directory.tar.gz"
WORLD = FOLDER / "world.ndjson"
OPTIONS = FOLDER / "accounts.toml"

FIRST, SECOND, THIRD = (date(2025, 3, day) for day in (3, 4, 5))
ACADEMY, PORTAL, BRANCH = "academy", "portal", "branch"
PULLED = ("raw_enrollments", "unified_enrollments", "rejected_enrollments", "learners", "courses")
METRICS = ("course_completion", "account_completion", "learner_completion")
TABLES = (*PULLED, *METRICS)
PUBLISHED = [(ACADEMY, FIRST), (ACADEMY, SECOND), (PORTAL, FIRST), (PORTAL, SECOND), (BRANCH, SECOND)]
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
"""What commit a4277a4 wrote, and what it did over the same data directory: see compatibility/README.md."""
PARTITION_COLUMNS = {"account_id", "snapshot_date"}
KNOWN_COLUMNS: dict[str, list[str]] = {
    table: [name for name in expected["columns"] if name not in PARTITION_COLUMNS]
    for table, expected in EXPECTED["read"].items()
}
"""The columns of the files that commit a4277a4 wrote, by table."""


def night_after(day: date, minutes: int = 0) -> datetime:
    """Return 01:00 UTC after the end of a day, plus `minutes`: the day is open then."""
    return datetime(day.year, day.month, day.day, 1, minutes, tzinfo=UTC) + timedelta(days=1)


@dataclass(frozen=True)
class Done:
    """Exit status and output of a command."""

    status: int
    output: str


@dataclass(frozen=True)
class DataDirectory:
    """A data directory, and the server that its pulls go to."""

    root: Path
    truto: RecordedTruto

    def run(self, now: datetime, *words: str) -> Done:
        """Run `lms-pipeline` in this process; server and client stand at `now`."""
        self.truto.set_clock(now)
        result = CliRunner().invoke(lms_pipeline, words, env=self.environment(now))
        output = result.output if result.exception is None else f"{result.output}{result.exception}"
        return Done(result.exit_code, output)

    def environment(self, now: datetime) -> dict[str, str]:
        """Return the settings of a command."""
        unset = {name: "" for name in os.environ if name.startswith(("LMS_", "TRUTO_"))}
        return unset | {
            "TRUTO_API_TOKEN": TOKEN,
            "TRUTO_BASE_URL": self.truto.url,
            "LMS_DATA_DIR": str(self.root),
            "LMS_ACCOUNTS_FILE": str(OPTIONS),
            "LMS_START_DATE": FIRST.isoformat(),
            "LMS_NOW": now.isoformat(),
            "LMS_TOKEN_CALLS_PER_10S": "0",
            "LMS_ACCOUNT_CALLS_PER_10S": "0",
            "DAGSTER_HOME": str(self.root / "dagster"),
        }

    def read_digests(self, account_id: str, day: date, tables: Sequence[str] = TABLES) -> dict[str, str]:
        """Return the digests of the published files over the columns that commit a4277a4 wrote, by table."""
        return {table: read_digest(self.path(table, account_id, day), KNOWN_COLUMNS[table]) for table in tables}

    def count_sources(self, account_id: str, day: date) -> dict[str, int]:
        """Count the published enrollments by their source."""
        rows = lake.read("unified_enrollments", [account_id], day, day, data_dir=self.root)
        return dict(Counter(rows["source"].to_pylist()))

    def count_rows(self, table: str) -> dict[str, int]:
        """Count the rows that `lake.read` returns, by partition."""
        rows = lake.read(table, data_dir=self.root)
        keys = zip(rows["account_id"].to_pylist(), rows["snapshot_date"].to_pylist(), strict=True)
        return {f"{account_id} {day}": count for (account_id, day), count in Counter(keys).items()}

    def hash_rows(self, table: str, account_id: str, day: date) -> str:
        """Return a digest of the rows that `lake.read` returns of a partition, in the columns of commit a4277a4."""
        rows = lake.read(table, [account_id], day, day, data_dir=self.root)
        return hash_rows(rows.select(EXPECTED["read"][table]["columns"]))

    def read_metadata(self, table: str, account_id: str, day: date) -> dict[str, str]:
        """Return the package's metadata of a published file."""
        return read_file_metadata(self.path(table, account_id, day))

    def path(self, table: str, account_id: str, day: date) -> Path:
        """Return the path of a published file."""
        return self.root / "lake" / table / partition_folder(account_id, day) / "data.parquet"

    def read_roster_metadata(self, account_id: str, day: date) -> dict[str, str]:
        """Return the metadata of what a snapshot left for the fetch plan of the next one."""
        path = self.root / "state" / "details" / f"{partition_folder(account_id, day)}.parquet"
        return read_file_metadata(path)

    def responses(self, account_id: str, day: date, suffix: str = ".sqlite") -> Path:
        """Return the path of the kept responses."""
        return (self.root / "answers" / partition_folder(account_id, day)).with_suffix(suffix)

    def read_attempts(self, account_id: str, day: date, suffix: str = ".sqlite") -> list[dict[str, Any]]:
        """Return the attempts at a snapshot, with `kept` responses and `is_refused`."""
        query = """
            SELECT attempts.*, refused.attempt IS NOT NULL AS is_refused,
                   (SELECT count(*) FROM answers WHERE answers.attempt = attempts.id) AS kept
            FROM attempts LEFT JOIN refused ON refused.attempt = attempts.id
            ORDER BY attempts.id
        """
        return self._query(query, account_id, day, suffix)

    def read_kept_requests(self, account_id: str, day: date) -> set[str]:
        """Return paths and queries of the requests whose responses are kept, percent-decoded."""
        keys = self._query("SELECT key FROM answers", account_id, day, ".sqlite")
        return {unquote(f"/{row['key'].partition('/')[2]}") for row in keys}

    def _query(self, sql: str, account_id: str, day: date, suffix: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.responses(account_id, day, suffix))) as file:
            file.row_factory = sqlite3.Row
            return [dict(row) for row in file.execute(sql)]


@dataclass(frozen=True)
class Outcome:
    """A data directory after some commands, and the requests that they sent."""

    directory: DataDirectory
    requests: list[str]

    def requests_of(self, account_id: str) -> list[str]:
        """Return paths and queries of the requests about one account, percent-decoded."""
        return [unquote(one) for one in self.requests if f"integrated_account_id={account_id}" in one]


def unpack(folder: Path) -> Path:
    """Write the data directory into a folder, and return the folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def read_options(account_id: str) -> str:
    """Return the lines of `accounts.toml` about an account."""
    _, _, section = OPTIONS.read_text(encoding="utf-8").partition(f"[accounts.{account_id}]\n")
    return section.partition("\n[")[0]


def read_file_metadata(path: Path) -> dict[str, str]:
    """Return the package's metadata of a Parquet file, without the prefix of the keys."""
    stored = pq.read_metadata(path).metadata
    return {
        key.decode().removeprefix("lms_pipeline."): value.decode()
        for key, value in stored.items()
        if key.startswith(b"lms_pipeline.")
    }


def read_digest(path: Path, columns: Sequence[str]) -> str:
    """Return the digest of a file over these columns as commit a4277a4 computes it.

    It is the stored one if that commit wrote the file with these columns, otherwise a computed one: later digests have
    their version before a colon.
    """
    stored = read_file_metadata(path).get("digest", "")
    if pq.read_schema(path).names == columns and stored and ":" not in stored:
        return stored
    return compute_digest(path, columns)


def compute_digest(path: Path, columns: Sequence[str]) -> str:
    """Return the digest that commit a4277a4 stored in a file with only these columns, in their order.

    It is the sum, modulo 2**128, of the MD5 of each row as JSON without `fetched_at`; it uses nothing of the package.
    """
    names = ", ".join(f'"{name}"' for name in columns if name != "fetched_at")
    query = f"""
        SELECT coalesce(sum((hash >> 64)::HUGEINT), 0), coalesce(sum((hash & 18446744073709551615)::HUGEINT), 0)
        FROM (SELECT md5_number(to_json(row)) AS hash FROM (SELECT {names} FROM read_parquet($path)) AS row)
    """  # noqa: S608 (names of our schema)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        ((high, low),) = connection.execute(query, {"path": str(path)}).fetchall()
    return f"{((int(high) << 64) + int(low)) % 2**128:032x}"


def partition_folder(account_id: str, day: date) -> str:
    """Return the path of a partition below the folder of its table."""
    return f"account_id={account_id}/snapshot_date={day.isoformat()}"


def hash_rows(table: pa.Table) -> str:
    """Return a digest of columns and rows, in their order; it uses nothing of the package."""
    rows = [table.column_names, *([*row.values()] for row in table.to_pylist())]
    return hashlib.sha256(json.dumps(rows, default=str, ensure_ascii=False).encode()).hexdigest()[:16]


# The only imports of internals: texts that are stored, and compared byte for byte with those of other days.


def plan_text(options: str, *, identity: str = "pair", tables: tuple[str, ...] = PULLED) -> str:
    """Return the stored text of what decides which requests are sent; `options` is TOML."""
    plan: str = _build_job(options, identity=identity, tables=tables).fingerprint
    return plan


def context_text(options: str, previous_day: date | None) -> str:
    """Return the stored text of the replay context of a snapshot by roster; `options` is TOML."""
    from lms_pipeline.extract.strategy_selection import Choice
    from lms_pipeline.snapshot.job import ReplayContext

    choice = Choice("roster", "its metadata require user[id]", is_settled=True)
    text: str = ReplayContext.of(_build_job(options), choice, previous_day).to_json()
    return text


def read_context(text: str) -> dict[str, object]:
    """Read a stored context and write it again; return nothing where it can't be read."""
    from lms_pipeline.snapshot.job import ReplayContext

    context = ReplayContext.from_json(text)
    return {} if context is None else json.loads(context.to_json())


def _build_job(options: str, *, identity: Any = "pair", tables: tuple[str, ...] = PULLED) -> Any:
    import msgspec

    from lms_pipeline.accounts.options import AccountOptions
    from lms_pipeline.snapshot.job import SnapshotJob

    read = msgspec.toml.decode(options, type=AccountOptions)
    return SnapshotJob("acme", FIRST, "run-1", identity, read, frozenset(tables))
