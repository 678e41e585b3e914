"""Damages of a Parquet file, in place."""

from pathlib import Path

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
