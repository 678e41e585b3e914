"""Whether a pull has room, by what its account's last snapshot took."""

import shutil
from datetime import timedelta
from typing import NamedTuple

import pytest

from lms_pipeline.lake.disk import FreeSpace, LakeError, check_free_space, room
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline_tests.support.data_directory import put
from lms_pipeline_tests.support.lake_files import FIRST, SECOND, enrollment, publish

SPARSE = 300_000_000


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path / "data")


@pytest.fixture
def free(monkeypatch):
    def say(bytes_):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - bytes_, bytes_))

    return say


def sparse(path, size):
    """A file that says it is so large, and takes no room."""
    put(path, 0)
    with path.open("r+b") as file:
        file.truncate(size)


def test_a_data_directory_that_is_not_there_yet_is_on_the_disk_of_the_folder_above(data, free):
    free(5)
    assert room(data, Partition("acme", FIRST)).free == 5


def test_an_account_of_which_nothing_is_known_needs_200_mb(data, free):
    free(200_000_000)
    assert room(data, Partition("acme", FIRST)) == FreeSpace(200_000_000, 200_000_000)
    assert room(data, Partition("acme", FIRST)).is_enough


def test_a_large_account_needs_three_times_what_its_last_snapshot_left(data, free):
    free(10**9)
    published = publish(data, "acme", FIRST, enrollment("u1")).path.stat().st_size
    sparse(data.answers(Partition("acme", FIRST)), SPARSE)
    sparse(data.details(Partition("acme", FIRST)), 1_000)
    assert room(data, Partition("acme", SECOND)) == FreeSpace(10**9, 3 * (SPARSE + 1_000 + published))


def test_other_accounts_and_later_days_do_not_count(data, free):
    free(10**9)
    for account_id, day in (("other", FIRST), ("acme", SECOND + timedelta(days=1))):
        publish(data, account_id, day, enrollment("u1"))
        sparse(data.answers(Partition(account_id, day)), SPARSE)
    assert room(data, Partition("acme", SECOND)).needed == 200_000_000


def test_too_little_is_told_in_one_sentence(data, free):
    free(150_000_000)
    with pytest.raises(LakeError) as caught:
        check_free_space(data, Partition("acme", FIRST))
    assert str(caught.value) == (
        f"There is no room to pull acme on 2026-03-01: 150.0 MB are free on the disk of {data.root}, and it needs about "
        "200.0 MB; make room and run it again, nothing was asked."
    )
