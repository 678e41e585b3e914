"""Damages of a Parquet file, in place."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def truncate(path: Path) -> None:
    """Cut the end of the footer."""
    path.write_bytes(path.read_bytes()[:-20])


def damage_pages(path: Path) -> None:
    """Overwrite all pages and leave the footer, whose length is before the last four bytes."""
    content = bytearray(path.read_bytes())
    pages = len(content) - 12 - int.from_bytes(content[-8:-4], "little")
    content[4 : 4 + pages] = b"\xff" * pages
    path.write_bytes(content)


def write_newer(path: Path) -> None:
    """Write it as a version would that is not there yet."""
    pq.write_table(pq.read_table(path).replace_schema_metadata({"lms_pipeline.schema_version": "99"}), path)


def change_value(path: Path, column: str) -> None:
    """Change one bit in the pages of a column, so that it is read with another value, and without an error."""
    content, table = path.read_bytes(), pq.ParquetFile(path).read()
    chunk = next(
        chunk
        for chunk in map(pq.read_metadata(path).row_group(0).column, range(table.num_columns))
        if chunk.path_in_schema == column
    )
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    for position in range(start, start + chunk.total_compressed_size):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        try:
            found = pq.ParquetFile(path).read()
        except (OSError, pa.ArrowException):
            continue
        if found[column] != table[column]:
            return
    raise AssertionError(f"No bit of {column} can be changed without an error.")
