"""An account that was not pulled for weeks carries over all the same, by what housekeeping left of it."""

from datetime import UTC, datetime, time, timedelta

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.housekeeping.cleanup import planned, remove
from lms_pipeline.housekeeping.policy import RetentionPolicy
from lms_pipeline.sandbox.server import running
from lms_pipeline_tests.pull.portal import FIRST, PORTAL, Portal
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner

WEEKS = 40
OPTIONS = AccountOptions(strategy="roster", page_size=5, rotation_days=0)


@pytest.fixture
def portal():
    with running(Portal(learners=20, courses=4, each=2, every=10)) as sandbox:
        yield sandbox


def test_an_account_that_failed_for_weeks_asks_for_no_more_than_what_changed(tmp_path, portal):
    taker = SnapshotRunner(tmp_path, portal.url, portal.token)

    def take(number):
        day = FIRST + timedelta(days=number)
        portal.set_clock(datetime.combine(FIRST, time.max, UTC))  # nothing changes meanwhile
        now = datetime.combine(day + timedelta(days=1), time(1), UTC)
        return taker.run(account_id=PORTAL, day=day, now=now, identity="pair", options=OPTIONS)

    pairs = take(0).rows.served
    due = planned(taker.data, RetentionPolicy(today=FIRST + timedelta(days=WEEKS)))
    assert [one.kind for one in remove(taker.data, due)] == ["answers"]
    assert take(WEEKS + 1).rows.carried == pairs == 40
