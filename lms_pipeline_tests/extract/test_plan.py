"""The fetch plan on a full disk, and at an interrupt."""

import signal

import duckdb
import pyarrow as pa
import pytest

from lms_pipeline.errors import LakeError
from lms_pipeline.extract import plan as module
from lms_pipeline.extract.plan import FetchPlan, build_plan


def test_pairs_that_a_full_disk_can_not_hold_are_one_sentence(tmp_path):
    (tmp_path / "found.parquet").symlink_to("/dev/full")
    plan = build_plan([], None, folder=tmp_path, may_carry=True, rotation_days=7)
    with pytest.raises(LakeError, match=r"found\.parquet can't be written: the disk is full; free some space"), plan:
        pass


@pytest.fixture
def _with_interrupts():
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, previous)


@pytest.mark.usefixtures("_with_interrupts")
def test_an_interrupt_while_pairs_are_marked_is_no_error_of_the_database(monkeypatch):
    schema = pa.schema({"position": pa.int64(), "is_absent": pa.bool_()})

    def read_batches():
        signal.raise_signal(signal.SIGTERM)
        yield pa.record_batch([[0], [False]], schema=schema)

    monkeypatch.setattr(module.pa, "table", lambda _columns: pa.RecordBatchReader.from_batches(schema, read_batches()))
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE plan AS SELECT 0 AS position, 'new' AS kind, FALSE AS is_fetched, FALSE AS is_absent"
        )
        with pytest.raises(KeyboardInterrupt):
            FetchPlan(connection, None).mark_fetched({0: False})
        assert connection.execute("SELECT is_fetched FROM plan").fetchall() == [(True,)]
