"""A session with Truto's published SDK: `sdk_session.py URL TOKEN ACCOUNT` prints its results as JSON.

Run it with a Python that has the SDK. It imports nothing of this package, which that Python need not have.
"""

import asyncio
import json
import sys


async def run_session(url: str, token: str, account_id: str) -> dict[str, object]:
    from truto_python_sdk import TrutoApi

    truto = TrutoApi(token=token, base_url=url)
    of_account = {"integrated_account_id": account_id}

    async def fetch(resource: str, **parameters: object) -> list[object]:
        records: list[object] = await truto.unified_api.list("lms", resource, {**of_account, **parameters}).to_array()
        return records

    users = await fetch("users", limit=7, truto_ignore_remote_data=True)
    return {
        "accounts": await truto.integrated_accounts.list(is_sandbox=False, limit=2).to_array(),
        "account": await truto.integrated_accounts.get(account_id),
        "users": users,
        "user": await truto.unified_api.get("lms", "users", users[0]["id"], dict(of_account)),  # type: ignore[index]
        "courses": await fetch("courses", truto_exclude_fields=["status", "remote_data"]),
        "enrollments": await fetch("course-enrollments", limit=500),
        "enrollments_by_other_spelling": await fetch("courseenrollments", limit=500),
        "enrollments_of_first_user": await fetch("course-enrollments", user={"id": users[0]["id"]}),  # type: ignore[index]
    }


if __name__ == "__main__":
    json.dump(asyncio.run(run_session(*sys.argv[1:])), sys.stdout)
