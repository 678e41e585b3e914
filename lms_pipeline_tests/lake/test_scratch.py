"""Temporary folders: they end with their process, and those of killed ones are found."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

from lms_pipeline.housekeeping.policy import RetentionPolicy
from lms_pipeline.lake import scratch
from lms_pipeline.lake.scratch import find_abandoned_scratch, remove_scratch, scratch_folder
from lms_pipeline_tests.support.data_directory import TODAY, age

POLICY = RetentionPolicy(today=TODAY)
HOLD = """
import sys
from lms_pipeline.lake.scratch import scratch_folder
with scratch_folder("checks") as folder:
    (folder / "rows.parquet").write_bytes(b"personal")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A folder of temporary files of its own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def process():
    """Another process that holds a folder until it is killed."""
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.folder = Path(running.stdout.readline().decode().strip())  # type: ignore[attr-defined]
        yield running
        running.kill()


def find():
    return list(find_abandoned_scratch(POLICY.is_abandoned))


def test_a_folder_is_empty_at_the_start_and_gone_at_the_end(temporary):
    with scratch_folder("metrics") as folder:
        assert list(folder.iterdir()) == []
        assert folder.parent.name.startswith("lms-metrics-")
        (folder / "rows").touch()
    assert list(temporary.iterdir()) == []


def test_a_folder_goes_with_an_error_too(temporary):
    with pytest.raises(ValueError, match="no"), scratch_folder("checks"):
        raise ValueError("no")
    assert list(temporary.iterdir()) == []


def test_a_folder_of_a_process_that_lives_stays(process):
    age(process.folder.parent, days_ago=9)
    assert find() == []


def test_a_folder_of_this_process_stays():
    with scratch_folder("checks"):
        assert find() == []


def test_a_folder_of_a_killed_process_is_found_at_once_and_removed(process, temporary):
    process.kill()
    process.wait()
    assert (process.folder / "rows.parquet").exists()

    (found,) = find()
    remove_scratch(found)

    assert found == process.folder.parent
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(("days_ago", "is_found"), [(1.9, False), (2.1, True)])
def test_a_folder_of_an_older_version_is_found_by_its_age(temporary, days_ago, is_found):
    folder = temporary / "lms-checks-abc123"
    folder.mkdir()
    age(folder, days_ago)
    assert find() == ([folder] if is_found else [])


@pytest.mark.parametrize("name", ["lms-other-abc", "tmpabc", "lms-checksum"])
def test_folders_of_other_programs_stay(temporary, name):
    folder = temporary / name
    folder.mkdir()
    age(folder, days_ago=9)
    assert find() == []


def test_a_link_is_no_folder_of_ours(temporary, tmp_path):
    (tmp_path / "mine").mkdir()
    (temporary / "lms-checks-link").symlink_to(tmp_path / "mine")
    age(tmp_path / "mine", days_ago=9)
    assert find() == []


def test_a_folder_of_another_user_stays(temporary, monkeypatch):
    folder = temporary / "lms-checks-theirs"
    folder.mkdir()
    age(folder, days_ago=9)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    assert find() == []


def test_a_folder_that_a_housekeeping_removes_before_its_lock_is_held_is_made_again(monkeypatch, temporary):
    removed: list[Path] = []

    class LateLock(FileLock):
        def acquire(self, *args, **more):
            proxy = super().acquire(*args, **more)
            if not removed:
                removed.append(Path(self.lock_file).parent)
                shutil.rmtree(removed[0])
            return proxy

    monkeypatch.setattr(scratch, "FileLock", LateLock)
    with scratch_folder("checks") as folder:
        assert list(temporary.iterdir()) == [folder.parent]
        assert folder.parent != removed[0]
