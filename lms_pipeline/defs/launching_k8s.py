"""The run launcher for Kubernetes: each run is a Job, and the runs of commands are not ended.

Belongs here: nothing but the class that `dagster.yaml` names. Its options are those of Dagster's `K8sRunLauncher`.
"""

from __future__ import annotations

from lms_pipeline.defs.launching import MissingExtraError, ShellRuns

try:
    from dagster_k8s import K8sRunLauncher
except ModuleNotFoundError as error:
    raise MissingExtraError("K8sLauncher", error) from None


class K8sLauncher(ShellRuns, K8sRunLauncher):
    """Dagster's launcher for Kubernetes, which also knows the runs of commands."""
