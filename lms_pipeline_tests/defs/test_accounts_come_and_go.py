"""Accounts that are added to Truto, removed from it, and added again, as the sensor `account_registry` finds them."""

from contextlib import contextmanager
from datetime import timedelta

import dagster as dg
import pytest
from pydantic import SecretStr

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.lake.paths import Partition
from lms_pipeline.sandbox import records_world, running
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
        runs = run_partitions(defs, instance, [Partition(one, DAY) for one in ("north", "south")])
        assert [run.error for run in runs] == [None, None]
    with truto("north", days=1) as defs:
        assert sync(defs, instance) == []
        assert find_requested(defs, instance, days=1) == ["north|2026-03-11"]
    assert Registry(data.registry).get("south").status == "gone"
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
    first_days = {account.id: account.first_day for account in Registry(data.registry).read_accounts()}
    assert first_days == {"north": DAY, "south": DAY + timedelta(days=3)}


def test_an_account_with_a_broken_connection_is_marked_and_gets_no_run(truto, instance, data):
    with truto("north", "south") as defs:
        sync(defs, instance)
        lms = Integration(name="talentlms", category="lms")
        listed = [
            IntegratedAccount(id="north", integration=lms),
            IntegratedAccount(id="south", status="needs_reauth", integration=lms),
        ]
        Registry(data.registry).sync(listed, integrations=(), day=DAY)
        assert find_requested(defs, instance) == ["north|2026-03-10"]
    assert Registry(data.registry).get("south").status == "needs_reauth"
