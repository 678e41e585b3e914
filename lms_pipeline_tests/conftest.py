"""What tests of several folders start from: Dagster's home as a first use leaves it."""

import shutil

import pytest

from lms_pipeline.settings import Settings


@pytest.fixture(scope="session")
def make_home(tmp_path_factory):
    """Makes a folder a home of Dagster's without a run: a copy, since to make its tables takes longer than most tests."""
    from lms_pipeline.defs.instance import open_instance

    home = tmp_path_factory.mktemp("dagster") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        with open_instance(Settings(dagster_home_set=home)) as opened:
            opened.get_runs(limit=1)
            opened.get_dynamic_partitions("account")
    return lambda folder: shutil.copytree(home, folder, dirs_exist_ok=True)
