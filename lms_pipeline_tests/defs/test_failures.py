"""What a failed run leaves in Dagster's log: its cause, and whether it is retried."""

from functools import partial

import pytest

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.failures import WILL_RETRY_TAG, StaleDaysError
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.defs.partitions import add_accounts, build_partition_key
from lms_pipeline.errors import LakeError
from lms_pipeline.lake.paths import Partition
from lms_pipeline.sandbox.faults import FailedBody, Html, RevokedConnection, Status
from lms_pipeline.storage.store import PublishedByAnotherError, StoreError, UnsafeStoreError
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.defs.conftest import DAY


@pytest.fixture(autouse=True)
def without_client_retries(monkeypatch):
    """Leave out the retries of the client: they last seconds, and have their own tests."""
    monkeypatch.setattr("lms_pipeline.truto.retry.RetryPolicy", partial(RetryPolicy, 1, 1))


@pytest.fixture
def fail(settings, instance, registry, sandbox):
    """Runs `north` into a fault, and returns the failed run."""

    def failed(fault):
        add_accounts(instance, {"north"})
        sandbox.fault(fault)
        job = build_defs(settings).resolve_job_def("daily_snapshot")
        key = build_partition_key(Partition("north", DAY))
        done = job.execute_in_process(partition_key=key, instance=instance, raise_on_error=False)
        assert not done.success
        return instance.get_run_by_id(done.run_id)

    return failed


def find_errors(instance, run):
    """Return the errors in the log of a run, as the UI shows them."""
    return [entry for entry in instance.all_logs(run.run_id) if entry.level >= 40]


CAUSES = {
    "revoked": (
        RevokedConnection(account="north"),
        (
            "The account's connection to its LMS is broken (GET /unified/lms/users of account north, status 401): "
            "ask its owner to connect it again in Truto."
        ),
    ),
    "failing": (
        Status(account="north", status=503),
        (
            "Truto failed to answer and says 'Service Unavailable' (GET /unified/lms/users of account north, "
            "status 503): try again later."
        ),
    ),
    "garbage": (
        Html(account="north"),
        "The response is not JSON, or was cut short (GET /unified/lms/users of account north): try again later.",
    ),
}


@pytest.mark.parametrize(("fault", "cause"), CAUSES.values(), ids=CAUSES)
def test_the_cause_is_the_first_error_in_the_log(fault, cause, fail, instance):
    first, failure, *_ = find_errors(instance, fail(fault))
    assert first.user_message == cause
    assert failure.dagster_event.step_failure_data.error.message.splitlines() == [
        f"dagster._core.definitions.events.Failure: {cause}"
    ]


@pytest.mark.parametrize(
    "fault", [Status(account="north", status=500), FailedBody(account="north")], ids=["a status", "a failed body"]
)
def test_a_transient_error_is_retried_by_a_new_run(fault, fail, instance):
    run = fail(fault)
    assert run.tags[WILL_RETRY_TAG] == "true"
    steps = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.is_dagster_event]
    assert not any(event.is_step_up_for_retry for event in steps)


def test_a_permanent_error_is_not_retried(fail):
    assert fail(Status(account="north", status=403)).tags[WILL_RETRY_TAG] == "false"


def test_a_run_of_a_command_is_not_retried(settings, instance, registry, sandbox):
    sandbox.fault(Status(account="north", status=503))
    (outcome,) = run_partitions(build_defs(settings), instance, [Partition("north", DAY)])
    assert outcome.error
    (run,) = instance.get_runs()
    assert run.tags[WILL_RETRY_TAG] == "false"


@pytest.mark.parametrize(
    ("error", "may_pass"),
    [
        (StoreError("The bucket can't be reached."), True),
        (PublishedByAnotherError("Another run has published it."), True),
        (UnsafeStoreError("The bucket ignores conditions."), False),
        (LakeError("A file is damaged."), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_of_the_store_may_pass(error, may_pass):
    assert error.may_pass is may_pass


LOST, FULL = StoreError("The bucket can't be reached."), LakeError("The disk is full.")


@pytest.mark.parametrize(
    ("portfolio", "roll_ups", "sentence", "may_pass"),
    [
        ([FULL], [], "The portfolio is not up to date: The disk is full.", False),
        ([FULL, LOST], [], "The portfolio is not up to date: The disk is full.", True),
        ([FULL], [LOST], "The portfolio is not up to date: The disk is full.", True),
        ([], [LOST], "The roll-ups are not up to date: The bucket can't be reached.", True),
        ([], [FULL], "The roll-ups are not up to date: The disk is full.", False),
    ],
)
def test_days_that_could_not_be_computed_may_pass_if_one_of_them_may(portfolio, roll_ups, sentence, may_pass):
    error = StaleDaysError(portfolio, roll_ups)
    assert (str(error), error.may_pass) == (sentence, may_pass)
