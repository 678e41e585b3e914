"""The free space that a pull needs, by the size of its account's latest snapshot."""

import shutil
from datetime import timedelta
from typing import NamedTuple

import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.space import FreeSpace, check_free_space, measure_free_space
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
    def set_free(bytes_):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - bytes_, bytes_))

    return set_free


def sparse(path, size):
    """Create a file of this size that takes no space."""
    put(path, 0)
    with path.open("r+b") as file:
        file.truncate(size)


def test_a_data_directory_that_does_not_exist_yet_is_on_the_disk_of_the_folder_above(data, free):
    free(5)
    assert measure_free_space(data, Partition("acme", FIRST)).free == 5


def test_an_account_without_a_snapshot_needs_200_mb(data, free):
    free(200_000_000)
    assert measure_free_space(data, Partition("acme", FIRST)) == FreeSpace(200_000_000, 200_000_000)
    check_free_space(data, Partition("acme", FIRST))


def test_a_large_account_needs_three_times_the_size_of_its_latest_snapshot(data, free):
    free(10**9)
    published = publish(data, "acme", FIRST, enrollment("u1")).path.stat().st_size
    sparse(data.checkpoint_path(Partition("acme", FIRST)), SPARSE)
    sparse(data.fingerprints_path(Partition("acme", FIRST)), 1_000)
    assert measure_free_space(data, Partition("acme", SECOND)) == FreeSpace(10**9, 3 * (SPARSE + 1_000 + published))


def test_other_accounts_and_later_days_do_not_count(data, free):
    free(10**9)
    for account_id, day in (("other", FIRST), ("acme", SECOND + timedelta(days=1))):
        publish(data, account_id, day, enrollment("u1"))
        sparse(data.checkpoint_path(Partition(account_id, day)), SPARSE)
    assert measure_free_space(data, Partition("acme", SECOND)).needed == 200_000_000


def test_too_little_free_space_is_an_error_in_one_sentence(data, free):
    free(150_000_000)
    with pytest.raises(LakeError) as caught:
        check_free_space(data, Partition("acme", FIRST))
    assert str(caught.value) == (
        f"There is not enough free space to pull acme on 2026-03-01: the disk of {data.root} has 150.0 MB free, and the "
        "pull needs about 200.0 MB; free some space and run it again, no request was sent."
    )
