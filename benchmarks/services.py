"""Dagster's services as a user starts them, and the switch of a schedule as a user turns it in the UI.

What belongs here: `lms-pipeline ui` in a process of its own, and the web UI's GraphQL. What runs in it is the code's.
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
UP_WITHIN = 120.0
"""Seconds for the web UI to come up and know the code location."""
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
    """Dagster's services don't do what they are asked for."""


@dataclass(frozen=True)
class Tick:
    """One tick of a schedule; times in seconds since 1970."""

    scheduled_at: float
    ended_at: float | None
    """None while it goes on asking for runs."""


@dataclass(frozen=True)
class Services:
    """The web UI and the daemon behind it."""

    url: str
    pid: int

    def start(self, schedule: str) -> None:
        """Turn a schedule on."""
        told = self._ask(START, selector={**SELECTOR, "scheduleName": schedule})["startSchedule"]
        self._check(told, "RUNNING")

    def stop(self, schedule: str) -> None:
        """Turn it off."""
        self._check(self._ask(STOP, id=self._state(schedule)["id"])["stopRunningSchedule"], "STOPPED")

    def ticks(self, schedule: str) -> list[Tick]:
        """The ticks of a schedule, the first one first.

        Raises:
            ServiceError: one of them has failed.
        """
        ticks = self._state(schedule)["ticks"]
        if failed := [tick for tick in ticks if tick["status"] == "FAILURE"]:
            raise ServiceError(f"A tick has failed: {failed[0]['error']['message']}")
        return [
            Tick(tick["timestamp"], None if tick["status"] == "STARTED" else tick["endTimestamp"])
            for tick in reversed(ticks)
        ]

    def is_up(self) -> bool:
        """Whether the web UI answers, and has loaded the code."""
        try:
            return self._state("daily_snapshot") is not None
        except (httpx.TransportError, ServiceError):
            return False

    def _state(self, schedule: str) -> Any:  # noqa: ANN401 - JSON
        told = self._ask(STATE, selector={**SELECTOR, "scheduleName": schedule})["scheduleOrError"]
        if "scheduleState" not in told:
            raise ServiceError(f"There is no schedule {schedule} yet.")
        return told["scheduleState"]

    @staticmethod
    def _check(told: Any, expected: str) -> None:  # noqa: ANN401 - JSON
        if told.get("scheduleState", {}).get("status") != expected:
            raise ServiceError(f"The schedule should be {expected}: {told}")

    def _ask(self, query: str, **variables: object) -> dict[str, Any]:
        body = {"query": query, "variables": variables}
        told = httpx.post(f"{self.url}/graphql", json=body, timeout=60, trust_env=False).json()
        if told.get("errors"):
            raise ServiceError(str(told["errors"]))
        data: dict[str, Any] = told["data"]
        return data


@contextmanager
def services(environment: Mapping[str, str], folder: Path) -> Iterator[Services]:
    """`lms-pipeline ui` while the block runs; what it says goes into `folder`.

    Raises:
        ServiceError: it doesn't come up.
    """
    port = _free_port()
    command = [str(COMMAND), "ui", "--port", str(port)]
    with (
        (folder / "ui.log").open("wb") as log,
        subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log) as process,  # noqa: S603
    ):
        try:
            started = Services(f"http://127.0.0.1:{port}", process.pid)
            deadline = time.monotonic() + UP_WITHIN
            while not started.is_up():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ServiceError(f"`lms-pipeline ui` doesn't come up: see {log.name}")
                time.sleep(0.5)
            yield started
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
