"""Fixtures of several folders: Dagster's home after its first use, and a folder for temporary files."""

import shutil
import tempfile

import pytest

from lms_pipeline.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_files(tmp_path_factory):
    """Keep temporary folders of other programs on this machine out of the tests of housekeeping."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(scope="session")
def make_home(tmp_path_factory):
    """Copies a new Dagster home without runs into a folder: creating its tables takes longer than most tests."""
    from lms_pipeline.defs.instance import open_instance

    home = tmp_path_factory.mktemp("dagster") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        with open_instance(Settings(dagster_home_set=home)) as opened:
            opened.get_runs(limit=1)
            opened.get_dynamic_partitions("account")
    return lambda folder: shutil.copytree(home, folder, dirs_exist_ok=True)
