"""Housekeeping keeps what an account needs to carry enrollments over after weeks without a pull."""

from datetime import UTC, datetime, time, timedelta

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.housekeeping.cleanup import find_expired, remove
from lms_pipeline.housekeeping.policy import RetentionPolicy
from lms_pipeline.sandbox import running
from lms_pipeline_tests.support.portal import FIRST, PORTAL, Portal
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner

WEEKS = 40
OPTIONS = AccountOptions(strategy="roster", page_size=5, rotation_days=0)


@pytest.fixture
def portal():
    with running(Portal(learners=20, courses=4, each=2, every=10)) as sandbox:
        yield sandbox


def test_an_account_that_failed_for_weeks_fetches_only_what_changed(tmp_path, portal):
    runner = SnapshotRunner(tmp_path, portal.url, portal.token)

    def run_day(number):
        day = FIRST + timedelta(days=number)
        portal.set_clock(datetime.combine(FIRST, time.max, UTC))  # nothing changes in these weeks
        now = datetime.combine(day + timedelta(days=1), time(1), UTC)
        return runner.run(account_id=PORTAL, day=day, now=now, identity="pair", options=OPTIONS)

    pairs = run_day(0).rows.served
    expired = find_expired(runner.data, RetentionPolicy(today=FIRST + timedelta(days=WEEKS)))
    assert [item.kind for item in remove(runner.data, expired)] == ["answers"]
    assert run_day(WEEKS + 1).rows.carried == pairs == 40
