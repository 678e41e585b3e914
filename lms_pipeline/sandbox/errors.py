"""What a person who starts the sandbox is told when it can't start.

What belongs here: errors of this process. What a client of the server is answered is `refusals.py`.
"""

from lms_pipeline.errors import LmsPipelineError


class SandboxError(LmsPipelineError):
    """The sandbox can't be started as asked: a port in use, a records file that can't be read."""
