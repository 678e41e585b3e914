"""Limits in bytes cut rows and responses into more parts: the snapshot stays the same."""

from contextlib import contextmanager
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.lake import files
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.snapshot import pairs, writer
from lms_pipeline.snapshot.job import TABLES
from lms_pipeline.snapshot.lists import Lists
from lms_pipeline_tests.support.pair_account import PairAccount
from lms_pipeline_tests.support.portal import PORTAL, Portal
from lms_pipeline_tests.support.scripted_api import page
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner, record, respond_by_path

DAYS = (0, 1)


@pytest.fixture(scope="module")
def portal():
    """A small portal: each of its responses is a batch of its own."""
    return Portal(learners=12, courses=4, each=2, every=3)


@pytest.fixture
def small_limits(monkeypatch):
    """A block in which a row group holds a few rows, and a batch one response or record."""

    @contextmanager
    def patched():
        with monkeypatch.context() as patch:
            patch.setattr(files, "MAX_GROUP_BYTES", 2_000)
            patch.setattr(writer, "MAX_BATCH_BYTES", 1)
            patch.setattr(pairs, "MAX_PENDING_BYTES", 1)
            yield

    return patched


def run_days(account, **options):
    """Run days by pairs; return digests, counts and calls of each."""
    results = []
    for day in DAYS:
        result = account.run_day(day, options=options)
        paths = {name: account.runner.file(name, account.date(day), PORTAL) for name in TABLES}
        digests = {name: read_metadata(path)["digest"] for name, path in paths.items()}
        results.append((digests, replace(result.rows, oldest_fetch=None), result.pairs, account.count_calls()))
    return results


@pytest.mark.parametrize("options", [{}, {"strategy": "learner"}])
def test_of_an_account_by_pairs_with_carried_rows(tmp_path, portal, serving, small_limits, options):
    usual = run_days(PairAccount(tmp_path / "usual", portal, serving), **options)
    small = PairAccount(tmp_path / "small", portal, serving)
    with small_limits():
        cut = run_days(small, **options)
    assert cut == usual
    assert pq.read_metadata(small.path("unified", 1)).num_row_groups > 2


def test_a_sweep_holds_no_ids_of_the_lists_as_strings(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(Lists, "read_ids", lambda _: calls.append(1))
    with serve(respond_by_path([page(record("u1"))])) as server:
        choice = SnapshotRunner(tmp_path, server.url).run().choice
    assert (choice.name, calls) == ("sweep", [])


def test_of_a_sweep(tmp_path, small_limits):
    records = [record(f"u{n}", remote_data={"role": "learner", "text": "x" * 100 * n}) for n in range(12)]
    served = [record("u0", id={}), *records[:6]], [*records[6:], record("u1", status="completed")]

    def run(name):
        pages = [page(*served[0], cursor="1"), page(*served[1])]
        with serve(respond_by_path([*pages, *pages])) as server:
            runner = SnapshotRunner(tmp_path / name, server.url)
            rows = runner.run(options=AccountOptions(page_size=500)).rows
        return rows.metadata, {table: runner.read_metadata(table)["digest"] for table in TABLES}

    usual = run("usual")
    with small_limits():
        assert run("small") == usual
