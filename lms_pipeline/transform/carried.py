"""Rows of an older snapshot on their way into a new one: without the credentials that an older version stored.

Belongs here: columns that hold what the LMS sent. Not here: responses (`truto/secret_keys.py`), which rows are carried over
(`extract/plan.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from lms_pipeline.lake.slices import iter_slices
from lms_pipeline.truto.secret_keys import remove_credentials

MAX_SEARCHED_BYTES = 8 * 2**20
"""Bytes of rows that are searched together."""
JSON_COLUMNS = ("custom_fields", "extra")
"""Columns of `unified_enrollments` with JSON of the LMS."""


def clean_unified(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield rows of `unified_enrollments` without credentials in their JSON and in their links."""
    for part in iter_slices(rows, MAX_SEARCHED_BYTES):
        columns = {name: _clean_json(part.column(name)) for name in JSON_COLUMNS}
        yield _replace(part, {**columns, "urls": _clean_links(part.column("urls"))})


def clean_raw(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield rows of `raw_enrollments` without credentials in their payloads; a payload that changes gets its own SHA-256."""
    for part in iter_slices(rows, MAX_SEARCHED_BYTES):
        payloads, digests = part.column("payload"), part.column("payload_sha256")
        cleaned = _clean_json(payloads)
        if cleaned is not payloads:
            pairs = zip(payloads.to_pylist(), cleaned.to_pylist(), digests.to_pylist(), strict=True)
            digests = pa.array(
                [digest if old == new else hashlib.sha256(new.encode()).hexdigest() for old, new, digest in pairs],
                digests.type,
            )
        yield _replace(part, {"payload": cleaned, "payload_sha256": digests})


def _replace(rows: pa.RecordBatch, columns: dict[str, pa.Array]) -> pa.RecordBatch:
    """Return the rows with other columns under these names."""
    arrays = [columns.get(name, rows.column(name)) for name in rows.schema.names]
    return pa.RecordBatch.from_arrays(arrays, schema=rows.schema)


def _clean_json(texts: pa.Array) -> pa.Array:
    """Return the column of JSON without credentials; the same one if it holds none."""
    if not _has_credentials(texts.drop_null()):
        return texts
    return _clean_each(texts, lambda text: remove_credentials(text.encode()).decode())


def _clean_links(links: pa.Array) -> pa.Array:
    """Return the column of lists of links without credentials; the same one if it holds none."""
    flat = links.flatten()
    urls = flat.field("url") if len(flat) else pa.array([], pa.string())
    quoted = urls.drop_null()
    for char in ("\\", '"'):
        quoted = pc.replace_substring(quoted, char, f"\\{char}")
    if not _has_credentials(pc.binary_join_element_wise('"', quoted, '"', "")):
        return links

    def clean(text: str) -> str:
        return str(json.loads(remove_credentials(json.dumps(text, ensure_ascii=False).encode())))

    rows = links.to_pylist()
    for link in (link for row in rows for link in row or () if link and link["url"] is not None):
        link["url"] = clean(link["url"])
    return pa.array(rows, links.type)


def _clean_each(texts: pa.Array, clean: Callable[[str], str]) -> pa.Array:
    return pa.array([None if text is None else clean(text) for text in texts.to_pylist()], texts.type)


def _has_credentials(values: pa.Array) -> bool:
    """Return whether one of the values, which are JSON, holds a credential: all of them are searched as one list."""
    if not len(values):
        return False
    lists = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    body: bytes = b"[" + pc.binary_join(lists, ",")[0].as_py().encode() + b"]"
    return remove_credentials(body) != body
