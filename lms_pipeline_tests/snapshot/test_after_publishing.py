"""Errors after the commit mark: the snapshot is published, so no run fails, and nothing of it is removed."""

from __future__ import annotations

import errno
import logging
import shutil
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.errors import LakeError
from lms_pipeline.extract.checkpoint import Attempt, Checkpoint
from lms_pipeline.extract.checkpoint_file import CheckpointError
from lms_pipeline.extract.plan import FetchPlan
from lms_pipeline.lake.paths import Partition
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.snapshot import volume
from lms_pipeline.snapshot.job import SnapshotJob
from lms_pipeline.snapshot.run import replay_snapshot
from lms_pipeline.storage.local_store import LocalStore
from lms_pipeline.storage.state import StateError
from lms_pipeline.storage.store import StoreError
from lms_pipeline_tests.support.pair_account import PairAccount, build_expected_rows, read_stored_rows
from lms_pipeline_tests.support.portal import PORTAL, Portal

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(scope="module")
def portal():
    """A small portal: most tests pull it."""
    return Portal(learners=12, courses=4, each=2, every=3)


@pytest.fixture(autouse=True)
def every_pull_is_large(monkeypatch):
    """Let a pull of any size count as one that fills the disk."""
    monkeypatch.setattr(volume, "RESERVE_BYTES", 0)


def raising(error):
    def fail(*_args, **_more):
        raise error

    return fail


def put_file_in_place_of_the_folder(account, _patch):
    folder = account.runner.data.fingerprints
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("no folder")


def fail_to_send(account, patch):
    send = LocalStore.send

    def fail(store, new, key):
        if key == account.runner.data.get_key(account.path("details", 0)):
            raise StoreError("The store does not answer.")
        send(store, new, key)

    patch.setattr(LocalStore, "send", fail)


def fail_to_write(error):
    return lambda _account, patch: patch.setattr(FetchPlan, "write_fingerprints", raising(error))


FAULTS = {
    "a file in place of the folder": put_file_in_place_of_the_folder,
    "a full disk": fail_to_write(FULL),
    "a full disk under a query": fail_to_write(duckdb.IOException("IO Error: No space left on device")),
    "a store that does not answer": fail_to_send,
}


class FirstPull(NamedTuple):
    """What the pull of day 0 left, though something failed after it was published."""

    root: Path
    calls: int
    warnings: list[str]


def pull_the_first_day(root, portal, serving, damage):
    """Pull day 0 with what `damage` patches. Any size counts as one that fills the disk."""
    account, logged = PairAccount(root, portal, serving), BufferingHandler(1_000)
    logged.setLevel(logging.WARNING)
    logging.getLogger().addHandler(logged)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(volume, "RESERVE_BYTES", 0)
            damage(account, patch)
            account.run_day(0)
    finally:
        logging.getLogger().removeHandler(logged)
    return FirstPull(root, account.count_calls().total(), [record.getMessage() for record in logged.buffer])


@pytest.fixture(scope="module", params=list(FAULTS.values()), ids=list(FAULTS))
def first_pull(request, tmp_path_factory, portal, serving):
    """The pull of day 0, whose roster fingerprints could not be stored. Read-only, since tests share it."""
    pull = pull_the_first_day(tmp_path_factory.mktemp("first"), portal, serving, request.param)
    fingerprints = PairAccount(pull.root, portal, serving).runner.data.fingerprints
    if fingerprints.is_file():
        fingerprints.unlink()
    return pull


@pytest.fixture
def without_fingerprints(account, first_pull):
    """The account with a copy of that pull's data."""
    shutil.copytree(first_pull.root, account.runner.root, dirs_exist_ok=True)
    return account


def fail_to_finish(_account, patch):
    patch.setattr(Attempt, "finish", raising(CheckpointError("The responses can't be stored.")))


@pytest.fixture(scope="module")
def unfinished_pull(tmp_path_factory, portal, serving):
    """The pull of day 0, which could not be marked as published. Read-only, since tests share it."""
    return pull_the_first_day(tmp_path_factory.mktemp("unfinished"), portal, serving, fail_to_finish)


def list_warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def read_attempt(account):
    """Return whether the pull of day 0 is finished, and how many responses of it are stored."""
    with Checkpoint(account.runner.data.checkpoint_path(Partition(PORTAL, account.date(0)))) as checkpoint:
        [attempt] = checkpoint.attempts()
        return attempt.is_finished, attempt.count_responses()


def replay(account):
    options = AccountOptions(page_size=500, strategy="roster")
    replay_snapshot(SnapshotJob(PORTAL, account.date(0), "again", "enrollment_id", options), data=account.runner.data)


class TestRosterFingerprintsThatCannotBeStored:
    def test_leave_the_snapshot_published(self, without_fingerprints, portal):
        assert read_stored_rows(without_fingerprints, 0) == build_expected_rows(portal, 0)

    def test_leave_the_pull_finished_with_all_its_responses(self, without_fingerprints, first_pull):
        assert read_attempt(without_fingerprints) == (True, first_pull.calls)

    def test_are_one_warning_with_what_they_cost_and_what_to_do(self, first_pull):
        [warning] = first_pull.warnings
        assert warning.startswith(
            "portal on 2026-03-01 is published, but its roster fingerprints are not stored: the next snapshot fetches every "
            "enrollment, unless `lms-pipeline replay --account portal --date 2026-03-01` stores them before, without a call. "
        )

    def test_carry_nothing_over_to_the_next_day(self, without_fingerprints, portal):
        without_fingerprints.run_day(1)
        assert without_fingerprints.count_sources(1).keys() == {"unified"}
        assert read_stored_rows(without_fingerprints, 1) == build_expected_rows(portal, 1)

    def test_are_stored_by_a_replay_without_a_call(self, without_fingerprints):
        without_fingerprints.sandbox.clear_counts()
        replay(without_fingerprints)
        assert without_fingerprints.count_calls().total() == 0
        without_fingerprints.run_day(1)
        assert without_fingerprints.count_sources(1)["carried"] > 0


class TestPullThatCannotBeMarkedAsPublished:
    @pytest.fixture
    def unmarked(self, account, unfinished_pull):
        """The account with a copy of that pull's data."""
        shutil.copytree(unfinished_pull.root, account.runner.root, dirs_exist_ok=True)
        return account

    def test_is_published_with_one_warning(self, unmarked, unfinished_pull, portal):
        assert read_stored_rows(unmarked, 0) == build_expected_rows(portal, 0)
        [warning] = unfinished_pull.warnings
        assert warning == (
            "portal on 2026-03-01 is published, but its responses are not marked so: another pull of the day publishes them "
            "again instead of fetching, unless `lms-pipeline replay --account portal --date 2026-03-01` marks them before. "
            "The responses can't be stored."
        )

    def test_keeps_its_responses(self, unmarked, unfinished_pull):
        assert read_attempt(unmarked) == (False, unfinished_pull.calls)

    def test_is_marked_by_a_replay(self, unmarked):
        replay(unmarked)
        assert read_attempt(unmarked)[0]

    def test_leaves_the_next_day_as_cheap(self, unmarked):
        unmarked.run_day(1)
        assert unmarked.count_sources(1)["carried"] > 0


def test_responses_that_cannot_be_marked_say_nothing_of_a_replay_without_enrollments(account, monkeypatch, caplog):
    fail_to_finish(account, monkeypatch)
    account.run_day(0, tables=["learners"])
    [warning] = list_warnings(caplog)
    assert "replay" not in warning


@pytest.mark.parametrize("error", [LakeError("The note can't be removed."), StateError("The database is gone.")])
def test_the_note_of_a_stop_that_cannot_be_removed_fails_no_run(account, portal, monkeypatch, caplog, error):
    monkeypatch.setattr(volume, "forget_stopped", raising(error))
    account.run_day(0)
    assert read_stored_rows(account, 0) == build_expected_rows(portal, 0)
    [warning] = list_warnings(caplog)
    assert warning == (
        "portal on 2026-03-01 is published, but the note of an earlier pull that stopped stays until housekeeping removes it. "
        f"{error}"
    )


@pytest.mark.parametrize("tables", [["learners"], ["unified_enrollments"]])
def test_the_checkpoint_is_not_read_once_the_snapshot_is_published(account, monkeypatch, tables):
    publish, sent = Publication.publish, account.run_day(0, tables=tables).requests

    def publish_and_break(publication, files):
        published = publish(publication, files)
        monkeypatch.setattr(Attempt, "requests", property(raising(CheckpointError("The responses can't be read."))))
        return published

    monkeypatch.setattr(Publication, "publish", publish_and_break)
    assert account.run_day(0, tables=tables).requests == sent
