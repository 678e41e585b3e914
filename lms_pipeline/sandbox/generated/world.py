"""The old path of `lms_pipeline.sandbox.synthetic.world.generated_world`, kept for one release."""

from lms_pipeline.sandbox.synthetic.world import generated_world

__all__ = ["generated_world"]
