"""The routes of integrated accounts, their capabilities, and the metadata of methods.

None of them reaches the provider, so they work for a broken account too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lms_pipeline.sandbox.api.query import DEFAULT_LIMIT, read_flag, read_limit
from lms_pipeline.sandbox.http import (
    Response,
    bad_request,
    json_response,
    missing_parameters,
    unknown_account,
    unknown_route,
)
from lms_pipeline.sandbox.pagination import Place, read_cursor, write_cursor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lms_pipeline.sandbox.http import Parameters, Request
    from lms_pipeline.sandbox.state import RunningSandbox
    from lms_pipeline.sandbox.world import Account

Shape = dict[str, Any]
"""Field by field: the name of a type, an object, or a list with one of them."""

EMAIL: Shape = {"email": "string", "is_primary": "boolean", "type": "string"}
USER: Shape = {"id": "string", "name": "string", "emails": [EMAIL]}
COURSE: Shape = {"id": "string", "title": "string"}
ENROLLMENT: Shape = {
    "id": "string",
    "assigned_at": "date-time",
    "assigned_by": {"id": "string", "name": "string"},
    "attempt_number": "integer",
    "attempts_count": "integer",
    "completed_at": "date-time",
    "course": COURSE,
    "created_at": "date-time",
    "custom_fields": "object",
    "due_at": "date-time",
    "enrolled_at": "date-time",
    "is_mandatory": "boolean",
    "last_activity_at": "date-time",
    "progress_percent": "number",
    "remote_data": "object",
    "score": "number",
    "started_at": "date-time",
    "status": "string",
    "time_spent_seconds": "integer",
    "updated_at": "date-time",
    "urls": [{"type": "string", "url": "string"}],
    "user": USER,
}
"""From the vendor's page of course enrollments."""
TALENTLMS_FIELDS = (
    "id", "completed_at", "course", "enrolled_at", "progress_percent", "status", "time_spent_seconds",
    "updated_at", "user",
)  # fmt: skip
"""The fields of an enrollment that TalentLMS fills, from the same page."""
_DATES = {"status": "string", "created_at": "date-time", "updated_at": "date-time"}
FIELDS: dict[str, Shape] = {
    "course-enrollments": ENROLLMENT,
    "users": {
        "id": "string",
        "name": "string",
        "first_name": "string",
        "last_name": "string",
        "emails": [EMAIL],
        **_DATES,
    },
    "courses": {**COURSE, **_DATES},
}
"""The fields of a record by resource."""
FILTERS: dict[str, Shape] = {"course-enrollments": {"user": USER, "course": COURSE}}
PAGING: Shape = {"limit": "integer", "next_cursor": "string"}

_METHODS = {"course-enrollments": ["list"], "users": ["get", "list"], "courses": ["get", "list"]}
_SURFACES = {"", "all", "unified", "proxy"}


class AccountsApi:
    """Serves accounts and their capabilities."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self._sandbox = sandbox

    def list_accounts(self, request: Request) -> Response:
        """Handle `GET /integrated-account`."""
        parameters = request.parameters
        limit = read_limit(parameters) or DEFAULT_LIMIT
        start = read_cursor(request.route, parameters.get("next_cursor")).position
        matching = list(self._filter(parameters))
        end = start + limit
        return json_response(
            {
                self._sandbox.switches.accounts_under: matching[start:end],
                "next_cursor": write_cursor(request.route, Place(end)) if end < len(matching) else None,
                "limit": limit,
            }
        )

    def get_account(self, request: Request) -> Response:
        """Handle `GET /integrated-account/{id}`."""
        return json_response(self._find(request.path_params["id"]))

    def get_capabilities(self, request: Request) -> Response:
        """Handle `GET /integrated-account/{id}/capabilities`."""
        account = self._find(request.path_params["id"])
        surface = request.parameters.get("type")
        if surface not in _SURFACES:
            raise bad_request("type must be one of unified, proxy, all")
        resource = request.parameters.get("resource")
        unified = [one for one in _list_resources(account) if resource in {"", one["resource"]}]
        integration = account.integration
        return json_response(
            {
                "integration": {
                    "id": integration.id,
                    "name": integration.name,
                    "label": integration.name.title(),
                    "category": integration.category,
                },
                "proxy": [],
                "unified": [] if surface == "proxy" else unified,
                "auth": {"formats": [account.authentication_method], "fields": []},
                "account": {
                    "id": account.id,
                    "status": account.status,
                    "authentication_method": account.authentication_method,
                    "is_blocked": False,
                },
            }
        )

    def get_metadata(self, request: Request) -> Response:
        """Handle `GET /unified/lms/{resource}/meta/{method}`."""
        if request.account_id is None:
            raise missing_parameters(["integrated_account_id"])
        account = self._find(request.account_id)
        resource, method = request.path_params["resource"], request.path_params["method"]
        if account.integration.category != "lms" or method not in _METHODS.get(resource, []):
            raise unknown_route(request)
        requires_pair = account.requires_pair and resource == "course-enrollments"
        fields = FIELDS[resource]
        if requires_pair:
            fields = {name: fields[name] for name in fields if name in TALENTLMS_FIELDS}
        query = {} if method == "get" else {**FILTERS.get(resource, {}), **PAGING}
        return json_response(
            {
                "method": method,
                "schema": describe(fields, ("id",)),
                "query_schema": describe(query, ("user.id", "course.id") if requires_pair else ()),
                "request_body_schema": describe({}),
                "response_mapping": None,
                "default_query": {},
                "default_body": {},
                "documentation_link": None,
            }
        )

    def _find(self, account_id: str) -> Account:
        if (account := self._sandbox.connections.find_account(account_id)) is None:
            raise unknown_account()
        return account

    def _filter(self, parameters: Parameters) -> Iterator[Account]:
        is_sandbox = read_flag(parameters, "is_sandbox")
        integration = parameters.get("integration.name") or parameters.get("integration", "name")
        status, tenant_id = parameters.get("status"), parameters.get("tenant_id")
        for account in self._sandbox.connections.accounts:
            if (
                integration in {"", account.integration.name}
                and status in {"", account.status}
                and tenant_id in {"", account.tenant_id}
                and is_sandbox in {None, account.is_sandbox}
            ):
                yield account


def _list_resources(account: Account) -> list[dict[str, Any]]:
    category = account.integration.category
    resources = _METHODS if category == "lms" else {"contacts": ["get", "list"]}
    return [
        {
            "model": category,
            "model_label": f"Unified {category.upper()} API",
            "resource": resource,
            "description": None,
            "docs_url": None,
            "methods": methods,
            "env_overridden": False,
        }
        for resource, methods in resources.items()
    ]


def describe(shape: Shape, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the API's description of a shape, each property `required` or not; `required` has dotted names."""
    heads = {name.partition(".")[0] for name in required}
    properties: dict[str, Any] = {}
    for name, member in shape.items():
        inner = tuple(rest for path in required if (rest := path.removeprefix(f"{name}.")) != path)
        properties[name] = {**_describe_type(member, inner), "required": name in heads}
    return {"type": "object", "properties": properties}


def _describe_type(shape: Any, required: tuple[str, ...]) -> dict[str, Any]:  # noqa: ANN401 - part of a shape
    match shape:
        case [item]:
            return {"type": "array", "items": _describe_type(item, required)}
        case dict():
            return describe(shape, required)
        case "date-time":
            return {"type": "string", "format": "date-time"}
        case _:
            return {"type": shape}
