"""Damaged files that cost nothing to lose: they stop no schedule, sensor, check or command, and no account's run."""

import pytest

from lms_pipeline.checks.fleet import FLEET_CHECKS, load_fleet
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.asset_checks import _find_recently_failed
from lms_pipeline.defs.instance import rebuild_warehouse, run_partitions
from lms_pipeline.defs.jobs import find_all_expired
from lms_pipeline.lake.paths import Partition
from lms_pipeline_tests.commands.conftest import command
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_automation import keys, sense, tick
from lms_pipeline_tests.support.damages import TEXT_DAMAGES

__all__ = ["command"]

NORTH = Partition("north", DAY)


def list_state_files(data):
    """List the files of `north` and of all accounts that cost nothing to lose."""
    return [
        data.checkpoint_path(NORTH),
        data.checkpoint_path(NORTH, lists_only=True),
        data.fingerprints_path(NORTH),
        data.budgets / "hour-north.sqlite",
        *data.budgets.glob("*.sqlite"),
        data.pull_folder(NORTH) / "continues_later.json",
        data.pull_folder(NORTH) / "stopped.json",
        data.pull_folder(NORTH) / "lock",
        data.accounts_refused,
        data.token_refused,
        data.sent_alerts,
        data.left_out,
        data.time_zone,
        data.state / "warehouse" / "lock",
    ]


@pytest.fixture(params=TEXT_DAMAGES.values(), ids=list(TEXT_DAMAGES))
def damaged(request, after_a_run, settings, data):
    """The data directory, with every such file damaged in one way."""
    for path in list_state_files(data):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"a": "file of this name"}')
        request.param(path)
    return data


def test_the_schedule_and_the_sensors_request_what_they_would_anyway(damaged, settings, instance):
    repository = build_defs(settings).get_repository_def()
    assert keys(tick(repository, instance).run_requests) == []  # both accounts have their snapshot
    for name in ("account_registry", "failed_days", "waiting_pulls"):
        assert sense(repository, instance, name).run_requests == []
    assert len(sense(repository, instance, "warehouse_refresh").run_requests) <= 1


def test_the_checks_and_housekeeping_see_every_account(damaged, settings, instance):
    fleet = load_fleet(damaged, settings, _find_recently_failed(instance))
    assert all(check.run(fleet).message for check in FLEET_CHECKS)
    assert isinstance(find_all_expired(settings, instance), list)


def test_the_commands_list_every_account(damaged, settings, command, sandbox, monkeypatch):
    monkeypatch.setenv("TRUTO_BASE_URL", sandbox.url)
    monkeypatch.setenv("TRUTO_API_TOKEN", sandbox.token)
    monkeypatch.setenv("LMS_DATA_DIR", str(settings.data_dir))
    listed = command("accounts", "list")
    assert listed.status == 0
    assert [name for name in ("north", "south") if name in listed.out] == ["north", "south"]
    assert command("accounts", "sync").status == 0


def test_the_account_is_pulled_and_the_warehouse_is_built(damaged, settings, instance):
    defs = build_defs(settings)
    runs = run_partitions(defs, instance, [NORTH], ["unified_enrollments"])  # metrics read none of the files
    assert [(run.error, run.enrollments) for run in runs] == [(None, 3)]
    assert rebuild_warehouse(defs, instance).error is None
    assert [path.name for path in damaged.state.rglob("*.damaged")] != []
