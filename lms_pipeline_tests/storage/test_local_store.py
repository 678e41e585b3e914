"""The store on the local disk: a part of a file is of the file that was found."""

import errno
import os
from pathlib import Path

import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.storage.disk import measure_freed, measure_size
from lms_pipeline.storage.local_store import LocalStore
from lms_pipeline.storage.store import StoreError


@pytest.fixture
def store(tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789")
    return LocalStore(tmp_path)


def test_a_part_of_a_file_is_read(store):
    file = store.find("file")
    assert [store.read_range(file, *part) for part in ((0, 3), (8, 9), (10, 5))] == [b"012", b"89", b""]


def test_a_part_of_a_replaced_file_is_not_read(store, tmp_path):
    file = store.find("file")
    (tmp_path / "new").write_bytes(b"9876543210")
    (tmp_path / "new").replace(tmp_path / "file")
    with pytest.raises(StoreError, match=r"file can't be read: it was replaced meanwhile; try again\.$"):
        store.read_range(file, 0, 3)


def test_a_part_of_a_removed_file_is_not_read(store, tmp_path):
    file = store.find("file")
    (tmp_path / "file").unlink()
    with pytest.raises(StoreError, match=r"file can't be read: it was removed meanwhile; try again\.$"):
        store.read_range(file, 0, 3)


def test_a_folder_in_place_of_a_file_is_no_failure_that_passes(store, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(LakeError, match=r"folder can't be read: Is a directory\.$") as error:
        store.read_range(store.find("folder"), 0, 3)
    assert not error.value.may_pass


class TestAFolderOfAnotherUser:
    """What `sudo lms-pipeline` leaves: root, who may look anywhere, runs these tests, so the refusal is the disk's in their place."""

    @pytest.fixture(autouse=True)
    def _refused(self, tmp_path, monkeypatch):
        folder = tmp_path / "of" / "root"
        folder.mkdir(parents=True)
        stat, scandir = Path.stat, os.scandir

        def refuse(path):
            if Path(path).is_relative_to(folder):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))

        def look_at(path, **options):
            if path != folder:
                refuse(path)
            return stat(path, **options)

        def look_into(path):
            refuse(path)
            return scandir(path)

        monkeypatch.setattr(Path, "stat", look_at)
        monkeypatch.setattr(os, "scandir", look_into)

    def test_is_one_sentence_when_a_file_in_it_is_looked_for(self, store):
        with pytest.raises(
            LakeError, match=r"/of/root/file can't be read: check who owns LMS_DATA_DIR, and its permissions\.$"
        ):
            store.find("of/root/file")

    def test_is_one_sentence_when_files_are_listed(self, store):
        with pytest.raises(
            LakeError, match=r"/of/root can't be read: check who owns LMS_DATA_DIR, and its permissions\.$"
        ):
            list(store.list_files("of/"))

    @pytest.mark.parametrize("measure", [measure_size, measure_freed])
    def test_has_no_size(self, tmp_path, measure):
        (tmp_path / "of" / "root" / "file").write_bytes(b"1234")
        assert measure(tmp_path / "of") == 0

    def test_has_no_folders_to_list(self, store):
        assert (store.list_folders("of/"), store.list_folders("of/root/")) == (["root"], [])


def test_a_file_below_a_file_is_not_there(store):
    assert store.find("file/below") is None


def test_a_disk_that_fails_is_one_sentence(store, monkeypatch):
    def fail(_path, **_options):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "stat", fail)
    with pytest.raises(LakeError, match=r"/file can't be read: Input/output error; check what is at that path\.$"):
        store.find("file")
