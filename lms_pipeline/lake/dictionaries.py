"""Which columns of a Parquet file get a dictionary: those whose values repeat.

Belongs here: the choice, from the first rows of a file. A dictionary of values that do not repeat takes a third more space
and time than the values.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

SAMPLED_ROWS = 8_192
"""Rows that are looked at. A file with fewer has a dictionary for each column: the choice would take longer than it saves."""
MAX_DISTINCT_SHARE = 0.5
"""Distinct values of all values up to which a column gets a dictionary. 0.1 to 0.5 make little difference: the bytes saved
by the dictionary are those of its indices."""


def choose_dictionaries(rows: pa.Table) -> list[str] | bool:
    """Return the paths of the columns that get a dictionary, as Parquet names them; True for all."""
    if rows.num_rows < SAMPLED_ROWS:
        return True
    sample = rows.slice(0, SAMPLED_ROWS).combine_chunks()
    leaves = (leaf for name in sample.column_names for leaf in _iter_leaves(name, sample.column(name).chunk(0)))
    return [path for path, values in leaves if _repeats(values)]


def _repeats(values: pa.Array) -> bool:
    if pa.types.is_boolean(values.type):
        return False  # Parquet has none for them
    count: int = len(values) - values.null_count
    distinct: int = pc.count_distinct(values).as_py()
    return 0 < distinct <= MAX_DISTINCT_SHARE * count


def _iter_leaves(path: str, values: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """Yield the columns that Parquet makes of a column with lists and structs, each with its path."""
    if pa.types.is_list(values.type):
        yield from _iter_leaves(f"{path}.list.element", values.flatten())
    elif pa.types.is_struct(values.type):
        for field, member in zip(values.type, values.flatten(), strict=True):
            yield from _iter_leaves(f"{path}.{field.name}", member)
    else:
        yield path, values
