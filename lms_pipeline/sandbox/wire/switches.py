"""The old path of `lms_pipeline.sandbox.Switches`, kept for one release."""

from lms_pipeline.sandbox.state import TRUTO_ACCOUNT_TIER, TRUTO_TOKEN_TIER, Switches, Tier

__all__ = ["TRUTO_ACCOUNT_TIER", "TRUTO_TOKEN_TIER", "Switches", "Tier"]
