"""What a stopped pull leaves for its next try."""

import shutil
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.space import measure_free_space
from lms_pipeline.lake.stopped import StoppedPull, find_stopped, forget_stopped, read_stopped, save_stopped

DAY = date(2026, 3, 1)
AT = datetime(2026, 3, 2, 1, tzinfo=UTC)
ACME = Partition("acme", DAY)


def build(account_id="acme", **more):
    return StoppedPull(account_id=account_id, day=DAY, at=AT, reason="It has no end.", **more)


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


def test_is_read_as_it_was_stored_until_it_is_forgotten(data):
    save_stopped(data, build(bounds=(50.0, 9)))
    assert read_stopped(data, ACME) == build(bounds=(50.0, 9))
    forget_stopped(data, ACME)
    assert read_stopped(data, ACME) is None
    forget_stopped(data, ACME)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"account_id":"../x","day":"2026-03-01","at":"x","reason":""}'])
def test_a_damaged_file_counts_as_none(data, content):
    save_stopped(data, build())
    (data.pull_folder(ACME) / "stopped.json").write_bytes(content)
    assert read_stopped(data, ACME) is None
    assert find_stopped(data) == []


def test_all_are_found_by_account_and_day(data):
    for account_id in ("south", "north"):
        save_stopped(data, build(account_id))
    assert [pull.account_id for pull in find_stopped(data)] == ["north", "south"]


@pytest.mark.parametrize(
    ("bounds", "passed", "is_forbidden"),
    [
        ((50, 9), timedelta(0), True),
        ((50, 9), timedelta(hours=6) - timedelta(seconds=1), True),
        ((50, 9), timedelta(hours=6), False),
        ((51, 9), timedelta(0), False),
        ((50, 10), timedelta(0), False),
        ((50, 9), timedelta(seconds=-1), False),  # the clock was set back
    ],
)
def test_a_pull_that_stopped_at_a_bound_is_not_tried_for_six_hours_with_the_same_bounds(bounds, passed, is_forbidden):
    assert build(bounds=(50, 9)).forbids(bounds, AT + passed) is is_forbidden


def test_a_pull_that_stopped_for_lack_of_space_is_tried_as_soon_as_there_is_enough(data, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    stopped = build(bounds=(50, 9), needed_bytes=900_000_000)
    assert not stopped.forbids((50, 9), AT)
    save_stopped(data, stopped)
    assert measure_free_space(data, ACME).needed == 900_000_000
    assert measure_free_space(data, Partition("other", DAY)).needed == 200_000_000
