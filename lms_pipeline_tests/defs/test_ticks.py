"""What a tick asks of Dagster's storage does not depend on the number of accounts; and what it asks for is right."""

from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
import sqlalchemy

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.partitions import ACCOUNT_TAG, DATE_TAG, add_accounts, build_partition_key
from lms_pipeline.defs.run_requests import MAX_SELECTED_ACCOUNTS, build_run_request, find_latest_runs
from lms_pipeline.lake.paths import Partition
from lms_pipeline.lake.waiting import WaitingPull, save_waiting
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_automation import sense, tick
from lms_pipeline_tests.defs.test_failed_days import end_tick

FEW, MANY = 3, 40
NO_RETRY = {"dagster/will_retry": "false"}


@contextmanager
def count_statements():
    """Count the SQL statements of this process, whichever database they are sent to."""
    statements: list[str] = []

    def count(_connection, _cursor, statement, *_rest):
        if not statement.startswith("PRAGMA"):
            statements.append(statement)

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", count)
    try:
        yield statements
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", count)


@pytest.fixture
def repository(settings):
    return build_defs(settings).get_repository_def()


@pytest.fixture
def add(registry, instance):
    """Register accounts, which Dagster knows as partitions."""
    registry.remove("north", last_day=DAY)
    registry.remove("south", last_day=DAY)

    def add(first, last):
        ids = [f"account-{number:03}" for number in range(first, last)]
        for account_id in ids:
            registry.add(account_id, name=None, first_day=DAY - timedelta(days=1))
        add_accounts(instance, ids)
        return ids

    return add


def add_run(instance, account_id, status, **tags):
    run = dg.DagsterRun(
        "daily_snapshot", status=status, tags={ACCOUNT_TAG: account_id, DATE_TAG: DAY.isoformat(), **NO_RETRY, **tags}
    )
    return instance.add_run(run).run_id


def count_twice(evaluate, prepare):
    """Return the numbers of statements and requests of a tick with few accounts, and of one with many."""
    found = []
    for first, last in ((0, FEW), (FEW, MANY)):
        prepare(first, last)
        evaluate()  # what is read once for a process
        with count_statements() as statements:
            requests = evaluate().run_requests
        found.append((len(statements), len(requests)))
    return found


def test_the_schedule_sends_as_many_statements_for_many_accounts(repository, instance, add):
    (few, requested), (many, all_requested) = count_twice(lambda: tick(repository, instance), add)
    assert (requested, all_requested) == (FEW, MANY)
    assert few == many


def test_failed_days_sends_as_many_statements_for_many_accounts(repository, instance, add):
    def fail(first, last):
        for account_id in add(first, last):
            add_run(instance, account_id, dg.DagsterRunStatus.FAILURE)

    (few, requested), (many, all_requested) = count_twice(lambda: sense(repository, instance, "failed_days"), fail)
    assert (requested, all_requested) == (FEW, MANY)
    assert few == many


def test_failed_days_sends_as_many_statements_after_a_failed_tick(repository, instance, add):
    end_tick(instance)
    (few, requested), (many, all_requested) = count_twice(lambda: sense(repository, instance, "failed_days"), add)
    assert (requested, all_requested) == (FEW, MANY)
    assert few == many


def test_waiting_pulls_sends_as_many_statements_for_many_accounts(repository, instance, add, data):
    def wait(first, last):
        past = datetime(2026, 3, 11, 1, tzinfo=UTC)
        for account_id in add(first, last):
            run_id = add_run(instance, account_id, dg.DagsterRunStatus.SUCCESS)
            pull = WaitingPull(
                account_id=account_id,
                day=DAY,
                run_id=run_id,
                since=past,
                at=past + timedelta(minutes=5),
                subject="The LMS",
                spent_seconds=1,
                responses=1,
            )
            save_waiting(data, pull)

    (few, requested), (many, all_requested) = count_twice(lambda: sense(repository, instance, "waiting_pulls"), wait)
    assert (requested, all_requested) == (FEW, MANY)
    assert few == many


def test_waiting_pulls_reads_no_runs_while_nothing_waits(repository, instance, add):
    add(0, FEW)
    add_run(instance, "account-000", dg.DagsterRunStatus.FAILURE)
    with count_statements() as statements:
        assert sense(repository, instance, "waiting_pulls").run_requests == []
    assert statements == []


def test_a_request_has_the_tags_that_dagster_would_look_up(settings, instance):
    add_accounts(instance, ["north"])
    job = build_defs(settings).resolve_job_def("daily_snapshot")
    partition = Partition("north", DAY)
    plain = dg.RunRequest(partition_key=build_partition_key(partition))
    looked_up = plain.with_resolved_tags_and_config(
        target_definition=job, dynamic_partitions_requests=[], dynamic_partitions_store=instance
    )
    assert build_run_request(partition, "now").tags == looked_up.tags


def test_a_day_before_the_start_date_is_not_requested(settings, instance, registry):
    later = settings.model_copy(update={"start_date": date(2026, 3, 20)})
    repository = build_defs(later).get_repository_def()
    sentence = "2026-03-10 is before the first day, LMS_START_DATE 2026-03-20."
    assert tick(repository, instance).skip_message == sentence
    assert sense(repository, instance, "failed_days").skip_message == sentence


@pytest.mark.parametrize("more", [0, MAX_SELECTED_ACCOUNTS])
def test_the_latest_runs_are_those_of_the_accounts_and_the_day(instance, more):
    add_run(instance, "north", dg.DagsterRunStatus.FAILURE)
    latest = add_run(instance, "north", dg.DagsterRunStatus.SUCCESS)
    add_run(instance, "north", dg.DagsterRunStatus.FAILURE, **{DATE_TAG: "2026-03-09"})
    found = find_latest_runs(instance, DAY, ["north", *(f"other-{number}" for number in range(more))])
    assert {account_id: record.dagster_run.run_id for account_id, record in found.items()} == {"north": latest}
