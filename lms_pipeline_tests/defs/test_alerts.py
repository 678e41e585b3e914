"""Alerts for failed runs, sent to a webhook on this machine."""

import json
import threading
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import pytest
from pydantic import SecretStr

from lms_pipeline.alerts import AlertError, Alerts, RunFailure
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.failures import NO_ALERT_TAG, SHELL_TAG
from lms_pipeline.defs.instance import QUIET_CONFIG
from lms_pipeline.defs.partitions import add_accounts, build_partition_key
from lms_pipeline.errors import LakeError
from lms_pipeline.lake import index_sync
from lms_pipeline.lake.index_sync import begin_changes
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox.faults import Status
from lms_pipeline.storage.file_state import FileState
from lms_pipeline.storage.state import StateError
from lms_pipeline.truto.log_filter import install_logging_filters
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_automation import read_marks
from lms_pipeline_tests.lake.test_full_disk import fill
from lms_pipeline_tests.support.lake_files import enrollment, publish

PATH = "/services/T0/B0/secret"


class Webhook(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.texts: list[str] = []
        self.status = 200
        self.has_endless_body = False
        self.address = f"http://127.0.0.1:{self.server_port}{PATH}"


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.texts.append(json.loads(body)["text"])
        self.send_response(self.server.status)
        if self.server.has_endless_body:
            self.send_header("Content-Length", "1000000")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def webhook():
    server = Webhook()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run_failure(account_id="north", cause="The LMS failed to answer."):
    return RunFailure(account_id, f"{account_id} on 2026-03-10", cause, "0123456789abcdef")


def lose_state(*_, **__):
    raise StateError("The database can't be reached.")


class TestAlerts:
    def test_send_what_failed_and_why(self, webhook, data):
        assert Alerts(data, webhook.address).send_once(run_failure(cause="It said <no> & left."))
        assert webhook.texts == ["north on 2026-03-10 failed: It said &lt;no&gt; &amp; left. (run 01234567)"]

    @pytest.mark.parametrize("account_id", ["north", None])
    def test_are_sent_on_a_full_disk(self, webhook, small_disk, account_id):
        data = DataDir(small_disk / "data")
        publish(data, "north", DAY, enrollment("u1"))
        begin_changes(data, Partition("north", DAY), "a run that filled the disk")
        fill(small_disk, 0)
        with suppress(LakeError):  # that it was sent can't be recorded
            Alerts(data, webhook.address).send_once(run_failure(account_id))
        assert len(webhook.texts) == 1

    @pytest.mark.parametrize("account_id", ["north", None])
    def test_without_an_index_are_sent_until_the_account_has_published(self, webhook, data, account_id):
        alerts = Alerts(data, webhook.address)
        assert alerts.send_once(run_failure(account_id))
        assert not alerts.send_once(run_failure(account_id))
        publish(data, "north", DAY, enrollment("u1"))
        assert alerts.send_once(run_failure(account_id))
        assert not alerts.send_once(run_failure(account_id))
        assert read_marks(data) == {}

    @pytest.mark.parametrize("account_id", ["north", None])
    def test_are_sent_without_the_database_of_the_index(self, webhook, data, monkeypatch, account_id):
        monkeypatch.setattr(index_sync, "open_index", lose_state)
        alerts = Alerts(data, webhook.address)
        assert [alerts.send_once(run_failure(account_id)) for _ in range(2)] == [True, False]

    def test_are_sent_without_the_database_of_the_state(self, webhook, data, monkeypatch):
        monkeypatch.setattr(FileState, "lock", lose_state)
        assert Alerts(data, webhook.address).send_once(run_failure())
        assert len(webhook.texts) == 1

    def test_do_not_read_the_body_of_the_response(self, webhook, data):
        webhook.has_endless_body = True
        assert Alerts(data, webhook.address).send_once(run_failure())

    def test_send_each_cause_of_each_account_once(self, webhook, data):
        failures = [run_failure(), run_failure(), run_failure("south"), run_failure(cause="Forbidden."), run_failure()]
        assert [Alerts(data, webhook.address).send_once(failure) for failure in failures] == [
            True,
            False,
            True,
            True,
            False,
        ]
        assert len(webhook.texts) == 3

    def test_are_sent_again_after_the_webhook_refused_them(self, webhook, data):
        webhook.status = 500
        with pytest.raises(AlertError, match=r"^The alert can't be sent: .* answers with status 500\.$"):
            Alerts(data, webhook.address).send_once(run_failure())
        webhook.status = 200
        assert Alerts(data, webhook.address).send_once(run_failure())

    def test_do_not_log_or_raise_the_address(self, webhook, data, caplog):
        install_logging_filters()
        caplog.set_level("INFO")
        Alerts(data, webhook.address).send_once(run_failure())
        webhook.shutdown()
        webhook.server_close()
        with pytest.raises(AlertError, match="can't be reached") as caught:
            Alerts(data, webhook.address).send_once(run_failure("south"))
        assert PATH not in caplog.text + str(caught.value)
        assert caught.value.__suppress_context__


FORBIDDEN = Status(status=403, account="north")


def fail(settings, instance, sandbox, fault=FORBIDDEN, **tags) -> dg.DagsterRun:
    """Run `north` into the fault, and return the failed run."""
    add_accounts(instance, {"north"})
    defs = build_defs(settings)
    sandbox.fault(fault)
    job = defs.resolve_job_def("daily_snapshot")
    done = job.execute_in_process(
        partition_key=build_partition_key(Partition("north", DAY)), instance=instance, tags=tags, raise_on_error=False
    )
    assert not done.success
    return done.dagster_run


def evaluate_sensor(settings, instance, run):
    repository = build_defs(settings).get_repository_def()
    event = next(
        entry.dagster_event
        for entry in instance.all_logs(run.run_id)
        if entry.is_dagster_event and entry.dagster_event.event_type == dg.DagsterEventType.RUN_FAILURE
    )
    resources = {"lake": repository.get_top_level_resources()["lake"]}
    context = dg.build_run_status_sensor_context("failure_alerts", event, instance, run, resources=resources)
    return repository.get_sensor_def("failure_alerts")(context.for_run_failure())


@pytest.fixture
def alerting(settings, webhook):
    return settings.model_copy(update={"alert_webhook": SecretStr(webhook.address)})


def test_a_failed_run_is_sent_once_with_its_sentence(alerting, instance, registry, sandbox, webhook):
    first = fail(alerting, instance, sandbox)
    evaluate_sensor(alerting, instance, first)
    evaluate_sensor(alerting, instance, fail(alerting, instance, sandbox))
    [text] = webhook.texts
    assert text.startswith("north on 2026-03-10 failed: Truto refused the request")
    assert text.endswith(f"(run {first.run_id[:8]})")


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("tag", [NO_ALERT_TAG, SHELL_TAG])
def test_a_run_of_a_closed_day_or_a_command_is_not_sent(alerting, instance, sandbox, webhook, tag):
    evaluate_sensor(alerting, instance, fail(alerting, instance, sandbox, **{tag: "true"}))
    assert webhook.texts == []


@pytest.mark.usefixtures("registry")
def test_of_a_run_with_retries_only_the_last_is_sent(alerting, instance, sandbox, webhook, monkeypatch):
    monkeypatch.setattr("lms_pipeline.truto.retry.RetryPolicy", partial(RetryPolicy, 1, 1))
    overloaded = Status(status=503, account="north")
    evaluate_sensor(alerting, instance, fail(alerting, instance, sandbox, overloaded))
    assert webhook.texts == []
    evaluate_sensor(alerting, instance, fail(alerting, instance, sandbox, overloaded, **{"dagster/max_retries": "0"}))
    assert len(webhook.texts) == 1


def test_without_an_address_there_is_no_sensor(settings):
    assert not build_defs(settings).get_repository_def().has_sensor_def("failure_alerts")


def test_accounts_without_runs_are_sent_once_a_day(alerting, instance, registry, webhook):
    def watch(day):
        then = alerting.model_copy(update={"frozen_now": datetime(2026, 3, day, 2, tzinfo=UTC)})
        job = build_defs(then).resolve_job_def("watch_fleet")
        assert job.execute_in_process(run_config=QUIET_CONFIG, instance=instance).success

    for day in (11, 12, 12, 13):  # on the 11th, the 10th is still open
        watch(day)
    assert [text.partition(":")[0] for text in webhook.texts] == ["The daily snapshot failed"] * 2
    assert "2 of 2 active accounts have no snapshot of 2026-03-10" in webhook.texts[0]
