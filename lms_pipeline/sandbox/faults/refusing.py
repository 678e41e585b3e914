"""The old path of these classes of `lms_pipeline.sandbox.faults`, kept for one release."""

from lms_pipeline.sandbox.faults.responses import ExpiredCursor, RevokedConnection, RevokedToken, Status

__all__ = ["ExpiredCursor", "RevokedConnection", "RevokedToken", "Status"]
