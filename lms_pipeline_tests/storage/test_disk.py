"""Writing files that survive a crash, errors of the disk in one sentence, sizes for people."""

import errno
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from httpx import Headers

from lms_pipeline.errors import LakeError
from lms_pipeline.storage.disk import atomic_write, format_bytes, is_disk_full, remove_file
from lms_pipeline.truto.errors import build_error
from lms_pipeline_tests.support.damages import put_folder
from lms_pipeline_tests.support.lake_files import limit_file_size


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

    @pytest.mark.parametrize("name", ["board.new", "board", "board.pdf", "board.html.bak"])
    def test_leaves_files_with_a_similar_name(self, tmp_path, name):
        other = tmp_path / name
        other.write_text("another file")
        with atomic_write(tmp_path / "board.html") as new:
            new.write_text("new")
        assert other.read_text() == "another file"

    def test_writes_a_file_whose_name_ends_with_new(self, tmp_path):
        path = tmp_path / "board.new"
        with atomic_write(path) as new:
            new.write_text("new")
        assert path.read_text() == "new"

    def test_keeps_the_old_file_on_a_full_disk(self, tmp_path):
        path = tmp_path / "accounts.json"
        path.write_text("old")
        with (
            limit_file_size(1_000),
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

    def test_sets_a_folder_in_the_place_of_the_file_aside(self, tmp_path, caplog):
        path = tmp_path / "accounts.json"
        put_folder(path)
        with atomic_write(path) as new:
            new.write_text("new")
        assert path.read_text() == "new"
        assert (tmp_path / "accounts.json.damaged" / "file").exists()
        [message] = caplog.messages
        assert message == (
            f"{path} is damaged (a folder stands in its place): it is now {path}.damaged, and it is written again."
        )

    def test_leaves_a_folder_in_the_place_of_the_file_if_the_block_raises(self, tmp_path):
        path = tmp_path / "accounts.json"
        put_folder(path)

        def fail():
            with atomic_write(path):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert (path / "file").exists()


class TestRemoveFile:
    def test_removes_a_file_and_nothing_where_there_is_none(self, tmp_path, caplog):
        path = tmp_path / "stopped.json"
        path.touch()
        for _ in range(2):
            remove_file(path, "the pull begins again")
            assert not path.exists()
        assert caplog.messages == []

    def test_sets_a_folder_in_its_place_aside(self, tmp_path, caplog):
        path = tmp_path / "stopped.json"
        put_folder(path)
        remove_file(path, "the pull begins again")
        assert [file.name for file in tmp_path.iterdir()] == ["stopped.json.damaged"]
        assert caplog.messages[0].endswith("and the pull begins again.")

    def test_that_can_not_be_is_one_sentence(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(LakeError, match=r"stopped\.json can't be written"):
            remove_file(tmp_path / "file" / "stopped.json", "the pull begins again")


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


def fill_sqlite(path):
    """Return SQLite's error of a database that may not grow."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE one (a)")
        database.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.OperationalError) as caught:
            database.execute("INSERT INTO one VALUES (zeroblob(100000))")
    return caught.value


class TestFullDisk:
    @pytest.mark.parametrize(
        ("error", "is_full"),
        [
            (OSError(errno.ENOSPC, "No space left on device"), True),
            (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
            (OSError(errno.EACCES, "Permission denied"), False),
            (duckdb.IOException('IO Error: Could not write file "a": No space left on device'), True),
            (duckdb.IOException('IO Error: Could not read file "a"'), False),
            (pa.ArrowInvalid("IO Error: No space left on device"), True),
            (sqlite3.OperationalError("No space left on device"), True),
            (LakeError("a can't be written"), False),
            (LakeError("The server says: No space left on device"), False),
            (ValueError("No space left on device"), False),
            (
                build_error(500, Headers(), b'{"message": "No space left on device"}', "GET /unified/lms/users", []),
                False,
            ),
        ],
    )
    def test_is_recognized_in_each_librarys_error(self, error, is_full):
        assert is_disk_full(error) is is_full

    def test_is_recognized_in_sqlites_error(self, tmp_path):
        assert is_disk_full(fill_sqlite(tmp_path / "a.sqlite"))

    @pytest.mark.parametrize("is_hidden", [True, False])
    def test_is_recognized_behind_the_error_that_was_raised_for_it(self, is_hidden):
        path = Path("/dev/full")

        def raise_converted():
            try:
                path.write_bytes(b"x")
            except OSError as error:
                raise LakeError("a can't be written") from (None if is_hidden else error)

        with pytest.raises(LakeError) as caught:
            raise_converted()
        assert is_disk_full(caught.value)

    def test_is_not_looked_for_without_an_end_in_errors_that_name_each_other(self):
        first, second = LakeError("one"), LakeError("other")
        first.__cause__, second.__cause__ = second, first
        assert not is_disk_full(first)
