"""The pages of a pull by plain httpx, one after the other, and nothing kept of them but the cursor."""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx

from benchmarks.sides.result import measure_call, print_result, read_arguments

CURSOR = re.compile(rb'"next_cursor":"([0-9a-f]+)"')


def download(url: str, account: str) -> Mapping[str, float]:
    """Download the three lists of an account."""
    rows = size = requests = 0
    headers = {"Authorization": "Bearer benchmark-token"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
        for name in ("users", "courses", "course-enrollments"):
            query = {"integrated_account_id": account, "limit": "500"}
            if name != "course-enrollments":
                query["truto_ignore_remote_data"] = "true"
            while True:
                body = client.get(f"/unified/lms/{name}", params=query).raise_for_status().content
                requests, size = requests + 1, size + len(body)
                rows += body.count(b'"progress_percent"')
                if (found := CURSOR.search(body[-200:])) is None:
                    break
                query["next_cursor"] = found[1].decode()
    return {"rows": rows, "requests": requests, "downloaded_mb": size / 2**20}


def main() -> None:
    """Download an account."""
    options = read_arguments(url=str, account=str)
    counts, cost = measure_call(lambda: download(options.url, options.account))
    print_result(cost, **counts)


if __name__ == "__main__":
    main()
