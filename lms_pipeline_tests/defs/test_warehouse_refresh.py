"""The sensor `warehouse_refresh`: after what it requests a build of the warehouse, and when again."""

import dagster as dg
import pytest

from lms_pipeline.definitions import build_defs
from lms_pipeline.defs.instance import run_partitions
from lms_pipeline.lake.paths import Partition
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.defs.test_automation import repository, run_all, sense

__all__ = ["repository"]


def test_the_warehouse_is_rebuilt_once_after_something_was_published(repository, settings, instance, registry):
    assert sense(repository, instance, "warehouse_refresh").run_requests == []
    select = ["unified_enrollments", "account_completion"]
    (run,) = run_partitions(build_defs(settings), instance, [Partition("north", DAY)], select)
    assert run.error is None
    first = sense(repository, instance, "warehouse_refresh")
    assert len(first.run_requests) == 1
    assert sense(repository, instance, "warehouse_refresh", first.cursor).run_requests == []


@pytest.mark.parametrize(("roll_up", "requested"), [("on", 1), ("off", 0)])
def test_with_roll_ups_the_warehouse_is_rebuilt_after_a_pull_without_metrics(
    settings, instance, registry, roll_up, requested
):
    assert run_all(settings, instance, "north") == [None]
    repository = build_defs(settings.model_copy(update={"roll_up": roll_up})).get_repository_def()
    assert len(sense(repository, instance, "warehouse_refresh").run_requests) == requested


class TestAFailedBuildOfTheWarehouse:
    @pytest.fixture
    def cursor(self, repository, instance):
        instance.report_runless_asset_event(dg.AssetMaterialization("account_completion", partition="north|2026-03-10"))
        return sense(repository, instance, "warehouse_refresh").cursor

    @pytest.fixture
    def build(self, settings, instance):
        def build(**tags):
            job = build_defs(settings).resolve_job_def("rebuild_warehouse")
            return instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)

        return build

    @pytest.fixture
    def fail(self, build, instance):
        def fail(**tags):
            run = build(**tags)
            instance.report_run_failed(run)
            return run

        return fail

    @pytest.fixture
    def an_hour_later(self, monkeypatch):
        monkeypatch.setattr("lms_pipeline.defs.sensors.REPEAT_SECONDS", 0.0)

    @pytest.mark.usefixtures("an_hour_later")
    def test_is_repeated(self, repository, instance, cursor, fail):
        failed = fail(**{"dagster/max_retries": "0"})
        [request] = sense(repository, instance, "warehouse_refresh", cursor).run_requests
        assert request.run_key == f"{cursor} after {failed.run_id}"

    def test_is_not_repeated_at_once(self, repository, instance, cursor, fail):
        fail(**{"dagster/max_retries": "0"})
        assert sense(repository, instance, "warehouse_refresh", cursor).run_requests == []

    @pytest.mark.usefixtures("an_hour_later")
    def test_is_not_repeated_while_dagster_is_about_to_retry(self, repository, instance, cursor, fail):
        fail(**{"dagster/retry_on_asset_or_op_failure": "true"})
        assert sense(repository, instance, "warehouse_refresh", cursor).run_requests == []

    @pytest.mark.usefixtures("an_hour_later")
    def test_is_not_repeated_while_another_one_runs(self, repository, instance, cursor, fail, build):
        fail(**{"dagster/max_retries": "0"})
        build()
        assert sense(repository, instance, "warehouse_refresh", cursor).run_requests == []
