"""The store on the local disk: a part of a file is of the file that was found."""

import pytest

from lms_pipeline.errors import LakeError
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
