"""How values are written into a query: nested as `a[b]=x`, arrays as `a[]=x`, booleans as `true`.

What belongs here: the API's notation, https://truto.one/docs/api-reference/overview/querying. What can be asked is
`query.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from lms_pipeline.errors import LmsPipelineError

Parameter = tuple[str, str]


class QueryError(LmsPipelineError):
    """A query that can't be asked; the message says why."""


def encoded(name: str | None, value: Any) -> Iterator[Parameter]:  # noqa: ANN401 - whatever can be told
    """The parameters that tell `value` under `name`; None is left out.

    Raises:
        QueryError: a value that a query can't hold, or a name that would be read as another.
    """
    match value:
        case None:
            return
        case Mapping():
            for key, inner in value.items():
                yield from encoded(_nested(name, key), inner)
        case str():
            yield name or "", value
        case bool():
            yield name or "", "true" if value else "false"
        case float() if not math.isfinite(value):
            raise QueryError(f"{value} is no number that can stand in a query, as in {name}.")
        case int() | float():
            yield name or "", str(value)
        case datetime() | date():
            yield name or "", value.isoformat()
        case Sequence() if not isinstance(value, bytes | bytearray):
            yield from _items(name, value)
        case _:
            raise QueryError(f"A value of type {type(value).__name__} can't stand in a query, as in {name}.")


def _items(name: str | None, values: Sequence[Any]) -> Iterator[Parameter]:
    for item in values:
        if isinstance(item, Sequence) and not isinstance(item, str):
            raise QueryError(f"A list in a list can't stand in a query, as in {name}.")
        yield from encoded(f"{name}[]", item)


def _nested(name: str | None, key: object) -> str:
    if not isinstance(key, str) or not key or set(key) & set("[]"):
        raise QueryError(f"{key!r} can't be the name of a parameter: it is a text without brackets.")
    return key if name is None else f"{name}[{key}]"
