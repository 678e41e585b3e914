"""The free space that a pull leaves to others while it writes."""

import shutil
from itertools import cycle
from types import SimpleNamespace

import pytest

from lms_pipeline.lake.space import SpaceShortError, SpaceWatch

MB = 10**6
LOOK = 17 * MB
"""Bytes after which the disk is looked at: 16 MiB are 16.8 MB."""


class Disk:
    """A disk on which pulls write, each seen by its own watch."""

    def __init__(self, free):
        self.free = free
        self.looks = 0

    def read_usage(self, _folder):
        self.looks += 1
        return SimpleNamespace(free=self.free)


class Pull:
    """A pull that writes in steps of `LOOK`."""

    def __init__(self, disk, root, held=0, expected=0):
        self.disk, self.held = disk, held
        self.watch = SpaceWatch(root, "The pull of acme on 2026-03-01", lambda: self.held, expected)

    def write(self, size=LOOK):
        self.watch(size)
        self.held += size
        self.disk.free -= size

    def write_until_stopped(self):
        return write_in_turns(self)


def write_in_turns(*pulls):
    """Let pulls write until one is stopped, and return its sentence."""
    for pull in cycle(pulls):
        try:
            pull.write()
        except SpaceShortError as error:
            return str(error)
    return None


@pytest.fixture
def disk(monkeypatch):
    disk = Disk(0)
    monkeypatch.setattr(shutil, "disk_usage", disk.read_usage)
    return disk


def test_a_pull_leaves_as_much_as_it_holds(disk, tmp_path):
    disk.free = 10_000 * MB
    pull = Pull(disk, tmp_path)
    pull.write_until_stopped()
    assert 4_983 * MB <= pull.held <= 5_000 * MB


def test_what_it_held_before_it_began_counts(disk, tmp_path):
    disk.free = 4_000 * MB
    pull = Pull(disk, tmp_path, held=2_000 * MB)
    pull.write_until_stopped()
    assert 2_983 * MB <= pull.held <= 3_000 * MB


@pytest.mark.parametrize("count", [2, 3, 4])
def test_several_pulls_share_the_disk_in_equal_parts_and_leave_one(disk, tmp_path, count):
    disk.free = 10_000 * MB
    pulls = [Pull(disk, tmp_path) for _ in range(count)]
    write_in_turns(*pulls)
    share = 10_000 * MB / (count + 1)
    assert all(abs(pull.held - share) <= 2 * LOOK for pull in pulls)
    assert abs(disk.free - share) <= count * LOOK


def test_a_pull_beside_one_that_holds_half_of_the_disk_still_has_space(disk, tmp_path):
    disk.free = 410 * MB
    Pull(disk, tmp_path).write_until_stopped()
    assert disk.free >= 200 * MB  # what every pull needs to begin
    Pull(disk, tmp_path).write(50 * MB)


def test_the_reserve_stays_free_for_what_else_is_written(disk, tmp_path):
    disk.free = 150 * MB
    pull = Pull(disk, tmp_path)
    assert pull.write_until_stopped() == (
        f"The pull of acme on 2026-03-01 stopped: the disk of {tmp_path} has only 99.0 MB left, which stay free for what "
        "else is written; free some space and run it again."
    )
    assert pull.held == 2 * LOOK


def test_a_pull_of_the_expected_size_leaves_only_what_another_needs_to_begin(disk, tmp_path):
    disk.free = 1_000 * MB
    pull = Pull(disk, tmp_path, expected=900 * MB)
    assert pull.write_until_stopped() == (
        "The pull of acme on 2026-03-01 stopped at 816.0 MB of responses and rows: the 184.0 MB that the disk of "
        f"{tmp_path} has left stay free for other accounts; free some space, or find out why this account sends so much, "
        "and run it again."
    )


def test_the_disk_is_looked_at_once_for_16_mb(disk, tmp_path):
    disk.free = 10_000 * MB
    pull = Pull(disk, tmp_path)
    for _ in range(1_000):
        pull.write(100_000)
    assert disk.looks == 5  # 100 MB


def test_a_small_pull_never_looks(disk, tmp_path):
    disk.free = 0
    Pull(disk, tmp_path).write(16 * 2**20 - 1)
    assert disk.looks == 0
