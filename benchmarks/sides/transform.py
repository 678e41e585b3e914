"""Pages in memory to Arrow: this package, or what others would write for it.

Only this package keeps the bytes of each raw record with their SHA-256, unknown keys, and rejected records.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.sides.result import measure_call, print_result, read_arguments
from benchmarks.world.pages import World
from benchmarks.world.records import MARK

INSTANTS = ("enrolled_at", "completed_at", "due_at", "last_activity_at", "created_at", "updated_at")
RAW_TEXTS = (
    *("id", "name", "role", "enrolled_on", "enrolled_on_timestamp", "completed_on", "completed_on_timestamp"),
    *("completion_status", "completion_percentage", "expired_on", "expired_on_timestamp", "total_time"),
    "last_accessed_unit_url",
)
Transform = Callable[[Sequence[bytes]], Mapping[str, float]]


def prepare_package() -> Transform:
    """Prepare this package, or an earlier commit of it."""
    from benchmarks.sides.package import open_package

    return open_package(Path.cwd() / "package").prepare_transform()


def build_schema(instants: Any) -> Any:  # noqa: ANN401 (pyarrow has no types)
    """Return the Arrow schema of a record, with this type of instants."""
    import pyarrow as pa

    text = pa.string()
    emails = pa.list_(pa.struct({"email": text, "is_primary": pa.bool_(), "type": text}))
    raw = pa.struct({**dict.fromkeys(RAW_TEXTS, text), "total_time_seconds": pa.int64()})
    return pa.schema(
        {
            "id": text,
            "user": pa.struct({"id": text, "name": text, "emails": emails}),
            "course": pa.struct({"id": text, "title": text}),
            "status": text,
            "progress_percent": pa.float64(),
            "score": pa.float64(),
            "is_mandatory": pa.bool_(),
            **dict.fromkeys(INSTANTS, instants),
            "time_spent_seconds": pa.int64(),
            "remote_data": raw,
        }
    )


def prepare_from_pylist() -> Transform:
    """Prepare orjson, and `pyarrow.Table.from_pylist`."""
    import orjson
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = build_schema(pa.string())

    def transform(bodies: Sequence[bytes]) -> Mapping[str, float]:
        rows = 0
        for body in bodies:
            table = pa.Table.from_pylist(orjson.loads(body)["result"], schema)
            for name in INSTANTS:
                instants = pc.strptime(table[name], "%Y-%m-%dT%H:%M:%S.000Z", "us").cast(pa.timestamp("us", "UTC"))
                table = table.set_column(table.schema.get_field_index(name), name, instants)
            rows += table.flatten().num_rows
        return {"rows": rows}

    return transform


def prepare_json_normalize() -> Transform:
    """Prepare orjson, and `pandas.json_normalize`."""
    import orjson
    import pandas as pd
    import pyarrow as pa

    def transform(bodies: Sequence[bytes]) -> Mapping[str, float]:
        rows = 0
        for body in bodies:
            frame = pd.json_normalize(orjson.loads(body)["result"])
            frame["user.emails"] = frame["user.emails"].map(lambda emails: orjson.dumps(emails).decode())
            for name in INSTANTS:
                frame[name] = pd.to_datetime(frame[name], utc=True)
            rows += pa.Table.from_pandas(frame, preserve_index=False).num_rows
        return {"rows": rows}

    return transform


def prepare_polars() -> Transform:
    """Prepare `polars.read_json` with a schema."""
    import polars as pl
    import pyarrow as pa

    def convert(kind: Any) -> Any:  # noqa: ANN401
        if pa.types.is_struct(kind):
            return pl.Struct({field.name: convert(field.type) for field in kind})
        if pa.types.is_list(kind):
            return pl.List(convert(kind.value_type))
        return {pa.string(): pl.String, pa.float64(): pl.Float64, pa.int64(): pl.Int64, pa.bool_(): pl.Boolean}[kind]

    schema = {field.name: convert(field.type) for field in build_schema(pa.string())}
    instants = [
        pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="us", time_zone="UTC") for name in INSTANTS
    ]

    def transform(bodies: Sequence[bytes]) -> Mapping[str, float]:
        rows = 0
        for body in bodies:
            frame = pl.read_json(io.BytesIO(body[10 : body.rindex(b"]") + 1]), schema=schema)
            frame = frame.with_columns(instants).unnest("user", separator="_").unnest("course", separator="_")
            rows += frame.to_arrow().num_rows
        return {"rows": rows}

    return transform


def prepare_pyarrow() -> Transform:
    """Prepare msgspec to split pages into lines, and `pyarrow.json`."""
    import msgspec
    import pyarrow as pa
    import pyarrow.json as pj

    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    records = msgspec.json.Decoder(list[msgspec.Raw])
    parse = pj.ParseOptions(build_schema(pa.timestamp("us", "UTC")), unexpected_field_behavior="infer")

    def transform(bodies: Sequence[bytes]) -> Mapping[str, float]:
        rows = 0
        for body in bodies:
            lines = b"\n".join(map(bytes, records.decode(decoder.decode(body)["result"])))
            read = pj.ReadOptions(use_threads=False, block_size=len(lines) + 1)
            rows += pj.read_json(io.BytesIO(lines), read_options=read, parse_options=parse).flatten().num_rows
        return {"rows": rows}

    return transform


WAYS = {
    "package": prepare_package,
    "from_pylist": prepare_from_pylist,
    "json_normalize": prepare_json_normalize,
    "polars": prepare_polars,
    "pyarrow": prepare_pyarrow,
}


def add_undocumented_keys(body: bytes) -> bytes:
    """Return a page each of whose records has two keys that are not documented."""
    record = f'{{"id":"{MARK}e'.encode()
    return body.replace(record, b'{"x_cost_center":"4711","x_reviewed":true,' + record[1:])


def main() -> None:
    """Transform pages that are in memory; the least CPU of three times, since each is short."""
    options = read_arguments(world=Path, rows=int, way=str, undocumented=int)
    bodies = World(options.world).read_bodies("enrollments_with_raw", options.rows)
    if options.undocumented:
        bodies = list(map(add_undocumented_keys, bodies))
    transform = WAYS[options.way]()
    results = [measure_call(lambda: transform(bodies)) for _ in range(3)]
    counts, cost = min(results, key=lambda result: result[1].cpu)
    print_result(cost, **counts)


if __name__ == "__main__":
    main()
