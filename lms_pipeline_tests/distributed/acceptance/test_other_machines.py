"""Commands on a machine that pulled nothing: the lake, the warehouse and the stored responses reach it."""

import pytest

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import rebuild_warehouse, run_partitions
from lms_pipeline.lake.paths import Partition
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.distributed.acceptance.fleet import count_enrollments, read_digests
from lms_pipeline_tests.distributed.acceptance.nodes import run_command
from lms_pipeline_tests.support.launched_runs import pop_requests

pytestmark = pytest.mark.distributed
QUERY = "SELECT account_id || '=' || n_all AS learned FROM account_completion ORDER BY 1"


@pytest.fixture
def account_ids():
    return ["a01", "a02"]


@pytest.fixture
def other(machines, instance, settings, account_ids):
    """A machine that has seen nothing of what this one pulled and built."""
    defs = build_defs(settings)
    pulled = list(run_partitions(defs, instance, [Partition(account_id, DAY) for account_id in account_ids]))
    assert [outcome.error for outcome in (*pulled, rebuild_warehouse(defs, instance))] == [None, None, None]
    return machines("other")[0]


def test_a_query_reads_the_warehouse_in_the_bucket(other, account_ids):
    output = run_command(other, "query", QUERY)
    for account_id in account_ids:
        assert f"{account_id}={count_enrollments(account_id)}" in output


def test_a_replay_reads_the_stored_responses_and_publishes_the_same(other, settings, sandbox, account_ids):
    published = read_digests(settings, account_ids)
    pop_requests(sandbox)
    run_command(other, "replay", "--account", "a01", "--date", DAY.isoformat())
    assert pop_requests(sandbox) == []
    assert read_digests(settings, account_ids) == published
