"""Turn the structs of records into one sequence of values for each field.

Belongs here: nothing that knows JSON or Arrow. Not here: arrays of the values (`columns.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from lms_pipeline.transform.shapes import Object


def transpose(shape: Object, structs: Sequence[Any]) -> dict[str, list[Any]]:
    """Return the values of each field by its dotted path, in the order of the structs.

    A struct that is None, as an object that a record lacks, gives None for all of its fields.
    """
    # one list a field: with one tuple a struct, Python's garbage collector took a tenth of a pull
    values: dict[str, list[Any]] = {}
    for name, kind in shape.fields.items():
        members = _get_members(name, structs)
        if isinstance(kind, Object):
            values |= {f"{name}.{path}": inner for path, inner in transpose(kind, members).items()}
        else:
            values[name] = members
    return values


def _get_members(name: str, structs: Sequence[Any]) -> list[Any]:
    if not any(structs):
        return [None] * len(structs)
    if not structs.count(None):
        return list(map(attrgetter(name), structs))
    return [None if one is None else getattr(one, name) for one in structs]
