"""Dagster's services as a user starts them, and schedules as a user starts and stops them in the UI.

Belongs here: `lms-pipeline ui` in its own process, and the web UI's GraphQL API.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

COMMAND = Path(sys.executable).with_name("lms-pipeline")
START_TIMEOUT_SECONDS = 120.0
"""Time for the web UI to start and to load the code location."""
SELECTOR = {"repositoryLocationName": "lms_pipeline", "repositoryName": "__repository__"}

STATE = """
query State($selector: ScheduleSelector!) { scheduleOrError(scheduleSelector: $selector) { ... on Schedule {
  scheduleState { id status ticks(limit: 20) { timestamp endTimestamp status error { message } } } } } }
"""
START = """
mutation Start($selector: ScheduleSelector!) { startSchedule(scheduleSelector: $selector) {
  __typename ... on ScheduleStateResult { scheduleState { status } } } }
"""
STOP = """
mutation Stop($id: String!) { stopRunningSchedule(id: $id) {
  __typename ... on ScheduleStateResult { scheduleState { status } } } }
"""


class ServiceError(Exception):
    """Dagster's services did not start, or refused a request."""


@dataclass(frozen=True)
class Tick:
    """One tick of a schedule. Times are in seconds since 1970."""

    scheduled_at: float
    ended_at: float | None
    """None while the tick is running."""


@dataclass(frozen=True)
class Services:
    """The web UI and the daemon behind it."""

    url: str
    pid: int

    def start(self, schedule: str) -> None:
        """Start a schedule."""
        response = self.query(START, selector={**SELECTOR, "scheduleName": schedule})["startSchedule"]
        self._check_status(response, "RUNNING")

    def stop(self, schedule: str) -> None:
        """Stop a schedule."""
        response = self.query(STOP, id=self._read_state(schedule)["id"])["stopRunningSchedule"]
        self._check_status(response, "STOPPED")

    def read_ticks(self, schedule: str) -> list[Tick]:
        """Return the ticks of a schedule, oldest first.

        Raises:
            ServiceError: a tick failed.
        """
        ticks = self._read_state(schedule)["ticks"]
        if failed := [tick for tick in ticks if tick["status"] == "FAILURE"]:
            raise ServiceError(f"A tick failed: {failed[0]['error']['message']}")
        return [
            Tick(tick["timestamp"], None if tick["status"] == "STARTED" else tick["endTimestamp"])
            for tick in reversed(ticks)
        ]

    def is_up(self) -> bool:
        """Whether the web UI responds and has loaded the code."""
        try:
            return self._read_state("daily_snapshot") is not None
        except (httpx.TransportError, ServiceError):
            return False

    def _read_state(self, schedule: str) -> Any:  # noqa: ANN401 - JSON
        response = self.query(STATE, selector={**SELECTOR, "scheduleName": schedule})["scheduleOrError"]
        if "scheduleState" not in response:
            raise ServiceError(f"There is no schedule {schedule} yet.")
        return response["scheduleState"]

    @staticmethod
    def _check_status(response: Any, expected: str) -> None:  # noqa: ANN401 - JSON
        if response.get("scheduleState", {}).get("status") != expected:
            raise ServiceError(f"The schedule should be {expected}: {response}")

    def query(self, query: str, **variables: object) -> dict[str, Any]:
        """Send a query of the web UI's GraphQL API, and return its data.

        Raises:
            ServiceError: the API refuses it.
        """
        body = {"query": query, "variables": variables}
        response = httpx.post(f"{self.url}/graphql", json=body, timeout=60, trust_env=False).json()
        if response.get("errors"):
            raise ServiceError(str(response["errors"]))
        data: dict[str, Any] = response["data"]
        return data


@contextmanager
def start_services(environment: Mapping[str, str], folder: Path) -> Iterator[Services]:
    """Run `lms-pipeline ui` during the block, with its output in `folder`.

    Raises:
        ServiceError: it does not start.
    """
    port = _find_free_port()
    command = [str(COMMAND), "ui", "--port", str(port)]
    with (
        (folder / "ui.log").open("wb") as log,
        subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log) as process,  # noqa: S603
    ):
        try:
            dagster = Services(f"http://127.0.0.1:{port}", process.pid)
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while not dagster.is_up():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ServiceError(f"`lms-pipeline ui` does not start: see {log.name}")
                time.sleep(0.5)
            yield dagster
        finally:
            process.terminate()
            process.wait()


def _find_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
