"""Accounts that are added to Truto, removed from it, and added again, as the sensor `account_registry` finds them."""

from contextlib import contextmanager
from datetime import timedelta

import dagster as dg
import pytest
from pydantic import SecretStr

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import QUIET_CONFIG, run_partitions
from lms_pipeline.lake.paths import Partition
from lms_pipeline.sandbox import records_world, running
from lms_pipeline.sandbox.faults import RevokedToken
from lms_pipeline.truto.errors import PermanentError
from lms_pipeline.truto.models import IntegratedAccount, Integration
from lms_pipeline_tests.defs.conftest import DAY, NOW, enrollment
from lms_pipeline_tests.defs.test_automation import keys, sense, tick


@pytest.fixture
def truto(tmp_path, settings):
    """Definitions against a Truto with these accounts, some days later."""

    @contextmanager
    def with_accounts(*accounts, days=0):
        records = tmp_path / "-".join(accounts)
        lines = [enrollment(account, 1) for account in accounts]
        records.write_text("\n".join(lines), encoding="utf-8")
        with running(records_world([records])) as sandbox:
            sandbox.set_clock(NOW + timedelta(days=days))
            changed = {"base_url": sandbox.url, "token": SecretStr(sandbox.token)}
            yield build_defs(settings.model_copy(update=changed | {"frozen_now": NOW + timedelta(days=days)}))

    return with_accounts


def sync(defs, instance):
    return keys(sense(defs.get_repository_def(), instance, "account_registry").run_requests)


def find_requested(defs, instance, days=0):
    return keys(tick(defs.get_repository_def(), instance, NOW + timedelta(days=days)).run_requests)


def test_a_removed_account_gets_no_run_and_keeps_its_data_and_partitions(truto, instance, data):
    with truto("north", "south") as defs:
        sync(defs, instance)
        both = [Partition(one, DAY) for one in ("north", "south")]
        runs = run_partitions(defs, instance, both, ["unified_enrollments", "account_completion"])
        assert [run.error for run in runs] == [None, None]
    with truto("north", days=1) as defs:
        assert sync(defs, instance) == []
        assert find_requested(defs, instance, days=1) == ["north|2026-03-11"]
    assert Registry(data).get("south").status == "gone"
    assert instance.get_dynamic_partitions("account") == ["north", "south"]
    kept = instance.get_materialized_partitions(dg.AssetKey("account_completion"))
    assert "south|2026-03-10" in kept


def test_an_account_that_is_listed_again_gets_runs_again(truto, instance):
    with truto("north", "south") as defs:
        sync(defs, instance)
    with truto("north", days=1) as defs:
        sync(defs, instance)
    with truto("north", "south", days=2) as defs:
        sync(defs, instance)
        assert find_requested(defs, instance, days=2) == ["north|2026-03-12", "south|2026-03-12"]


def test_a_new_account_gets_its_first_snapshot_and_starts_on_that_day(truto, instance, data):
    with truto("north") as defs:
        sync(defs, instance)
    with truto("north", "south", days=3) as defs:
        assert sync(defs, instance) == ["south|2026-03-13"]
    first_days = {account.id: account.first_day for account in Registry(data).read_accounts()}
    assert first_days == {"north": DAY, "south": DAY + timedelta(days=3)}


def test_an_account_with_a_broken_connection_is_marked_and_gets_no_run(truto, instance, data):
    with truto("north", "south") as defs:
        sync(defs, instance)
        lms = Integration(name="talentlms", category="lms")
        listed = [
            IntegratedAccount(id="north", integration=lms),
            IntegratedAccount(id="south", status="needs_reauth", integration=lms),
        ]
        Registry(data).sync(listed, integrations=(), day=DAY)
        assert find_requested(defs, instance) == ["north|2026-03-10"]
    assert Registry(data).get("south").status == "needs_reauth"


class TestMostAccountsMissing:
    """A registry with three active accounts of Truto that the sandbox does not list."""

    @pytest.fixture(autouse=True)
    def others(self, data):
        lms = Integration(name="otherlms", category="lms")
        listed = [IntegratedAccount(id=one, integration=lms) for one in ("a", "b", "c")]
        Registry(data).sync(listed, integrations=(), day=DAY - timedelta(days=1))

    def read_active(self, data):
        return [account.id for account in Registry(data).read_active()]

    def test_the_sensor_warns_with_the_option_and_changes_nothing(self, settings, instance, data, capsys):
        before = data.registry.read_bytes()
        tick = sense(build_defs(settings).get_repository_def(), instance, "account_registry")
        assert tick.skip_message == (
            "Truto's list of accounts lacks 3 of 3 active ones, and the registry was not changed: if they are really gone, "
            "run `lms-pipeline accounts sync --allow-drop` once. Or set this sensor's cursor to allow_drop for one tick."
        )
        assert f"WARNING - {tick.skip_message}" in capsys.readouterr().err
        assert tick.run_requests == []
        assert data.registry.read_bytes() == before
        assert instance.get_dynamic_partitions("account") == []

    def test_a_check_of_the_fleet_fails_until_a_list_is_used(self, settings, instance):
        defs = build_defs(settings)
        job = defs.resolve_job_def("watch_fleet")

        def find_result():
            made = job.execute_in_process(run_config=QUIET_CONFIG, instance=instance).get_asset_check_evaluations()
            return next(one for one in made if one.check_name == "accounts_are_listed")

        assert find_result().passed
        repository = defs.get_repository_def()
        sense(repository, instance, "account_registry")
        failed = find_result()
        assert (failed.passed, failed.severity) == (False, dg.AssetCheckSeverity.ERROR)
        assert "lacks 3 of 3 active ones" in (failed.description or "")
        sense(repository, instance, "account_registry", cursor="allow_drop")
        assert find_result().passed

    def test_the_cursor_allows_the_drop_for_one_tick(self, settings, instance, data):
        repository = build_defs(settings).get_repository_def()
        allowed = sense(repository, instance, "account_registry", cursor="allow_drop")
        assert keys(allowed.run_requests) == ["north|2026-03-10", "south|2026-03-10"]
        assert self.read_active(data) == ["north", "south"]
        assert allowed.cursor == "used at 2026-03-11T02:00:00+00:00"  # Dagster's daemon does not store an empty one
        assert sense(repository, instance, "account_registry", cursor=allowed.cursor).skip_message is None

    @pytest.mark.parametrize("cursor", ["", "yes", "ALLOW_DROP_TOMORROW"])
    def test_another_cursor_allows_nothing(self, settings, instance, data, cursor):
        tick = sense(build_defs(settings).get_repository_def(), instance, "account_registry", cursor=cursor)
        assert "lacks 3 of 3" in (tick.skip_message or "")

    def test_the_cursor_stays_if_truto_does_not_answer(self, settings, instance, sandbox, data):
        sandbox.fault(RevokedToken())
        repository = build_defs(settings).get_repository_def()
        with pytest.raises(PermanentError):
            sense(repository, instance, "account_registry", cursor="allow_drop")
        assert self.read_active(data) == ["a", "b", "c"]
