"""A pull whose machine is killed between its uploads: readers see the old snapshot or the new one, and nothing is called again."""

from datetime import timedelta
from itertools import product
from uuid import uuid4

import pytest

from lms_pipeline.lake.paths import Partition
from lms_pipeline.sandbox import running
from lms_pipeline.tables.pulled import PULLED_TABLES
from lms_pipeline_tests.defs.conftest import DAY, NOW
from lms_pipeline_tests.distributed.acceptance.nodes import start_run
from lms_pipeline_tests.distributed.machines import MAX_WAIT_SECONDS
from lms_pipeline_tests.distributed.s3_front import Fault
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.launched_runs import create_run, pop_requests
from lms_pipeline_tests.support.portal import PORTAL, Portal

pytestmark = pytest.mark.distributed
PARTITION = Partition(PORTAL, DAY)
LEARNERS, EACH = 5, 2
UPLOADS = range(1, len(PULLED_TABLES))
"""Numbers of uploads after which a snapshot is not complete."""


@pytest.fixture
def cloud(request):
    """The name of the fixture with the front of the store."""
    return getattr(request, "param", "s3")


@pytest.fixture
def front(cloud, request):
    return request.getfixturevalue(cloud)


@pytest.fixture
def lake_url(cloud, front, request):
    if cloud == "s3":
        return f"s3://{front.create_bucket()}/installation"
    container = f"lms-{uuid4().hex}"
    request.getfixturevalue("azurite").create_container(container)
    return f"az://{container}/installation"


@pytest.fixture
def account_ids():
    return [PORTAL]


@pytest.fixture
def sandbox():
    with running(Portal(learners=LEARNERS, courses=3, each=EACH)) as server:
        server.set_clock(NOW)
        yield server


@pytest.fixture
def start(instance, settings, machines):
    """Starts a pull on another machine."""
    (machine,) = machines("first")
    return lambda: start_run(machine, instance, create_run(instance, settings, PARTITION))


def kill_after_uploads(number, front, process):
    """Kill a run when the store has so many of its tables, and no answer has come for the last."""
    fault = Fault("hold", method="PUT", match="/data.parquet", after=number - 1, is_done=True)
    front.faults.append(fault)
    assert fault.arrived.wait(MAX_WAIT_SECONDS), process.read_log()
    process.kill()
    fault.released.set()


def read_rows(read):
    """Return the rows of each table of a pull that a reader sees."""
    return {table.name: read(table.name).to_pylist() for table in PULLED_TABLES}


@pytest.mark.parametrize(
    ("cloud", "number"),
    choose([("s3", UPLOADS[-1]), ("azure", 4)], [*product(["s3"], UPLOADS), ("azure", 4)]),
    indirect=["cloud"],
)
def test_a_pull_killed_between_its_uploads_is_not_seen_and_calls_nothing_again(
    number, front, start, pull, read, sandbox
):
    kill_after_uploads(number, front, start())
    rows = read_rows(read)
    assert (rows["unified_enrollments"], rows["raw_enrollments"], rows["rejected_enrollments"]) == ([], [], [])
    assert len(pop_requests(sandbox)) >= LEARNERS * EACH
    assert pull(PORTAL).enrollments == LEARNERS * EACH
    assert pop_requests(sandbox) == []
    assert len(read("unified_enrollments")) == LEARNERS * EACH


@pytest.mark.parametrize(
    ("cloud", "number"), choose([("s3", 1)], list(product(["s3", "azure"], UPLOADS))), indirect=["cloud"]
)
def test_a_day_that_is_pulled_again_is_the_old_one_for_readers_until_all_of_it_is_new(
    number, front, start, pull, read, sandbox
):
    assert pull(PORTAL).error is None
    old = read_rows(read)
    sandbox.set_clock(NOW + timedelta(days=40))
    kill_after_uploads(number, front, start())
    pop_requests(sandbox)
    killed = read_rows(read)
    assert killed["unified_enrollments"] == old["unified_enrollments"]
    assert killed["raw_enrollments"] in ([], old["raw_enrollments"])
    assert pull(PORTAL).error is None
    assert pop_requests(sandbox) == []
    new = read_rows(read)
    assert new["unified_enrollments"] != old["unified_enrollments"]
    assert len(new["raw_enrollments"]) == LEARNERS * EACH
