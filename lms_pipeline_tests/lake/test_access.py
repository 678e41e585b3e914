"""The modes of files and folders in the data directory."""

import logging
import os
import stat

import pytest

from lms_pipeline.lake.access import restrict_access
from lms_pipeline.settings import Settings

MODES = {None: (0o700, 0o600), "group": (0o750, 0o640)}


@pytest.fixture(autouse=True)
def open_umask():
    """Restore the umask of the tests: files of `tmp_path` begin with the modes that most machines give them."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def data(tmp_path):
    """A data directory that an installation with the usual umask wrote."""
    root = tmp_path / "data"
    for path in ("lake/learners/data.parquet", "state/accounts.json", "answers/a/b.sqlite", "dagster/history/runs.db"):
        file = root / path
        file.parent.mkdir(parents=True)
        file.write_text("x", encoding="utf-8")
    (root / "lms.duckdb").write_text("x", encoding="utf-8")
    return root


def _restrict(root, share=None):
    restrict_access(Settings(data_dir=root, share=share))


def _read_modes(root):
    paths = [path for path in root.rglob("*") if not path.is_symlink()]
    folders = {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()}
    files = {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()}
    return folders, files


@pytest.mark.parametrize("share", MODES)
def test_new_files_are_private_from_the_first_byte(tmp_path, share):
    _restrict(tmp_path / "data", share)
    (tmp_path / "data" / "state").mkdir(parents=True)
    (tmp_path / "data" / "state" / "x").touch()
    folder, file = MODES[share]
    assert _read_modes(tmp_path / "data") == ({folder}, {file})


@pytest.mark.parametrize("share", MODES)
def test_an_existing_tree_is_repaired(data, share):
    _restrict(data, share)
    folder, file = MODES[share]
    assert _read_modes(data) == ({folder}, {file})


def test_a_repaired_tree_can_be_shared_later_and_closed_again(data):
    _restrict(data)
    _restrict(data, "group")
    assert _read_modes(data) == ({0o750}, {0o640})
    _restrict(data)
    assert _read_modes(data) == ({0o700}, {0o600})


def test_the_repair_is_reported_once(data, caplog):
    with caplog.at_level(logging.WARNING):
        _restrict(data)
        _restrict(data)
    assert [record.getMessage() for record in caplog.records] == [
        f"{data}: 12 files and folders have new modes, so that only its owner can read them; see LMS_SHARE in docs/settings.md."
    ]


def test_an_interrupted_repair_is_completed(data):
    _restrict(data)
    (data / "lake").chmod(0o755)  # the last one to change
    (data / "lake" / "learners" / "data.parquet").chmod(0o644)
    _restrict(data)
    assert _read_modes(data) == ({0o700}, {0o600})


def test_what_is_not_ours_stays(data, tmp_path):
    outside = tmp_path / "outside"
    outside.touch()
    (data / "lake" / "link").symlink_to(outside)
    (data / "notes.txt").touch()
    (data / "lake" / "read_only").touch(0o444)
    _restrict(data)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (outside, data / "notes.txt", data)}
    assert modes == {"outside": 0o644, "notes.txt": 0o644, "data": 0o755}
    assert stat.S_IMODE((data / "lake" / "read_only").stat().st_mode) == 0o400


def test_programs_stay_executable_and_folders_keep_their_group(data):
    (data / "dagster" / "tool").touch(0o755)
    (data / "lake" / "learners").chmod(0o2755)
    _restrict(data, "group")
    assert stat.S_IMODE((data / "dagster" / "tool").stat().st_mode) == 0o750
    assert stat.S_IMODE((data / "lake" / "learners").stat().st_mode) == 0o2750


def test_a_dagster_home_elsewhere_stays(data, tmp_path):
    home = tmp_path / "home"
    home.mkdir(0o755)
    restrict_access(Settings(data_dir=data, dagster_home_set=home))
    assert stat.S_IMODE(home.stat().st_mode) == 0o755


def test_the_group_can_enter_a_private_data_directory(data):
    data.chmod(0o700)
    _restrict(data, "group")
    assert stat.S_IMODE(data.stat().st_mode) == 0o750


@pytest.mark.parametrize("share", [None, "group"])
def test_nobody_else_can_replace_the_folders_in_a_used_data_directory(tmp_path, share):
    (tmp_path / "state").mkdir()
    tmp_path.chmod(0o777)
    restrict_access(Settings(data_dir=tmp_path, share=share))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_folder_that_is_not_used_yet_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o777)
    restrict_access(Settings(data_dir=tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o777
