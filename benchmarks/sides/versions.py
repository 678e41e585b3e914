"""The versions of what is measured, in this environment."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from benchmarks.sides.result import print_result

PACKAGES = ("pyarrow", "duckdb", "msgspec", "httpx", "dagster", "dlt", "polars", "pandas", "orjson")


def main() -> None:
    """Print the versions of Python and of the packages that are installed."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    print_result(**versions)


if __name__ == "__main__":
    main()
