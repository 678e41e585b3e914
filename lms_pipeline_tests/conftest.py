"""Fixtures of several folders: a process of its own settings, Dagster's home after its first use, OULAD, a small disk."""

import os
import shutil
import subprocess
import tempfile
from functools import cache

import pytest
from filelock import FileLock

from lms_pipeline.settings import Settings
from lms_pipeline_tests.support.oulad_records import OULAD, OULAD_MISSING, write_records


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return _fail_without_the_extra((yield), collector.config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    return _fail_without_the_extra((yield), item.config)


def _fail_without_the_extra(report, config):
    """Make it a failure that the extra `distributed` is missing, if the tests that need it were selected (`make distributed`)."""
    if report.skipped and config.option.markexpr == "distributed" and "the extra `distributed`" in str(report.longrepr):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_files(tmp_path_factory):
    """Keep temporary folders of other programs on this machine out of the tests of housekeeping."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_installation():
    """Keep the settings of an installation on this machine out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for field in Settings.model_fields.values():
            patch.delenv(str(field.alias), raising=False)
        yield


@pytest.fixture(autouse=True)
def _restored_process():
    """Restore what a command sets for its whole process: Dagster's home, and the modes of new files."""
    environment, umask = dict(os.environ), os.umask(0o022)
    os.umask(umask)
    yield
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture(scope="session")
def _migrations_are_read_once():
    """Keep Dagster's 90 scripts of migrations in memory: each instance that is opened reads them three times, in 0.3 s."""
    from alembic.script import ScriptDirectory

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", cache(ScriptDirectory.from_config))
        yield


@pytest.fixture(scope="session")
def make_home(tmp_path_factory, _migrations_are_read_once):
    """Copies a new Dagster home without runs into a folder: creating its tables takes longer than most tests."""
    from lms_pipeline.defs.instance import open_instance

    home = tmp_path_factory.mktemp("dagster") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        with open_instance(Settings(dagster_home_set=home)) as opened:
            opened.get_runs(limit=1)
            opened.get_dynamic_partitions("account")
            opened.all_logs("none")  # creates the empty file, of which those of runs are copies
    for path in (home / "history" / "runs").glob("none.db*"):
        path.unlink()
    return lambda folder: shutil.copytree(home, folder, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def oulad_records(tmp_path_factory):
    """The file of OULAD as records for the sandbox, written once for all workers of a run. Read-only."""
    if not OULAD.is_dir():
        pytest.skip(OULAD_MISSING)
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of all workers
    path = folder / "oulad.ndjson"
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            write_records(OULAD, path.with_suffix(".new"))
            path.with_suffix(".new").rename(path)
    return path


@pytest.fixture
def small_disk(tmp_path):
    """A real disk of 12 MB, which a test can fill."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk")
    root = tmp_path / "disk"
    root.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", root], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk can't be mounted here: {mounted.stderr.decode().strip()}")
    yield root
    subprocess.run(["umount", root], check=True)
