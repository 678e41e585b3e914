"""A small Truto server over records of a file; it uses nothing of `lms_pipeline`, so that its responses never change.

Its clock stands still. It serves each record as the latest version of it that the clock has reached.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

Json = dict[str, Any]

TOKEN = "token-of-the-tests"
BY_PAIR = "talentlms"
"""The integration whose accounts demand `user[id]` and `course[id]`."""
DEFAULT_LIMIT = 100
_NOT_FOUND: tuple[int, Json] = (404, {"statusCode": 404, "error": "Not Found", "message": "Not found"})


class RecordedTruto:
    """The accounts of a file of lines, each one version of one record: see `compatibility/README.md`."""

    def __init__(self, path: Path) -> None:
        lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
        self.integrations = {line["account"]: line["integration"] for line in lines if "integration" in line}
        self.versions: defaultdict[tuple[str, int], list[Json]] = defaultdict(list)
        for line in lines:
            if "record" in line:
                self.versions[line["account"], line["record"]].append(line)
        self.now = datetime(2025, 1, 1, tzinfo=UTC)
        self.url = ""
        self.requests: list[str] = []
        """Paths with their queries, in the order in which they came."""
        self.on_request: Callable[[str], None] = lambda _target: None
        self._lock = Lock()

    def set_clock(self, now: datetime) -> None:
        """Stand at another instant, and forget the requests so far."""
        self.now = now
        self.requests.clear()

    def respond(self, target: str) -> tuple[int, Json]:
        """Status and body of a request."""
        with self._lock:
            self.requests.append(target)
        self.on_request(target)
        url = urlsplit(target)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        match [unquote(part) for part in url.path.strip("/").split("/")]:
            case ["integrated-account"]:
                return _page([self._account(account_id) for account_id in self.integrations], query)
            case ["unified", "lms", _, "meta", "list"]:
                return 200, self._metadata(query["integrated_account_id"])
            case ["unified", "lms", "course-enrollments"]:
                return self._enrollments(query["integrated_account_id"], query)
            case ["unified", "lms", ("users" | "courses") as resource]:
                return _page(list(self._named(query["integrated_account_id"], resource).values()), query)
            case ["unified", "lms", ("users" | "courses") as resource, record_id]:
                return self._roster(query["integrated_account_id"], resource, record_id)
        return _NOT_FOUND

    def _account(self, account_id: str) -> Json:
        name = self.integrations[account_id]
        return {
            "id": account_id,
            "tenant_id": f"tenant-{account_id}",
            "status": "active",
            "is_sandbox": False,
            "integration": {"id": name, "name": name, "category": "lms"},
        }

    def _metadata(self, account_id: str) -> Json:
        demanded = self.integrations[account_id] == BY_PAIR
        reference = {"type": "object", "properties": {"id": {"type": "string", "required": demanded}}}
        properties = {name: {**reference, "required": demanded} for name in ("user", "course")}
        return {"query_schema": {"type": "object", "properties": properties}}

    def _enrollments(self, account_id: str, query: Json) -> tuple[int, Json]:
        served = list(self._served(account_id))
        if self.integrations[account_id] == BY_PAIR:
            pair = query["user[id]"], query["course[id]"]
            served = [line for line in served if _pair(line) == pair]
            if not served:
                message = "The requested user is not enrolled in this course"
                return 404, {**_NOT_FOUND[1], "message": message, "truto_is_remote_error": True}
        return _page([_with_remote_data(line, query) for line in served], query)

    def _served(self, account_id: str) -> Iterator[Json]:
        for (owner, _), versions in self.versions.items():
            reached = [one for one in versions if datetime.fromisoformat(one["valid_from"]) <= self.now]
            if owner == account_id and reached and not reached[-1].get("deleted"):
                yield reached[-1]

    def _named(self, account_id: str, resource: str) -> dict[str, Json]:
        """The users or courses that the enrollments name."""
        field = resource.removesuffix("s")
        named = [line["enrollment"].get(field) or {} for line in self._served(account_id)]
        return {one["id"]: one for one in named if one.get("id")}

    def _roster(self, account_id: str, resource: str, record_id: str) -> tuple[int, Json]:
        """A user with its courses, or a course with its users, as TalentLMS lists them."""
        record = self._named(account_id, resource).get(record_id)
        if record is None:
            return 404, {**_NOT_FOUND[1], "truto_is_remote_error": True}
        own, other = ("user", "course") if resource == "users" else ("course", "user")
        entries = [
            {"id": line["enrollment"][other]["id"], **line["raw"]}
            for line in self._served(account_id)
            if line["enrollment"][own]["id"] == record_id
        ]
        return 200, {**record, "remote_data": {"id": record_id, f"{other}s": entries}}


def _pair(line: Json) -> tuple[str, str]:
    return line["enrollment"]["user"]["id"], line["enrollment"]["course"]["id"]


def _with_remote_data(line: Json, query: Json) -> Json:
    if query.get("truto_ignore_remote_data") == "true" or "raw" not in line:
        return dict(line["enrollment"])
    return {**line["enrollment"], "remote_data": line["raw"]}


def _page(records: list[Json], query: Json) -> tuple[int, Json]:
    first, limit = int(query.get("next_cursor") or 0), int(query.get("limit") or DEFAULT_LIMIT)
    end = first + limit
    cursor = str(end) if end < len(records) else None
    return 200, {"result": records[first:end], "next_cursor": cursor, "prev_cursor": None}


@contextmanager
def serving(path: Path) -> Iterator[RecordedTruto]:
    """Serve the file on a free port of this machine until the block ends."""
    truto = RecordedTruto(path)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers["Authorization"] == f"Bearer {TOKEN}":
                status, body = truto.respond(self.path)
            else:
                status, body = 401, {"statusCode": 401, "error": "Unauthorized", "message": "Unauthorized"}
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(truto.now, usegmt=True)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        truto.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="recorded-truto")
        thread.start()
        try:
            yield truto
        finally:
            server.shutdown()
            thread.join()


def count_routes(requests: Iterable[str]) -> dict[str, int]:
    """Count requests by their path, in which `{id}` stands for the id of a record."""
    paths = [urlsplit(target).path.split("/") for target in requests]
    return dict(Counter("/".join([*path[:4], "{id}"] if len(path) == 5 else path) for path in paths))
