"""Small worlds, records files and HTTP clients for tests that use the sandbox."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from lms_pipeline.sandbox import Account, Integration, Listing, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lms_pipeline.sandbox import RunningSandbox

Json = dict[str, Any]

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SWEEPING, PAIRED, BROKEN, CRM = "sweeping", "paired", "broken", "crm"


def build_account(
    account_id: str,
    *,
    integration: str = "madeup",
    category: str = "lms",
    status: str = "active",
    is_sandbox: bool = False,
) -> Account:
    return Account(
        id=account_id,
        tenant_id=f"tenant-{account_id}",
        status=status,
        is_sandbox=is_sandbox,
        integration=Integration(id=integration, name=integration, category=category),
        created_at=LONG_AGO,
        updated_at=LONG_AGO,
    )


def build_record(unified: Json, remote: Json | None = None) -> Record:
    return Record(json.dumps(unified).encode(), None if remote is None else json.dumps(remote).encode())


class SmallView:
    """`count` learners, each enrolled in the course `c1`."""

    def __init__(self, count: int) -> None:
        self._user_ids = [f"u{number}" for number in range(count)]

    def enrollments(self, user_id: str | None = None, course_id: str | None = None) -> Listing:
        matching = [one for one in self._user_ids if user_id in {None, one} and course_id in {None, "c1"}]
        return Listing.of(
            [
                build_record({"id": f"e-{one}", "user": {"id": one}, "course": {"id": "c1"}}, {"role": "learner"})
                for one in matching
            ]
        )

    def users(self) -> Listing:
        return Listing.of([build_record({"id": one}, {"login": one}) for one in self._user_ids])

    def courses(self) -> Listing:
        return Listing.of([build_record({"id": "c1"}, {"code": "C1"})])

    def user(self, user_id: str) -> Record | None:
        return build_record({"id": user_id}, {"courses": ["c1"]}) if user_id in self._user_ids else None

    def course(self, course_id: str) -> Record | None:
        return build_record({"id": course_id}, {"users": self._user_ids}) if course_id == "c1" else None


class SmallWorld:
    """One account of each kind that the server treats differently."""

    def __init__(self, count: int = 12) -> None:
        self._view = SmallView(count)

    def accounts(self) -> list[Account]:
        return [
            build_account(SWEEPING),
            build_account(PAIRED, integration="talentlms"),
            build_account(BROKEN, status="needs_reauth", is_sandbox=True),
            build_account(CRM, integration="anycrm", category="crm"),
        ]

    def view(self, account_id: str, at: datetime) -> SmallView:
        return self._view


def open_client(sandbox: RunningSandbox) -> httpx.Client:
    return httpx.Client(base_url=sandbox.url, headers={"Authorization": f"Bearer {sandbox.token}"}, trust_env=False)


def iterate_pages(client: httpx.Client, path: str, **parameters: str | int) -> Iterator[list[Json]]:
    """Follow the cursors of a list to its end."""
    cursor: str | None = ""
    while cursor is not None:
        response = client.get(path, params={**parameters, "next_cursor": cursor})
        assert response.status_code == 200, response.text
        page = response.json()
        yield page["result"]
        cursor = page["next_cursor"]


def fetch_all(client: httpx.Client, path: str, **parameters: str | int) -> list[Json]:
    return [record for page in iterate_pages(client, path, **parameters) for record in page]


def build_line(
    enrollment_id: str = "e1",
    valid_from: str = "2013-10-01T00:00:00Z",
    account_id: str = "acme",
    with_: Json | None = None,
    **fields: object,
) -> Json:
    """Return a line of a records file; `with_` goes into its enrollment, `fields` beside it."""
    enrollment = {"id": enrollment_id, "user": {"id": "u1"}, "course": {"id": "c1"}, "status": "enrolled"}
    return {"account": account_id, "valid_from": valid_from, "enrollment": {**enrollment, **(with_ or {})}, **fields}


def write_lines(path: Path, lines: Iterable[Json]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
