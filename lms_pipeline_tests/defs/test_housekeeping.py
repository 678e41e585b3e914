"""The job `housekeeping` and its schedule."""

from datetime import timedelta

import dagster as dg
import pytest

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.failures import RETRY_ON_FAILURE_TAG
from lms_pipeline.defs.instance import open_instance
from lms_pipeline.defs.jobs import find_all_expired
from lms_pipeline.lake.paths import Partition
from lms_pipeline.lake.reading import read
from lms_pipeline.storage.file_state import FileState
from lms_pipeline.storage.state import StateError
from lms_pipeline.tables.pulled import REJECTED_ENROLLMENTS
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_index_events import add_copy
from lms_pipeline_tests.defs.test_run_logs import add
from lms_pipeline_tests.support.data_directory import put_responses
from lms_pipeline_tests.support.lake_files import enrollment, publish

LONG_AGO = DAY - timedelta(days=100)


@pytest.fixture
def settings(settings):
    """Settings with which Dagster lists the old day."""
    return settings.model_copy(update={"start_date": LONG_AGO})


@pytest.fixture
def run(settings, instance):
    def run(**changed):
        job = build_defs(settings.model_copy(update=changed)).resolve_job_def("housekeeping")
        return job.execute_in_process(instance=instance, raise_on_error=False)

    return run


@pytest.fixture
def house(data, registry, instance):
    """Old responses, responses of a day ago, an old rejected payload, and the log of an old run."""
    put_responses(data, "north", LONG_AGO, DAY)
    publish(data, "north", LONG_AGO, {"payload": "{}"}, table=REJECTED_ENROLLMENTS)
    publish(data, "north", LONG_AGO, enrollment("u1"))
    return add(instance, "daily_snapshot")


def read_outputs(result):
    """Return the output metadata of each step, by step and name."""
    return {
        (event.step_key, name): value.value
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.STEP_OUTPUT
        for name, value in event.step_output_data.metadata.items()
    }


def read_messages(instance, result):
    return [entry.user_message for entry in instance.all_logs(result.run_id)]


def test_removes_expired_items_and_reports_their_counts(run, house, data, instance):
    done = run()
    assert done.success
    figures = read_outputs(done)
    assert {name: figures["remove_expired", name] for name in ("answers", "details", "run logs", "left")} == {
        "answers": 1,
        "details": 1,
        "run logs": 1,
        "left": 0,
    }
    assert figures["remove_expired", "bytes of answers"] == 100
    (sentence,) = [text for text in read_messages(instance, done) if text.startswith("Removed ")]
    assert sentence.startswith("Removed 1 answer (100 B), 1 detail (10 B), 1 rejected payload (")
    assert not data.checkpoint_path(Partition("north", LONG_AGO)).exists()
    assert data.checkpoint_path(Partition("north", DAY)).exists()
    assert read("rejected_enrollments", data_dir=data.root).column("payload").to_pylist() == [""]


def test_removes_old_notes_of_the_state_once(run, house, monkeypatch):
    calls = []
    monkeypatch.setattr(FileState, "remove_old", lambda _, before: calls.append(before))
    assert run().success
    assert len(calls) == 1


def test_is_retried_if_the_database_of_the_state_is_away(run, house, data, instance, monkeypatch):
    def fail(*_):
        raise StateError("The database can't be reached.")

    monkeypatch.setattr(FileState, "remove_old", fail)
    done = run()
    assert not done.success
    assert instance.get_run_by_id(done.run_id).tags[RETRY_ON_FAILURE_TAG] == "true"
    assert not data.checkpoint_path(Partition("north", LONG_AGO)).exists()


def test_the_second_run_has_nothing_to_do(run, house, settings, instance):
    run()
    assert find_all_expired(settings, instance) == []
    assert read_outputs(run())["report_missing_events", "reported"] == 0


def test_reports_published_files_to_dagster(run, house, instance):
    assert read_outputs(run())["report_missing_events", "reported"] == 2
    assert instance.get_materialized_partitions(dg.AssetKey("rejected_enrollments")) == {"north|2025-11-30"}


def test_reports_no_file_of_a_day_that_dagster_does_not_list(run, house, instance):
    assert read_outputs(run(start_date=DAY))["report_missing_events", "reported"] == 0


def test_removes_old_events_from_the_index_and_reports_their_number(run, house, instance):
    add_copy(instance, house)
    assert read_outputs(run())["remove_expired", "events"] == 1


def test_zero_days_keep_payloads_and_run_logs_for_ever(house, settings, instance):
    for_ever = settings.model_copy(update={"rejected_days": 0, "run_log_days": 0})
    assert [item.kind for item in find_all_expired(for_ever, instance)] == ["answers", "details"]


def test_run_logs_are_kept_for_the_days_of_the_setting(house, settings, instance):
    assert "run logs" not in {
        one.kind for one in find_all_expired(settings.model_copy(update={"run_log_days": 92}), instance)
    }


def test_unreadable_options_remove_nothing_and_published_files_are_still_reported(run, house, data, tmp_path):
    done = run(accounts_file=tmp_path / "nowhere.toml")
    assert not done.success
    (failed,) = [event for event in done.all_events if event.is_step_failure]
    assert "nowhere.toml can't be read" in failed.step_failure_data.user_failure_data.description
    assert data.checkpoint_path(Partition("north", LONG_AGO)).exists()
    assert read_outputs(done)["report_missing_events", "reported"] == 2


def test_warns_that_lms_now_is_set(run, instance):
    assert any("LMS_NOW is set" in text for text in read_messages(instance, run()))


def test_the_schedule_is_on_by_default_daily_in_the_configured_time_zone(settings):
    defs = build_defs(settings.model_copy(update={"timezone": "Europe/Athens"}))
    schedule = defs.get_repository_def().get_schedule_def("housekeeping")
    assert schedule.cron_schedule == "30 1 * * *"
    assert schedule.execution_timezone == "Europe/Athens"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_the_schedule_requests_one_run(settings, instance):
    repository = build_defs(settings).get_repository_def()
    with dg.build_schedule_context(instance, repository_def=repository) as context:
        tick = repository.get_schedule_def("housekeeping").evaluate_tick(context)
    assert len(tick.run_requests or ()) == 1


def test_finds_nothing_in_a_new_installation(settings):
    with open_instance(settings) as instance:
        assert find_all_expired(settings, instance) == []
