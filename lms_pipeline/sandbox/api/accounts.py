"""The routes that tell what an account can do.

What belongs here: capabilities and method metadata. Neither asks the provider, so they answer for a broken account too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lms_pipeline.sandbox.http import bad_request, missing_parameters, no_such_account, no_such_route
from lms_pipeline.sandbox.wire.answers import Answer, json_answer
from lms_pipeline.sandbox.wire.schemas import FILTERS, PAGING, RECORDS, TALENTLMS_FILLS, described

if TYPE_CHECKING:
    from lms_pipeline.sandbox.state import Controls
    from lms_pipeline.sandbox.wire.asked import Asked
    from lms_pipeline.sandbox.world import Account

_METHODS = {"course-enrollments": ["list"], "users": ["get", "list"], "courses": ["get", "list"]}
_SURFACES = {"", "all", "unified", "proxy"}


class DiscoveryApi:
    """Answers about accounts without asking what they hold."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls

    def capabilities(self, asked: Asked) -> Answer:
        """`GET /integrated-account/{id}/capabilities`."""
        account = self._known(asked.path_parameters["id"])
        surface = asked.parameters.text("type")
        if surface not in _SURFACES:
            raise bad_request("type must be one of unified, proxy, all")
        resource = asked.parameters.text("resource")
        told = [one for one in _unified(account) if resource in {"", one["resource"]}]
        integration = account.integration
        return json_answer(
            {
                "integration": {
                    "id": integration.id,
                    "name": integration.name,
                    "label": integration.name.title(),
                    "category": integration.category,
                },
                "proxy": [],
                "unified": [] if surface == "proxy" else told,
                "auth": {"formats": [account.authentication_method], "fields": []},
                "account": {
                    "id": account.id,
                    "status": account.status,
                    "authentication_method": account.authentication_method,
                    "is_blocked": False,
                },
            }
        )

    def meta(self, asked: Asked) -> Answer:
        """`GET /unified/lms/{resource}/meta/{method}`."""
        if asked.account_id is None:
            raise missing_parameters(["integrated_account_id"])
        account = self._known(asked.account_id)
        resource, method = asked.path_parameters["resource"], asked.path_parameters["method"]
        if account.integration.category != "lms" or method not in _METHODS.get(resource, []):
            raise no_such_route(asked.method, asked.path)
        of_pair = account.demands_pair and resource == "course-enrollments"
        fields = {
            name: of for name, of in RECORDS[resource].items() if not of_pair or name in TALENTLMS_FILLS
        }
        query = {} if method == "get" else {**FILTERS[resource], **PAGING}
        required = ("user.id", "course.id") if of_pair else ()
        return json_answer(
            {
                "method": method,
                "schema": described(fields, ("id",)),
                "query_schema": described(query, required),
                "request_body_schema": described({}),
                "response_mapping": None,
                "default_query": {},
                "default_body": {},
                "documentation_link": None,
            }
        )

    def _known(self, account_id: str) -> Account:
        if (account := self._controls.connections.account(account_id)) is None:
            raise no_such_account()
        return account


def _unified(account: Account) -> list[dict[str, Any]]:
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
