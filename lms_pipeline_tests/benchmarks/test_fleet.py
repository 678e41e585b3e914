"""The fleets of the benchmark, and which accounts of its runs failed."""

import statistics
from datetime import UTC, date, datetime

import dagster as dg
import msgspec
import pytest

from benchmarks.figures import Figure, print_figures
from benchmarks.fleet_world import build_even_fleet, build_fleet
from benchmarks.nights import may_become_active, read_causes
from benchmarks.ratios import Limit
from lms_pipeline.defs.account_failures import AccountFailure
from lms_pipeline.lake.paths import Partition

NOW = datetime(2026, 3, 11, 12, tzinfo=UTC)


def count_enrollments(fleet, account_id):
    return len(fleet.world.view(account_id, NOW).enrollments().read(0, 10_000).records)


@pytest.mark.parametrize("enrollments", [200, 776, 2_700])
def test_accounts_of_an_even_fleet_have_about_the_enrollments(enrollments):
    fleet = build_even_fleet(8, enrollments, NOW)
    counts = [count_enrollments(fleet, account_id) for account_id in fleet.account_ids]
    assert statistics.mean(counts) == pytest.approx(enrollments, rel=0.1)
    assert min(counts) > 0.7 * enrollments
    assert max(counts) < 1.3 * enrollments


def test_the_same_accounts_of_both_fleets_fail_for_the_same_causes():
    even, mixed = build_even_fleet(8, 776, NOW), build_fleet(8)
    assert (even.faults, even.causes) == (mixed.faults, mixed.causes)
    assert set(even.faults) == {"fleet-0001", "fleet-0002", "fleet-0003"}
    assert even.healthy == ["fleet-0000", "fleet-0004", "fleet-0005", "fleet-0006", "fleet-0007"]


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def run_failing(instance, *failures):
    """Run a step that records failures of accounts and then fails; return the run."""

    @dg.asset
    def enrollments(context: dg.AssetExecutionContext):
        for failure in failures:
            context.log_event(failure.build_observation(context.asset_key))
        context.log.error("The run failed.")
        raise dg.Failure("The run failed.")

    result = dg.materialize([enrollments], instance=instance, raise_on_error=False)
    return instance.get_run_by_id(result.run_id)


def test_an_account_that_failed_in_a_run_of_several_has_its_own_cause(instance):
    day = date(2026, 3, 10)
    revoked = AccountFailure(Partition("b", day), "The connection is broken.", may_pass=False)
    failing = AccountFailure(Partition("c", day), "Truto failed to answer.", may_pass=True)
    run = run_failing(instance, revoked, failing)
    causes = dict(read_causes(instance, run, ["a", "b", "c"]))
    assert causes == {"b": "The connection is broken.", "c": "Truto failed to answer."}


def test_the_first_error_of_a_run_is_the_cause_of_all_its_accounts_if_none_has_one(instance):
    run = run_failing(instance)
    assert dict(read_causes(instance, run, ["a", "b"])) == {"a": "The run failed.", "b": "The run failed."}


def test_a_limit_is_printed_beside_its_figure_only(capsys):
    print_figures("fleet", [Figure("events", 41.5, limit=Limit(40)), Figure("time", 2.0, "s")], accounts=4)
    output = capsys.readouterr()
    assert [msgspec.json.decode(line) for line in output.out.splitlines()] == [
        {"benchmark": "fleet", "accounts": 4, "name": "events", "value": 41.5, "unit": "", "limit": "<= 40"},
        {"benchmark": "fleet", "accounts": 4, "name": "time", "value": 2.0, "unit": "s"},
    ]
    assert [line.split() for line in output.err.splitlines() if "41.50" in line] == [["events", "41.50", "<=", "40"]]


@pytest.mark.parametrize(
    ("status", "tags", "seconds_ago", "expected"),
    [
        ("NOT_STARTED", {}, 0, True),
        ("FAILURE", {}, 1, True),
        ("FAILURE", {}, 3_600, False),
        ("FAILURE", {"dagster/will_retry": "false"}, 1, False),
        ("FAILURE", {"dagster/will_retry": "true", "dagster/auto_retry_run_id": "x"}, 1, False),
        ("SUCCESS", {}, 1, False),
        ("CANCELED", {}, 1, False),
    ],
)
def test_a_night_goes_on_until_each_failure_is_marked_and_each_retry_is_queued(status, tags, seconds_ago, expected):
    now = datetime.now(UTC)
    run = dg.DagsterRun("daily_snapshot", status=dg.DagsterRunStatus[status], tags=tags)
    record = dg.RunRecord(1, run, now, now, end_time=now.timestamp() - seconds_ago)
    assert may_become_active(record) is expected
