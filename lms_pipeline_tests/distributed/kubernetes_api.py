"""The three routes of Kubernetes' API that Dagster's launcher uses. A Job that is created runs as a process.

Belongs here: creating, reading and deleting a Job. Not here: pods, of which it lists none, and nodes.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

Json = dict[str, Any]


class Pod(Protocol):
    """The process of a Job."""

    def poll(self) -> int | None:
        """Return its status if it has ended."""

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to it."""

    def kill(self) -> None:
        """Kill it."""

    def wait(self, seconds: float = ...) -> int:
        """Wait for its end, and return its status."""


StartPod = Callable[[str, Sequence[str], Mapping[str, str]], Pod]
"""Starts the command of the Job of this name, with the environment of its container."""


@dataclass
class Job:
    """A Job, and the process that stands for its pod."""

    manifest: Json
    process: Pod
    started: str

    def describe(self) -> Json:
        """Return the Job with its status, as the API does."""
        status: Json = {"startTime": self.started}
        match self.process.poll():
            case None:
                status["active"] = 1
            case 0:
                status |= {"succeeded": 1, "completionTime": self.started}
            case _:
                status["failed"] = 1
        return {**self.manifest, "status": status}


@dataclass
class Cluster:
    """A cluster of one node: its ConfigMaps and Secrets by name, and its Jobs by theirs."""

    environments: Mapping[str, Mapping[str, str]]
    start_pod: StartPod
    jobs: dict[str, Job] = field(default_factory=dict)
    url: str = ""

    def create_job(self, manifest: Json) -> Json:
        """Start the command of a Job's container, with the environment of its container alone."""
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        environment: dict[str, str] = {}
        for source in container.get("env_from") or container.get("envFrom") or ():
            (reference,) = (source[kind] for kind in ("configMapRef", "secretRef") if source.get(kind))
            environment |= self.environments[reference["name"]]
        environment |= {entry["name"]: entry["value"] for entry in container.get("env", ()) if "value" in entry}
        command: Sequence[str] = [*(container.get("command") or ()), *container["args"]]
        name = manifest["metadata"]["name"]
        pod = self.start_pod(name, command, environment)
        job = self.jobs[name] = Job(manifest, pod, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        return job.describe()

    def delete_job(self, name: str) -> None:
        """Stop a Job's pod as Kubernetes does: SIGTERM, and a grace period."""
        self.jobs[name].process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        for job in self.jobs.values():
            job.process.kill()
            job.process.wait()

    def write_config(self, path: Path) -> Path:
        """Write a file for `kubectl` and its like, which names this cluster."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(config), encoding="utf-8")
        return path


@contextmanager
def serve_cluster(environments: Mapping[str, Mapping[str, str]], start_pod: StartPod) -> Iterator[Cluster]:
    """Serve the API from a thread until the block ends; then every pod ends."""
    cluster = Cluster(environments, start_pod)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            pass

        def do_POST(self) -> None:
            manifest = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._respond(201, cluster.create_job(manifest))

        def do_GET(self) -> None:
            *_, kind, name = self.path.partition("?")[0].removesuffix("/status").split("/")
            if kind == "jobs" and name in cluster.jobs:
                self._respond(200, cluster.jobs[name].describe())
            elif name in {"pods", "events"}:
                self._respond(200, {"kind": "List", "apiVersion": "v1", "items": []})
            else:
                self._respond(404, {"kind": "Status", "code": 404, "reason": "NotFound"})

        def do_DELETE(self) -> None:
            cluster.delete_job(self.path.partition("?")[0].rpartition("/")[2])
            self._respond(200, {"kind": "Status", "status": "Success"})

        def _respond(self, status: int, document: Json) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    cluster.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="kubernetes-api")
    thread.start()
    try:
        yield cluster
    finally:
        cluster.close()
        server.shutdown()
        thread.join()
        server.server_close()
