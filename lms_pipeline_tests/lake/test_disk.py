"""Writing files that survive a crash, errors of the disk in one sentence, sizes for people."""

import os
import stat

import pytest

from lms_pipeline.lake.disk import LakeError, atomic_write, format_bytes
from lms_pipeline_tests.support.lake_files import files_of_at_most


@pytest.fixture
def calls(monkeypatch):
    """What is brought to the disk and what is renamed, in order."""
    calls = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor):
        calls.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def record_replace(source, target):
        calls.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    return calls


class TestAtomicWrite:
    def test_syncs_the_file_before_the_rename_and_the_folder_after_it(self, tmp_path, calls):
        path = tmp_path / "state" / "accounts.json"
        with atomic_write(path) as new:
            new.write_text("new")
            assert calls == []
        assert calls == ["sync file", "rename", "sync folder"]
        assert path.read_text() == "new"

    def test_leaves_no_other_file(self, tmp_path):
        path = tmp_path / "accounts.json"
        path.write_text("old")
        with atomic_write(path) as new:
            new.write_text("new")
        assert [file.name for file in tmp_path.iterdir()] == ["accounts.json"]

    def test_keeps_the_old_file_until_the_block_ends(self, tmp_path):
        path = tmp_path / "accounts.json"
        path.write_text("old")
        with atomic_write(path) as new:
            new.write_text("new")
            assert path.read_text() == "old"

    def test_keeps_the_old_file_if_the_block_raises(self, tmp_path, calls):
        path = tmp_path / "accounts.json"
        path.write_text("old")

        def fail():
            with atomic_write(path) as new:
                new.write_text("half")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert path.read_text() == "old"
        assert [file.name for file in tmp_path.iterdir()] == ["accounts.json"]
        assert calls == []

    def test_keeps_the_old_file_on_a_full_disk(self, tmp_path):
        path = tmp_path / "accounts.json"
        path.write_text("old")
        with (
            files_of_at_most(1_000),
            pytest.raises(LakeError, match=r"accounts\.json can't be written: the file is larger than"),
            atomic_write(path) as new,
        ):
            new.write_bytes(bytes(2_000))
        assert path.read_text() == "old"

    def test_keeps_the_old_file_if_the_new_one_can_not_be_synced(self, tmp_path, monkeypatch):
        path = tmp_path / "accounts.json"
        path.write_text("old")

        def fail(_):
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(LakeError, match=r"accounts\.json can't be written"), atomic_write(path) as new:
            new.write_text("new")
        assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 KB"),
        (1_250_000, "1.2 MB"),
        (200_000_000, "200.0 MB"),
        (31_040_000_000, "31.0 GB"),
        (5_000_000_000_000, "5000.0 GB"),
    ],
)
def test_sizes_have_the_unit_that_people_read(size, text):
    assert format_bytes(size) == text
