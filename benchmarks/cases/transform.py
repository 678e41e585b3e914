"""Pages in memory to Arrow, without network and files."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench, Side
from benchmarks.ratios import Limit, Row


def measure_transform(bench: Bench) -> Iterator[Row]:
    """Compare with what others would write, and records that have undocumented keys with those that have none."""
    rows = bench.scale.transform_rows
    common = {"world": bench.world, "rows": rows}
    package = {**common, "way": "package"}
    sides = [
        Side("package", "transform", package),
        Side("package, undocumented keys", "transform", {**package, "undocumented": 1}),
        Side("base", "transform", package, "base"),
        Side("orjson, from_pylist", "transform", {**common, "way": "from_pylist"}, "rivals"),
        *(
            Side(way, "transform", {**common, "way": way}, "rivals", 1)
            for way in ("json_normalize", "polars", "pyarrow")
        ),
    ]
    results = bench.run_rounds("transform", sides, rounds=bench.scale.small_rounds, rows=rows, size=f"{rows:,} rows")
    name, rival, least = "transform, rows per CPU second / ", "orjson, from_pylist", Limit(0.65, is_upper=False)
    yield from results.compare_speed(name + rival, "package", rival, least)
    yield from results.compare_speed(f"{name}base", "package", "base", Limit(2, is_upper=False))
    name = "transform with two undocumented keys per record, CPU / without"
    yield from results.compare(name, "package, undocumented keys", "package", "cpu", Limit(1.5))
