"""A published partition of generated enrollments, as large as needed: it is not pulled, since that takes too long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.sides.package import NOW, RUN_ID, open_package
from benchmarks.sides.result import print_result, read_arguments

ROWS_PER_GROUP = 32_768


def main() -> None:
    """Write the enrollments of an account in the schema of the package."""
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    options = read_arguments(folder=Path, account=str, rows=int)
    package = open_package(options.folder)
    path = package.find_file("unified_enrollments", options.account)
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = package.build_enrollments_schema()
    metadata = {"run_id": RUN_ID, "schema_version": "1", "digest": "0", "complete": "true"}
    query = Path(__file__).with_name("make_enrollments.sql").read_text(encoding="utf-8")
    with duckdb.connect() as connection, pq.ParquetWriter(path, schema, compression="zstd") as file:
        connection.execute("SET TimeZone = 'UTC'")
        file.add_key_value_metadata({f"lms_pipeline.{name}": value for name, value in metadata.items()})
        values = {"rows": options.rows, "last_instant": NOW}
        batches: Any = connection.sql(query, params=values).to_arrow_reader(ROWS_PER_GROUP)
        for batch in batches:
            columns = [  # those that the query does not name are null
                batch[field.name].cast(field.type)
                if field.name in batch.schema.names
                else pa.nulls(batch.num_rows, field.type)
                for field in schema
            ]
            file.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    print_result(rows=options.rows, file_mb=path.stat().st_size / 2**20)


if __name__ == "__main__":
    main()
