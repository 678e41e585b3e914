"""The old path of `lms_pipeline.sandbox.records_world`, kept for one release."""

from lms_pipeline.sandbox.recorded_world import records_world

__all__ = ["records_world"]
