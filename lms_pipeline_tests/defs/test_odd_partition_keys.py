"""Partition keys that are no account and day of ours: they fail their own run, and nothing else.

A person can add any key to the dynamic partition `account` in the UI, and launch a run with any tags.
"""

import re
import shutil
from types import SimpleNamespace
from uuid import uuid4

import dagster as dg
import pytest

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.event_log_sync import find_missing_events, report_events
from lms_pipeline.defs.failures import SHELL_TAG
from lms_pipeline.defs.instance import QUIET_CONFIG, open_instance, rebuild_warehouse, run_partitions
from lms_pipeline.defs.partitions import ACCOUNT_TAG, DATE_TAG, parse_partition_tags, read_partition
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.paths import Partition
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline_tests.commands.conftest import command
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_alerts import alerting, evaluate_sensor, webhook
from lms_pipeline_tests.defs.test_automation import keys, sense, tick
from lms_pipeline_tests.support.lake_files import enrollment, publish

__all__ = ["alerting", "command", "webhook"]

PARTITION_TAG = "dagster/partition"
NO_ACCOUNT_ID = [
    *("../x", "..", "/etc", " ", "", "a b", " north", "north ", "a\n", "a\x00b"),
    *("a|b", "|", "a,b", "[a...b]", "a'b", 'a"b', "a=b", "*", "%", "-a", "_a", "a.b"),
    *("ä", "\u0430bc", "日本", "😀", "n\u200borth", "x" * 65, "x" * 5_000),
]
UNKNOWN_ACCOUNT = ["NUL", "CON", "NORTH", "North", "x" * 64, "0"]
NO_DAY = [
    "yesterday",
    "",
    "2026-3-10",
    "20260310",
    "2026-W11-2",
    "2026-02-30",
    "2026-03-10T00:00",
    "9999-12-31",
    "2026-03-10 ",
    "٢٠٢٦-03-10",
]
NEVER_OPEN = ["2026-02-28", "0001-01-01", "2026-03-11", "2099-01-01"]
DAY_TEXT = DAY.isoformat()


def build_tags(account, day):
    """Build the tags of a run as Dagster sets them for a partition."""
    return {ACCOUNT_TAG: account, DATE_TAG: day, PARTITION_TAG: f"{account}|{day}"}


ODD_TAGS = [
    *(build_tags(key, DAY_TEXT) for key in (*NO_ACCOUNT_ID, *UNKNOWN_ACCOUNT)),
    *(build_tags("north", key) for key in (*NO_DAY, *NEVER_OPEN)),
    build_tags("../x", "yesterday"),
    {ACCOUNT_TAG: "north", DATE_TAG: DAY_TEXT},  # without the whole key Dagster sees no partition
    {PARTITION_TAG: "a|b|2026-03-10"},
]
"""Tags of runs, as the UI and its launchpad set them. Dagster itself refuses to launch other ones."""
ODD_RUNS = [
    *(build_tags(key, DAY_TEXT) for key in ("a|b", "NORTH")),
    *(build_tags("north", key) for key in ("yesterday", "2026-02-28", "2099-01-01")),
    *ODD_TAGS[-2:],
]
"""One of each kind: a run takes a second."""
SENTENCE = r".{20,400}\."

SAME_PARTITION = [
    build_tags("north", DAY_TEXT),
    {PARTITION_TAG: f"north|{DAY}"},
    dict.fromkeys(("dagster/asset_partition_range_start", "dagster/asset_partition_range_end"), f"north|{DAY}"),
]
"""Tags of runs of a job, and of a backfill of assets."""


def name_case(value):
    return ascii(value)[:200]


def resolve_job(settings):
    return build_defs(settings).resolve_job_def("daily_snapshot")


def run_job(job, instance, tags, *assets):
    return job.execute_in_process(
        run_config=QUIET_CONFIG,
        instance=instance,
        asset_selection=[dg.AssetKey(asset) for asset in assets] or None,
        raise_on_error=False,
        tags=tags,
    )


def find_sentence(result):
    """Return the description of our failure; None if the run failed of another exception."""
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    [first] = failures[:1] or [None]
    return first and first.user_failure_data and first.user_failure_data.description


@pytest.mark.usefixtures("registry")
class TestTheRun:
    @pytest.mark.parametrize(
        ("asset", "odd_runs"), [("unified_enrollments", ODD_RUNS), ("account_completion", ODD_RUNS[::3])]
    )
    def test_fails_with_one_sentence_and_publishes_nothing(self, settings, instance, data, asset, odd_runs):
        job = resolve_job(settings)
        results = {name_case(tags): run_job(job, instance, tags, asset) for tags in odd_runs}
        assert [tags for tags, result in results.items() if result.success] == []
        sentences = {tags: find_sentence(result) or "" for tags, result in results.items()}
        assert {tags: text for tags, text in sentences.items() if not re.fullmatch(SENTENCE, text)} == {}
        assert not data.lake.exists()

    @pytest.mark.parametrize(
        ("tags", "sentence"),
        [
            (
                build_tags("a b", DAY_TEXT),
                "'a b' can't be an account id: it must be 1 to 64 letters, digits, '-' and '_', and begin with a letter or digit.",
            ),
            (
                build_tags("north", "yesterday"),
                "'yesterday' can't be the day of a partition: it must be like 2026-01-31.",
            ),
            ({}, "The run has no partition: select one account and one day."),
            ({ACCOUNT_TAG: "north", DATE_TAG: DAY_TEXT}, "The run has no partition: select one account and one day."),
            (
                {
                    "dagster/asset_partition_range_start": "north|2026-03-09",
                    "dagster/asset_partition_range_end": "north|2026-03-10",
                },
                (
                    "2 of 2 accounts and days failed: north on 2026-03-09, north on 2026-03-10; the log above and the page of each "
                    "account and day say why."
                ),
            ),
        ],
    )
    def test_names_the_part_that_is_odd(self, settings, instance, tags, sentence):
        instance.add_dynamic_partitions("account", ["north"])
        assert find_sentence(run_job(resolve_job(settings), instance, tags, "account_completion")) == sentence

    @pytest.mark.parametrize("tags", SAME_PARTITION, ids=name_case)
    def test_of_a_partition_succeeds_whichever_tags_name_it(self, settings, instance, data, tags):
        instance.add_dynamic_partitions("account", ["north"])
        assert run_job(resolve_job(settings), instance, tags, "unified_enrollments").success
        assert [*data.find_partitions(UNIFIED_ENROLLMENTS)] == [Partition("north", DAY)]


@pytest.mark.parametrize("tags", SAME_PARTITION, ids=name_case)
def test_the_tags_of_a_run_are_its_partition(tags):
    assert parse_partition_tags(tags) == Partition("north", DAY)


@pytest.mark.parametrize(
    "tags", [tags for tags in ODD_TAGS if tags.get(ACCOUNT_TAG) not in UNKNOWN_ACCOUNT], ids=name_case
)
def test_the_tags_of_a_run_are_a_partition_only_if_both_parts_are_ours(tags):
    is_partition = tags.get(DATE_TAG) in {*NEVER_OPEN, DAY_TEXT} and tags.get(ACCOUNT_TAG) == "north"
    assert (parse_partition_tags(tags) is not None) is is_partition


@pytest.mark.parametrize("tags", [tags for tags in ODD_TAGS if parse_partition_tags(tags) is None], ids=name_case)
def test_a_run_whose_tags_are_no_partition_of_ours_fails_with_one_sentence(tags):
    context = SimpleNamespace(run=SimpleNamespace(tags=tags))
    with pytest.raises(LmsPipelineError) as failed:
        read_partition(context)  # type: ignore[arg-type] # what it needs of a context
    assert re.fullmatch(SENTENCE, str(failed.value))


@pytest.fixture(scope="module")
def home_of_odd_runs(tmp_path_factory, make_home):
    """A home that remembers a failed, a canceled and a started run of each odd key; its keys are added."""
    home = tmp_path_factory.mktemp("odd") / "dagster"
    make_home(home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions("account", [*NO_ACCOUNT_ID, *UNKNOWN_ACCOUNT, "north", "south"])
        statuses = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.STARTED]
        for tags in ODD_TAGS:
            for status in statuses if parse_partition_tags(tags) != Partition("north", DAY) else ():
                run = dg.DagsterRun("daily_snapshot", run_id=str(uuid4()), tags=tags, status=status)
                instance.run_storage.add_run(run)  # without a log of its own, which takes most of the time
        for text in NO_ACCOUNT_ID:
            event = dg.AssetMaterialization("unified_enrollments", partition=f"{text}|{DAY}")
            instance.report_runless_asset_event(event)
    return home


@pytest.fixture
def remembered(settings, home_of_odd_runs, registry):
    """The instance of a copy of `home_of_odd_runs`."""
    shutil.copytree(home_of_odd_runs, settings.dagster_home)
    with open_instance(settings) as opened:
        yield opened


def execute(settings, instance, job_name):
    job = build_defs(settings).resolve_job_def(job_name)
    return job.execute_in_process(run_config=QUIET_CONFIG, instance=instance, raise_on_error=False)


class TestTheFleet:
    """Everything that looks at all runs or all partitions."""

    def test_is_checked(self, settings, remembered, data):
        publish(data, "north", DAY, enrollment("u1"))
        result = execute(settings, remembered, "watch_fleet")
        assert result.success
        gaps = next(one for one in result.get_asset_check_evaluations() if one.check_name == "no_day_is_missing")
        assert gaps.metadata["published"].value == 1

    def test_has_its_warehouse_built(self, settings, remembered):
        assert rebuild_warehouse(build_defs(settings), remembered).error is None

    def test_is_pulled(self, settings, remembered):
        both = [Partition("north", DAY), Partition("south", DAY)]
        runs = run_partitions(build_defs(settings), remembered, both, ["unified_enrollments"])
        assert [run.error for run in runs] == [None, None]

    def test_gets_its_runs_from_the_schedule(self, settings, remembered):
        requested = tick(build_defs(settings).get_repository_def(), remembered).run_requests
        assert keys(requested) == ["north|2026-03-10", "south|2026-03-10"]

    def test_gets_its_runs_from_the_sensors(self, settings, remembered):
        repository = build_defs(settings).get_repository_def()
        requested = sense(repository, remembered, "account_registry").run_requests
        assert keys(requested) == ["north|2026-03-10", "south|2026-03-10"]
        assert sense(repository, remembered, "failed_days").run_requests == []

    def test_has_its_failed_days_retried(self, settings, remembered):
        job = resolve_job(settings)
        tags = build_tags("north", DAY_TEXT)
        remembered.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.FAILURE)
        repository = build_defs(settings).get_repository_def()
        assert keys(sense(repository, remembered, "failed_days").run_requests) == ["north|2026-03-10"]

    def test_is_kept_in_order(self, settings, remembered):
        assert execute(settings, remembered, "housekeeping").success

    def test_is_reported_to_dagster(self, remembered, data):
        publish(data, "north", DAY, enrollment("u1"))
        missing = find_missing_events(remembered, data)
        assert [event.partition_key for event in missing] == ["north|2026-03-10"]
        assert report_events(remembered, data, missing, min_cohort=1) == 1

    def test_has_its_warehouse_refreshed(self, settings, remembered):
        event = dg.AssetMaterialization("account_completion", partition=f"north|{DAY}")
        remembered.report_runless_asset_event(event)
        for run in remembered.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            remembered.run_storage.delete_run(run.run_id)  # without an event, which takes most of the time
        assert len(sense(build_defs(settings).get_repository_def(), remembered, "warehouse_refresh").run_requests) == 1

    @pytest.mark.parametrize(
        "words",
        [
            ("materialize", "--select", "unified_enrollments,account_completion"),
            *(("housekeeping",), ("accounts", "list"), ("accounts", "sync")),
        ],
        ids=" ".join,
    )
    def test_is_at_hand_for_commands(self, remembered, settings, command, sandbox, monkeypatch, words):
        monkeypatch.setenv("TRUTO_BASE_URL", sandbox.url)
        monkeypatch.setenv("TRUTO_API_TOKEN", sandbox.token)
        monkeypatch.setenv("DAGSTER_HOME", str(settings.dagster_home))
        done = command(*words)
        assert (done.status, "Error" in done.err) == (0, False)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("tags", [ODD_TAGS[0], build_tags("north", "yesterday"), {}], ids=name_case)
def test_an_alert_of_the_run_says_why_it_failed_once(alerting, instance, webhook, tags):
    for _ in range(2):
        failed = run_job(resolve_job(alerting), instance, tags, "account_completion")
        evaluate_sensor(alerting, instance, failed.dagster_run)
    [text] = webhook.texts
    assert text.startswith(f"daily_snapshot failed: {find_sentence(failed)}".replace("<", "&lt;"))


@pytest.mark.parametrize("value", ["", "host", "here x", "here -1", "here 99999999999999999999", "here 1.5", "a b c"])
def test_a_run_with_an_odd_tag_of_a_command_does_not_stop_the_monitoring(settings, instance, value, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    job = resolve_job(settings)
    run = instance.create_run_for_job(job, tags={SHELL_TAG: value}, status=dg.DagsterRunStatus.STARTED)
    assert instance.run_launcher.check_run_worker_health(run) is not None
