"""Publications of a pull into S3, of machines with data directories of their own, and fixtures for their faults."""

from datetime import timedelta

import pytest

from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.lake.reading import find_committed
from lms_pipeline.storage import bucket, conditional_write
from lms_pipeline.storage.opening import open_storage
from lms_pipeline.tables.pulled import COURSES, LEARNERS, RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.distributed.s3_front import Fault
from lms_pipeline_tests.support.lake_files import FIRST, PROVENANCE, batch, enrollment

ACME = Partition("acme", FIRST)

ROWS = {
    RAW_ENROLLMENTS: {"payload": "{}"},
    REJECTED_ENROLLMENTS: {"payload": "{}"},
    LEARNERS: {"user_id": "u"},
    COURSES: {"course_id": "c"},
    UNIFIED_ENROLLMENTS: enrollment("u"),
}
"""The tables in the order of their publication."""

TABLES = [table.name for table in ROWS]

MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    """Shorten the waits between tries: obstore makes two more at once, and a publication has 1.5 s."""
    backoff = {"init_backoff": MILLISECOND, "max_backoff": MILLISECOND, "base": 2}
    monkeypatch.setattr(
        bucket, "RETRIES", {"max_retries": 2, "retry_timeout": timedelta(seconds=5), "backoff": backoff}
    )
    for name, seconds in (("MIN_PAUSE_SECONDS", 0.001), ("MAX_PAUSE_SECONDS", 0.01), ("MAX_SECONDS", 1.5)):
        monkeypatch.setattr(conditional_write, name, seconds)


@pytest.fixture
def patient(monkeypatch):
    """A publication has as long as a busy machine needs for twenty tries: its fault passes."""
    monkeypatch.setattr(conditional_write, "MAX_SECONDS", 60.0)


@pytest.fixture
def hasty(monkeypatch):
    """A publication has 0.2 s: its fault does not pass, and each further try costs as much as the first."""
    monkeypatch.setattr(conditional_write, "MAX_SECONDS", 0.2)


@pytest.fixture
def impatient(monkeypatch):
    """A request has half a second; it stands before the fixtures that open a machine."""
    monkeypatch.setattr(bucket, "TIMEOUT_SECONDS", 0.5)


@pytest.fixture
def open_machine(tmp_path, lake_url):
    """Opens the data directory of a machine."""

    def opened(name):
        return DataDir(tmp_path / name, open_storage(tmp_path / name, lake_url, None))

    return opened


@pytest.fixture
def data(open_machine):
    """The data directory of a machine that has published once, as the run `old`."""
    data = open_machine("first")
    publish(data, "old")
    return data


def publish(data, run_id, before_publishing=lambda: None):
    with Publication(data, ACME, run_id, before_publishing=before_publishing) as publication:
        files = []
        for table, row in ROWS.items():
            with publication.open(table) as file:
                file.write(batch(table, row))
                file.close({**PROVENANCE, "run_id": run_id})
            files.append((file, ()))
        publication.publish(files)


def get_key(data, table):
    return data.get_key(data.file(table, ACME))


def find_runs(data):
    """Return the runs of the stored tables, in the order of their publication, as a machine without copies sees them."""
    data.store.fetch([get_key(data, table) for table in ROWS])
    paths = [data.file(table, ACME) for table in ROWS]
    return [read_metadata(path)["run_id"] if path.exists() else None for path in paths]


def find_read_runs(data):
    """Return the runs of the tables that readers take, by table."""
    find_runs(data)
    return {
        table.name: read_metadata(path)["run_id"] for table in ROWS for _, path in find_committed(data, table, [ACME])
    }


def build_fault(fault, **more):
    """Return a fault as it is before it strikes."""
    names = ("action", "times", "is_done", "status", "code")
    return Fault(**{**{name: getattr(fault, name) for name in names}, **more})
