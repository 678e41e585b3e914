"""Alerts for failed runs, sent to a webhook on this machine."""

import json
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import pytest
from pydantic import SecretStr

from lms_pipeline.alerts import AlertError, Alerts, RunFailure
from lms_pipeline.checks.fleet import FLEET_CHECKS
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.failures import NO_ALERT_TAG, SHELL_TAG
from lms_pipeline.defs.instance import QUIET_CONFIG
from lms_pipeline.defs.partitions import add_accounts, build_partition_key
from lms_pipeline.errors import LakeError
from lms_pipeline.lake import index_sync
from lms_pipeline.lake.index_sync import begin_changes
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.stopped import StoppedPull, save_stopped
from lms_pipeline.sandbox.faults import Status
from lms_pipeline.storage.file_state import FileState
from lms_pipeline.storage.state import StateError
from lms_pipeline.truto.log_filter import install_logging_filters
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_automation import read_marks, sense
from lms_pipeline_tests.lake.test_full_disk import fill
from lms_pipeline_tests.support.lake_files import enrollment, publish

PATH = "/services/T0/B0/secret"


class Webhook(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.texts: list[str] = []
        self.status = 200
        self.failures: list[int] = []
        """The statuses of the next responses."""
        self.has_endless_body = False
        self.address = f"http://127.0.0.1:{self.server_port}{PATH}"


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.texts.append(json.loads(body)["text"])
        self.send_response(self.server.failures.pop(0) if self.server.failures else self.server.status)
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


def read_sent(data):
    return json.loads(data.sent_alerts.read_text())


def stop_clock(then):
    return lambda: then


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

    @pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
    def test_to_this_machine_pass_no_proxy(self, webhook, data, monkeypatch, name):
        """Its address is a secret, and plain http is allowed for this machine only."""
        for spelling in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(spelling, raising=False)
        monkeypatch.setenv(name, "http://127.0.0.1:9")
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
        webhook.failures = [404]
        with pytest.raises(AlertError, match=r"^The alert can't be sent: .* answers with status 404\.$"):
            Alerts(data, webhook.address).send_once(run_failure())
        assert Alerts(data, webhook.address).send_once(run_failure())

    def test_do_not_count_figures_as_another_cause(self, webhook, data):
        causes = [
            f"The LMS allows the next call in {hours} hours, after 2026-03-1{hours} 02:00 UTC." for hours in (1, 2)
        ]
        assert [Alerts(data, webhook.address).send_once(run_failure(cause=cause)) for cause in causes] == [True, False]

    @pytest.mark.parametrize("names", [("status 403", "status 404"), ("course c1", "course c2"), ("a=1/x", "a=2/x")])
    def test_count_another_status_or_name_as_another_cause(self, webhook, data, names):
        causes = [f"The LMS refused the request ({name})." for name in names]
        assert all(Alerts(data, webhook.address).send_once(run_failure(cause=cause)) for cause in causes)

    def test_are_sent_again_after_a_month_and_their_record_does_not_grow(self, webhook, data):
        for day, is_sent in ((1, True), (30, False), (31, True)):
            then = datetime(2026, 3, day, tzinfo=UTC)
            alerts = Alerts(data, webhook.address, now=stop_clock(then))
            assert alerts.send_once(run_failure()) == is_sent
            alerts.send_once(run_failure(f"account-{day}"))
        assert sorted(key.split()[0] for key in read_sent(data)) == ["account-30", "account-31", "north"]

    def test_count_as_sent_that_an_earlier_version_recorded(self, webhook, data):
        data.sent_alerts.parent.mkdir(parents=True, exist_ok=True)
        data.sent_alerts.write_text(json.dumps({run_failure().key: "", run_failure("south").key: "2026-03-01"}))
        sent = [Alerts(data, webhook.address).send_once(run_failure(account_id)) for account_id in ("north", "south")]
        assert sent == [False, True]

    def test_do_not_log_or_raise_the_address(self, webhook, data, caplog):
        install_logging_filters()
        caplog.set_level("INFO")
        Alerts(data, webhook.address).send_once(run_failure())
        webhook.shutdown()
        webhook.server_close()
        with pytest.raises(AlertError, match="can't be reached") as caught:
            Alerts(data, webhook.address, retries_end=0).send_once(run_failure("south"))
        assert PATH not in caplog.text + str(caught.value)
        assert caught.value.__suppress_context__


class TestAWebhookThatFails:
    @pytest.fixture
    def waits(self):
        return []

    @pytest.fixture
    def alerts(self, webhook, data, waits):
        return Alerts(data, webhook.address, sleep=waits.append)

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_gets_a_message_again_after_a_growing_wait(self, alerts, webhook, waits, status):
        webhook.failures = [status] * 3
        assert alerts.send_once(run_failure())
        assert waits == [1, 2, 4]

    def test_gets_a_message_four_times(self, alerts, webhook):
        webhook.status = 500
        with pytest.raises(AlertError):
            alerts.send_once(run_failure())
        assert len(webhook.texts) == 4

    @pytest.mark.parametrize("status", [302, 400, 403, 404])
    def test_for_good_gets_a_message_once(self, alerts, webhook, waits, status):
        webhook.status = status
        with pytest.raises(AlertError):
            alerts.send_once(run_failure())
        assert (len(webhook.texts), waits) == (1, [])

    def test_gets_a_message_once_when_the_time_for_more_is_over(self, webhook, data, waits):
        webhook.status = 500
        with pytest.raises(AlertError):
            Alerts(data, webhook.address, sleep=waits.append, retries_end=0).send_once(run_failure())
        assert (len(webhook.texts), waits) == (1, [])

    def test_that_can_not_be_reached_is_tried_again(self, alerts, webhook, waits):
        webhook.shutdown()
        webhook.server_close()
        with pytest.raises(AlertError, match="can't be reached"):
            alerts.send_once(run_failure())
        assert waits == [1, 2, 4]

    def test_under_an_address_that_is_none_is_tried_once(self, data, waits):
        with pytest.raises(AlertError, match="can't be reached"):
            Alerts(data, "ftp://example.org/", sleep=waits.append).send_once(run_failure())
        assert waits == []


FORBIDDEN = Status(status=403, account="north")


def fail(settings, instance, sandbox, fault=FORBIDDEN, **tags) -> dg.DagsterRun:
    """Run `north` into the fault, and return the failed run."""
    add_accounts(instance, {"north"})
    defs = build_defs(settings)
    sandbox.fault(fault)
    job = defs.resolve_job_def("daily_snapshot")
    key, selected = build_partition_key(Partition("north", DAY)), [dg.AssetKey("unified_enrollments")]
    done = job.execute_in_process(
        partition_key=key, asset_selection=selected, instance=instance, tags=tags, raise_on_error=False
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


@pytest.mark.usefixtures("registry")
def test_runs_without_an_alert_do_not_delay_that_of_another(alerting, instance, sandbox, webhook):
    repository = build_defs(alerting).get_repository_def()
    cursor = sense(repository, instance, "failure_alerts").cursor
    for tag in (SHELL_TAG, NO_ALERT_TAG):
        fail(alerting, instance, sandbox, **{tag: "true"})
    last = fail(alerting, instance, sandbox)
    evaluated = sense(repository, instance, "failure_alerts", cursor)
    assert [text[-10:-1] for text in webhook.texts] == [f" {last.run_id[:8]}"]
    assert evaluated.skip_message is None


@pytest.mark.usefixtures("registry")
def test_a_failed_run_is_sent_with_ids_if_the_names_can_not_be_read(alerting, instance, sandbox, webhook, tmp_path):
    run = fail(alerting, instance, sandbox)
    evaluate_sensor(alerting.model_copy(update={"accounts_file": tmp_path / "nowhere.toml"}), instance, run)
    [text] = webhook.texts
    assert text.startswith("north on 2026-03-10 failed: Truto refused the request")


@pytest.mark.usefixtures("registry")
def test_a_run_without_a_failed_step_is_not_said_to_have_failed_before_its_first(alerting, instance, webhook):
    job = build_defs(alerting).resolve_job_def("daily_snapshot")
    tags = {"dagster/partition/account": "north", "dagster/partition/date": str(DAY), "dagster/max_retries": "0"}
    run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(run, "the process of this run has ended")
    evaluate_sensor(alerting, instance, run)
    [text] = webhook.texts
    assert text == (
        "north on 2026-03-10 failed: no step of the run reports an error: its process was probably killed, or could not start; "
        f"see its log in the UI. (run {run.run_id[:8]})"
    )


def test_a_run_of_the_catalog_is_sent_with_its_assets(alerting, instance, webhook):
    run = instance.add_run(
        dg.DagsterRun(
            job_name="__ASSET_JOB",
            status=dg.DagsterRunStatus.STARTED,
            asset_selection=frozenset({dg.AssetKey("warehouse"), dg.AssetKey("by_day")}),
            tags={"dagster/max_retries": "0"},
        )
    )
    instance.report_run_failed(run, "the process of this run has ended")
    evaluate_sensor(alerting, instance, run)
    [text] = webhook.texts
    assert text.startswith("by_day, warehouse failed: no step of the run reports an error")


def test_without_an_address_there_is_no_sensor(settings):
    assert not build_defs(settings).get_repository_def().has_sensor_def("failure_alerts")


@pytest.fixture
def watch(alerting, instance, registry):
    """Return a function that checks the fleet on a day of March."""

    def watch(day):
        then = alerting.model_copy(update={"frozen_now": datetime(2026, 3, day, 2, tzinfo=UTC)})
        job = build_defs(then).resolve_job_def("watch_fleet")
        return job.execute_in_process(run_config=QUIET_CONFIG, instance=instance, raise_on_error=False)

    return watch


def test_accounts_without_runs_are_sent_once_a_day(watch, webhook):
    for day in (11, 12, 12, 13):  # on the 11th, the 10th is still open
        assert watch(day).success
    assert [text.partition(":")[0] for text in webhook.texts] == ["The daily snapshot failed"] * 2
    assert "2 of 2 active accounts have no snapshot of 2026-03-10" in webhook.texts[0]


def test_accounts_without_runs_are_sent_once_whatever_else_happens_on_their_day(watch, webhook, data):
    watch(12)
    stopped = StoppedPull(account_id="north", day=DAY, at=datetime(2026, 3, 12, 1, tzinfo=UTC), reason="It is endless.")
    save_stopped(data, stopped)
    publish(data, "north", DAY + timedelta(days=1))
    watch(12)
    assert len(webhook.texts) == 1


def test_another_number_of_accounts_without_runs_is_sent(watch, webhook, data):
    watch(12)
    publish(data, "north", DAY)
    watch(12)
    assert "1 of 2 active accounts has no snapshot of 2026-03-10" in webhook.texts[1]


def test_an_alert_that_is_not_sent_leaves_the_results_of_all_checks(watch, webhook):
    webhook.failures = [404]
    done = watch(12)
    assert (done.success, len(done.get_asset_check_evaluations())) == (False, len(FLEET_CHECKS))
