"""The Parquet tree: audited, published in one step, read; and the warehouse over it.

`read` and `frame` are the lake's face to users: `from lms_pipeline import lake; lake.read("course_completion")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lms_pipeline.lake.reading import frame, read

__all__ = ["frame", "read"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import pyarrow (0.4 s) only when somebody reads."""
    if name in __all__:
        from lms_pipeline.lake import reading

        return getattr(reading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
