"""The enrollments of an account one by one, with many calls at once: this package, or plain httpx with as many threads."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.sides.result import measure_call, print_result, read_arguments
from benchmarks.world.pages import list_pairs

ACCOUNT = "acc-pairs"


def write_options(folder: Path, pairs: Sequence[tuple[str, str]], workers: int) -> Path:
    """Write the options of the account, and its pairs; return the path of the options."""
    (folder / "pairs.csv").write_text("\n".join(["user_id,course_id", *map(",".join, pairs), ""]), encoding="utf-8")
    options = folder / "accounts.toml"
    options.write_text(
        f'[accounts.{ACCOUNT}]\nstrategy = "pairs"\npairs_file = "pairs.csv"\ncalls_per_hour = 0\n'
        f'workers = {workers}\nidentity = "pair"\n',
        encoding="utf-8",
    )
    return options


def fetch_plainly(url: str, pairs: Sequence[tuple[str, str]], workers: int) -> Mapping[str, float]:
    """Request the pairs by one httpx client, and keep nothing."""
    import httpx

    def has_enrollment(pair: tuple[str, str]) -> bool:
        query = {"integrated_account_id": ACCOUNT, "user[id]": pair[0], "course[id]": pair[1]}
        response = client.get("/unified/lms/course-enrollments", params=query)
        return b'"progress_percent"' in response.raise_for_status().content

    headers = {"Authorization": "Bearer benchmark-token"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    with (
        httpx.Client(base_url=url, headers=headers, limits=limits, trust_env=False) as client,
        ThreadPoolExecutor(workers) as pool,
    ):
        return {"rows": sum(pool.map(has_enrollment, pairs))}


def main() -> None:
    """Fetch the pairs of an account."""
    options = read_arguments(url=str, world=Path, folder=Path, pairs=int, workers=int, plain=int)
    pairs = list_pairs(options.world, options.pairs)
    if options.plain:
        counts, cost = measure_call(lambda: fetch_plainly(options.url, pairs, options.workers))
    else:
        from benchmarks.sides.package import open_package

        shutil.rmtree(options.folder, ignore_errors=True)
        options.folder.mkdir(parents=True)
        accounts_file = write_options(options.folder, pairs, options.workers)
        package = open_package(options.folder / "data", options.url, accounts_file)
        counts, cost = measure_call(package.prepare_pull(ACCOUNT))
    print_result(cost, **counts)


if __name__ == "__main__":
    main()
