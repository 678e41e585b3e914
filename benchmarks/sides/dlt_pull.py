"""The same three lists by dlt: a `rest_api` source into Parquet files or DuckDB, tuned as its performance page says.

The modes: `flat` has the columns of this package, e-mails and raw data as JSON; `json` keeps user and course as JSON, too;
`default` is what dlt does without hints, tables for nested lists; `arrow` is no `rest_api`, but pages to Arrow by hand
(orjson and `Table.from_pylist`) that dlt only writes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.sides.result import list_files, measure_call, print_result, read_arguments

LISTS = ("users", "courses", "course-enrollments")
TUNING = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "EXTRACT__WORKERS": "2",
    "NORMALIZE__WORKERS": "2",
    "LOAD__WORKERS": "2",
    "EXTRACT__DATA_WRITER__FILE_MAX_ITEMS": "50000",
    "EXTRACT__DATA_WRITER__BUFFER_MAX_ITEMS": "5000",
    "EXTRACT__DATA_WRITER__DISABLE_COMPRESSION": "true",
    "NORMALIZE__DATA_WRITER__FILE_MAX_ITEMS": "100000",
    "NORMALIZE__DATA_WRITER__BUFFER_MAX_ITEMS": "20000",
    "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
}
NESTING = {"json": 0, "flat": 1}
TOKEN = "benchmark-token"  # noqa: S105 (of the local server)


def build_query(account: str, name: str) -> dict[str, Any]:
    """Return the query of a list."""
    query: dict[str, Any] = {"integrated_account_id": account, "limit": 500}
    return query if name == "course-enrollments" else {**query, "truto_ignore_remote_data": "true"}


def build_rest_source(url: str, account: str, mode: str) -> Any:  # noqa: ANN401 (dlt is not in .venv)
    """Return a `rest_api` source."""
    from dlt.sources.rest_api import rest_api_source

    cursor = {"type": "cursor", "cursor_path": "next_cursor", "cursor_param": "next_cursor"}
    hints = {"users": ["emails"], "courses": [], "course-enrollments": ["remote_data"]}
    resources = []
    for name in LISTS:
        endpoint = {
            "path": f"/unified/lms/{name}",
            "params": build_query(account, name),
            "data_selector": "result",
            "paginator": cursor,
        }
        resource = {"name": name.replace("-", "_"), "write_disposition": "replace", "endpoint": endpoint}
        if mode == "flat":
            resource["columns"] = {column: {"data_type": "json"} for column in hints[name]}
        resources.append(resource)
    client = {"base_url": url, "auth": {"type": "bearer", "token": TOKEN}}
    config = {"client": client, "resources": resources}
    return rest_api_source(config) if mode == "default" else rest_api_source(config, max_table_nesting=NESTING[mode])


def build_arrow_source(url: str, account: str) -> Any:  # noqa: ANN401
    """Return resources whose pages are Arrow tables."""
    import dlt
    import orjson
    import pyarrow as pa
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
    from dlt.sources.helpers.rest_client.paginators import JSONResponseCursorPaginator

    client = RESTClient(base_url=url, auth=BearerTokenAuth(TOKEN))
    schemas = {name: pa.schema(columns) for name, columns in _list_arrow_columns(pa).items()}

    def dump(value: object) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def flatten(record: dict[str, Any]) -> dict[str, Any]:
        if "emails" in record:
            record["emails"] = dump(record["emails"])
        if "user" in record:
            user, course = record["user"], record["course"]
            record |= {"user_id": user["id"], "user_name": user["name"], "emails": dump(user["emails"])}
            record |= {"course_id": course["id"], "course_title": course["title"]}
            record["remote_data"] = dump(record.get("remote_data"))
        return record

    def build_resource(name: str) -> Any:  # noqa: ANN401
        def fetch_pages() -> Iterator[Any]:
            paginator = JSONResponseCursorPaginator(cursor_path="next_cursor", cursor_param="next_cursor")
            path, query = f"/unified/lms/{name}", build_query(account, name)
            for page in client.paginate(path, params=query, data_selector="result", paginator=paginator):
                yield pa.Table.from_pylist([flatten(record) for record in page], schemas[name])

        return dlt.resource(fetch_pages, name=name.replace("-", "_"), write_disposition="replace")

    return [build_resource(name) for name in LISTS]


def _list_arrow_columns(pa: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401
    text = pa.string()
    base, instants = {"id": text, "status": text}, dict.fromkeys(("created_at", "updated_at"), text)
    activity = dict.fromkeys(("enrolled_at", "completed_at", "due_at", "last_activity_at"), text)
    people = dict.fromkeys(("user_id", "user_name", "emails", "course_id", "course_title"), text)
    numbers = {"progress_percent": pa.float64(), "score": pa.float64(), "is_mandatory": pa.bool_()}
    more = {"time_spent_seconds": pa.int64(), "remote_data": text}
    return {
        "course-enrollments": {**base, **people, **numbers, **activity, **instants, **more},
        "users": {**base, "name": text, "emails": text, **instants},
        "courses": {**base, "title": text, **instants},
    }


def run_pipeline(source: Any, folder: Path, destination: str) -> None:  # noqa: ANN401
    """Extract, normalize and load."""
    import dlt
    from dlt.destinations import duckdb, filesystem

    parquet = destination == "parquet"
    to = filesystem(bucket_url=f"file://{folder}/lake") if parquet else duckdb(f"{folder}/rival.duckdb")
    pipeline = dlt.pipeline("benchmark", destination=to, dataset_name="lms", pipelines_dir=str(folder / "pipelines"))
    pipeline.extract(source, loader_file_format="parquet")
    pipeline.normalize()
    pipeline.load()


def count_rows(folder: Path, destination: str) -> Mapping[str, float]:
    """Return the loaded enrollments, and the size of all that was loaded."""
    if destination == "parquet":
        import pyarrow.parquet as pq

        files = list_files(folder / "lake")
        rows = sum(pq.read_metadata(file).num_rows for file in files if file.parent.name == "course_enrollments")
    else:
        import duckdb

        files = [folder / "rival.duckdb"]
        with duckdb.connect(str(files[0])) as connection:
            row = connection.execute("SELECT count(*) FROM lms.course_enrollments").fetchone()
        rows = row[0] if row else 0
    return {"rows": rows, "stored_mb": sum(file.stat().st_size for file in files) / 2**20}


def main() -> None:
    """Pull an account into a new folder."""
    options = read_arguments(url=str, account=str, folder=Path, mode=str, destination=str)
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    os.environ.update(TUNING, DLT_DATA_DIR=str(options.folder / "dlt"))
    if options.mode == "arrow":
        source = build_arrow_source(options.url, options.account)
    else:
        source = build_rest_source(options.url, options.account, options.mode)
    _, cost = measure_call(lambda: run_pipeline(source, options.folder, options.destination))
    print_result(cost, **count_rows(options.folder, options.destination))


if __name__ == "__main__":
    main()
