"""Turn the structs of records into one sequence of values for each field.

Belongs here: nothing that knows JSON or Arrow. Not here: arrays of the values (`columns.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import astuple

from lms_pipeline.transform.shapes import Object


def transpose(shape: Object, structs: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """Return the values of each field by its dotted path, in the order of the structs.

    A struct has the fields of its shape, in their order. One that is None, as an object that a record lacks, gives None
    for all of its fields.
    """
    values: dict[str, Sequence[Any]] = {}
    for (name, kind), members in zip(shape.fields.items(), _transpose_fields(shape, structs), strict=True):
        if isinstance(kind, Object):
            values |= {f"{name}.{path}": inner for path, inner in transpose(kind, members).items()}
        else:
            values[name] = members
    return values


def _transpose_fields(shape: Object, structs: Sequence[Any]) -> Sequence[Sequence[Any]]:
    absent = (None,) * len(shape.fields)
    if not any(structs):
        return [(None,) * len(structs)] * len(absent)
    if not structs.count(None):
        return list(zip(*map(astuple, structs), strict=True))
    return list(zip(*(absent if one is None else astuple(one) for one in structs), strict=True))
