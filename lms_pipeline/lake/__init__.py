"""The lake: Parquet files on disk, published as a whole, read from Python and SQL.

`read` and `frame` are public: `from lms_pipeline import lake; lake.read("course_completion")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lms_pipeline.lake.reading import frame, read

__all__ = ["frame", "read"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import pyarrow (0.4 s) only when it is needed."""
    if name in __all__:
        from lms_pipeline.lake import reading

        return getattr(reading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
