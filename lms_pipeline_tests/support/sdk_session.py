"""A session with Truto's published SDK, run by a Python that has it: `sdk_session.py URL TOKEN ACCOUNT`.

It stands alone: that Python need not have this package. What it got goes to stdout as JSON.
"""

import asyncio
import json
import sys


async def session(url: str, token: str, account_id: str) -> dict[str, object]:
    from truto_python_sdk import TrutoApi

    truto = TrutoApi(token=token, base_url=url)
    of_account = {"integrated_account_id": account_id}

    async def listed(resource: str, **more: object) -> list[object]:
        found: list[object] = await truto.unified_api.list("lms", resource, {**of_account, **more}).to_array()
        return found

    users = await listed("users", limit=7, truto_ignore_remote_data=True)
    return {
        "accounts": await truto.integrated_accounts.list(is_sandbox=False, limit=2).to_array(),
        "account": await truto.integrated_accounts.get(account_id),
        "users": users,
        "user": await truto.unified_api.get("lms", "users", users[0]["id"], dict(of_account)),  # type: ignore[index]
        "courses": await listed("courses", truto_exclude_fields=["status", "remote_data"]),
        "enrollments": await listed("course-enrollments", limit=500),
        "as_in_the_snippet": await listed("courseenrollments", limit=500),
        "of_one_user": await listed("course-enrollments", user={"id": users[0]["id"]}),  # type: ignore[index]
    }


if __name__ == "__main__":
    json.dump(asyncio.run(session(*sys.argv[1:])), sys.stdout)
