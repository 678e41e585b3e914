"""Space that a pull takes back from failed pulls, when it needs some."""

import shutil
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.lock import partition_lock
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.reclaim import make_space
from lms_pipeline.lake.stopped import StoppedPull, save_stopped
from lms_pipeline.lake.waiting import WaitingPull, save_waiting
from lms_pipeline.storage.disk import measure_size
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.bucket import FolderBucket, open_in_bucket
from lms_pipeline_tests.support.data_directory import put
from lms_pipeline_tests.support.lake_files import FIRST, SECOND, enrollment, publish

MB = 10**6
OWN = Partition("acme", SECOND)
FLOOD = Partition("flood", SECOND)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A disk of 300 MB."""
    data = DataDir(tmp_path / "data")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=300 * MB - measure_size(data.root)))
    return data


def leave(path, size):
    """Create a file of this size that takes no space."""
    put(path, 0)
    with path.open("r+b") as file:
        file.truncate(size)
    return path


@pytest.fixture
def responses(data):
    return leave(data.checkpoint_path(FLOOD), 200 * MB)


def test_responses_staged_rows_and_unpublished_files_of_a_failed_pull_are_removed(data, responses, caplog):
    left = [
        responses,
        leave(responses.with_name(f"{responses.name}-wal"), MB),
        leave(data.checkpoint_path(FLOOD).with_suffix(".lists.sqlite"), MB),
        leave(data.pull_folder(FLOOD) / "waiting" / "unified_enrollments.parquet", MB),
        leave(data.unpublished_file(RAW_ENROLLMENTS, FLOOD, "run-9"), MB),
    ]
    make_space(data, OWN)
    assert not any(path.exists() for path in left)
    [message] = caplog.messages
    assert message == (
        "Removed 204.0 MB of responses and rows of flood on 2026-03-02, whose pull did not end: acme on 2026-03-02 needs the "
        "space. The next pull of it begins from its first request."
    )


def test_nothing_is_removed_while_there_is_space(data):
    path = leave(data.checkpoint_path(FLOOD), 100 * MB)
    make_space(data, OWN)
    assert path.exists()


def test_no_more_is_removed_than_is_needed_the_oldest_day_first_then_the_largest(data):
    large = leave(data.checkpoint_path(FLOOD), 90 * MB)
    small = leave(data.checkpoint_path(Partition("small", SECOND)), 50 * MB)
    old = leave(data.checkpoint_path(Partition("old", FIRST)), 10 * MB)
    make_space(data, OWN)
    assert [path.exists() for path in (old, large, small)] == [False, False, True]


def test_nothing_is_removed_if_all_of_it_is_not_enough(data):
    publish(data, "kept", SECOND, enrollment("u1"))
    leave(data.checkpoint_path(Partition("kept", SECOND)), 150 * MB)
    path = leave(data.checkpoint_path(FLOOD), 40 * MB)
    with pytest.raises(LakeError, match="not enough free space"):
        make_space(data, OWN)
    assert path.exists()


def test_responses_of_a_published_snapshot_stay_and_the_pull_is_refused(data, responses):
    publish(data, "flood", SECOND, enrollment("u1"))
    with pytest.raises(LakeError, match=r"^There is not enough free space to pull acme on 2026-03-02"):
        make_space(data, OWN)
    assert responses.exists()


def test_rows_of_a_killed_pull_of_a_published_day_are_removed_and_its_snapshot_stays(data):
    published = publish(data, "flood", SECOND, enrollment("u1")).path
    staged = leave(data.pull_folder(FLOOD) / "waiting" / "unified_enrollments.parquet", 150 * MB)
    half = leave(data.unpublished_file(UNIFIED_ENROLLMENTS, FLOOD, "run-9"), MB)
    make_space(data, OWN)
    assert (staged.exists(), half.exists(), published.exists()) == (False, False, True)


def test_responses_of_a_running_pull_stay(data, responses):
    with partition_lock(data, FLOOD), pytest.raises(LakeError, match="not enough free space"):
        make_space(data, OWN)
    assert responses.exists()


def test_nothing_is_removed_for_a_pull_that_only_the_responses_of_a_running_one_would_give_space(
    data, responses, caplog
):
    left = [leave(data.checkpoint_path(Partition("small", SECOND)), 5 * MB), leave(data.checkpoint_path(OWN), 3 * MB)]
    with partition_lock(data, FLOOD), pytest.raises(LakeError, match="not enough free space"):
        make_space(data, OWN)
    assert all(path.exists() for path in left)
    assert caplog.messages == []


def test_nothing_is_removed_for_links_to_files_that_stay(data, caplog):
    published = publish(data, "large", FIRST, enrollment("u1")).path
    leave(published, 60 * MB)
    scratch = data.pull_folder(FLOOD) / "waiting"
    scratch.mkdir(parents=True)
    for number in range(2):
        (scratch / f"previous-{number}.parquet").hardlink_to(published)
    left = leave(scratch / "unified_enrollments.parquet", 5 * MB)
    with pytest.raises(LakeError, match="not enough free space"):
        make_space(data, OWN)
    assert left.exists()
    assert caplog.messages == []


def lack(data, partition, needed_bytes):
    """Store that the pull of a partition stopped for lack of space."""
    at = datetime.now(UTC)
    pull = StoppedPull(
        account_id=partition.account_id, day=partition.day, at=at, reason="It is full.", needed_bytes=needed_bytes
    )
    save_stopped(data, pull)


class TestPullThatStoppedForLackOfSpace:
    def test_is_refused_and_takes_nothing_from_others_beyond_what_any_pull_needs(self, data):
        other = leave(data.checkpoint_path(FLOOD), 30 * MB)
        lack(data, OWN, 290 * MB)
        with pytest.raises(LakeError, match=r"has 270\.0 MB free, and the pull needs about 290\.0 MB"):
            make_space(data, OWN)
        assert other.exists()

    def test_takes_from_others_what_any_pull_needs(self, data):
        left = [
            leave(data.checkpoint_path(Partition(account_id, SECOND)), size * MB)
            for account_id, size in (("large", 90), ("small", 50))
        ]
        lack(data, OWN, 150 * MB)
        make_space(data, OWN)
        assert [path.exists() for path in left] == [False, True]

    def test_takes_its_own_responses_for_the_rest(self, data):
        own, other = leave(data.checkpoint_path(OWN), 50 * MB), leave(data.checkpoint_path(FLOOD), 20 * MB)
        lack(data, OWN, 270 * MB)
        make_space(data, OWN)
        assert (own.exists(), other.exists()) == (False, True)


def wait(data, since):
    """Store that the pull of `FLOOD` waits for an hour."""
    waiting = WaitingPull(
        account_id="flood",
        day=SECOND,
        run_id="run-9",
        since=since,
        at=since + timedelta(hours=1),
        subject="The LMS",
        spent_seconds=1,
        responses=1,
    )
    data.pull_folder(FLOOD).mkdir(parents=True)
    save_waiting(data, waiting)


def test_responses_of_a_pull_that_no_run_has_continued_in_time_are_removed(data, responses):
    wait(data, datetime.now(UTC) - timedelta(hours=2))
    make_space(data, OWN)
    assert not responses.exists()


def test_responses_of_a_pull_that_waits_for_its_lms_stay(data, responses):
    wait(data, datetime.now(UTC))
    with pytest.raises(LakeError, match="not enough free space"):
        make_space(data, OWN)
    assert responses.exists()


def test_a_pull_begins_again_without_its_own_responses_if_only_that_gives_it_space(data):
    own = leave(data.checkpoint_path(OWN), 200 * MB)
    make_space(data, OWN)
    assert not own.exists()


def test_own_responses_stay_if_without_them_there_is_too_little_space_too(data):
    publish(data, "other", SECOND, enrollment("u1"))
    leave(data.checkpoint_path(Partition("other", SECOND)), 150 * MB)
    own = leave(data.checkpoint_path(OWN), 40 * MB)
    with pytest.raises(LakeError, match="not enough free space"):
        make_space(data, OWN)
    assert own.exists()


def test_files_that_are_nobodys_pull_stay(data):
    strange = [
        leave(data.checkpoints / "account_id=flood" / "notes.sqlite", 200 * MB),
        leave(data.pulls / "account_id=flood" / "snapshot_date=never" / "waiting" / "x", MB),
    ]
    with pytest.raises(LakeError, match="not enough free space"):
        make_space(data, OWN)
    assert all(path.exists() for path in strange)


@pytest.fixture
def copies(data, tmp_path):
    """The same disk as scratch of a bucket."""
    return open_in_bucket(data.root, FolderBucket(data.root, tmp_path / "bucket"))


def test_copies_of_responses_in_a_bucket_are_removed_without_a_request_for_them(copies, caplog):
    left = leave(copies.checkpoint_path(FLOOD), 200 * MB)
    make_space(copies, OWN)
    assert (left.exists(), [key for _, key in copies.store.log if FLOOD.account_id in key]) == (False, [])
    assert caplog.messages[0].endswith("The next pull of it continues with what is stored of it.")


def test_own_responses_stay_where_a_bucket_would_bring_them_back(copies):
    own = leave(copies.checkpoint_path(OWN), 250 * MB)
    with pytest.raises(LakeError):
        make_space(copies, OWN)
    assert own.exists()
