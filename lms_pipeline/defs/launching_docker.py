"""The run launcher for Docker: each run is a container, and the runs of commands are not ended.

Belongs here: nothing but the class that `dagster.yaml` names. Its options are those of Dagster's `DockerRunLauncher`.
"""

from __future__ import annotations

from lms_pipeline.defs.launching import MissingExtraError, ShellRuns

try:
    from dagster_docker import DockerRunLauncher
except ModuleNotFoundError as error:
    raise MissingExtraError("DockerLauncher", error) from None


class DockerLauncher(ShellRuns, DockerRunLauncher):
    """Dagster's launcher for Docker, which also knows the runs of commands."""
