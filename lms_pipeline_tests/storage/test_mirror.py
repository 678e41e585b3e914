"""The record of local copies where it can't be used: then nothing is known of any copy, and no error is raised."""

import sqlite3
from contextlib import closing

import pytest

from lms_pipeline.storage import mirror as module
from lms_pipeline.storage.mirror import Mirror

KEY = "lake/courses/account_id=a/snapshot_date=2026-01-31/data.parquet"


def put_a_file_in_place_of_the_folder(root):
    (root / "state").write_bytes(b"")


def link_to_a_missing_folder(root):
    (root / "state").mkdir()
    (root / "state" / "mirror.sqlite").symlink_to(root / "missing" / "mirror.sqlite")


@pytest.fixture(params=[put_a_file_in_place_of_the_folder, link_to_a_missing_folder])
def unusable(request, tmp_path):
    request.param(tmp_path)
    (tmp_path / KEY).parent.mkdir(parents=True)
    (tmp_path / KEY).write_bytes(b"rows")
    return Mirror(tmp_path, "s3://bucket")


def test_a_record_that_can_not_be_opened_knows_no_copy(unusable, tmp_path):
    unusable.store({KEY: (unusable.sign(tmp_path / KEY), '"etag"')})
    unusable.forget([KEY])
    unusable.remove_unused(0)
    assert (unusable.find_versions([KEY]), unusable.is_copy(KEY), unusable.find_note(KEY)) == ({}, False, None)
    assert (tmp_path / KEY).read_bytes() == b"rows"


def test_a_record_that_can_not_be_opened_is_logged(unusable, caplog):
    unusable.find_versions([KEY])
    assert "mirror.sqlite can't be used" in caplog.text
    assert "the files are fetched again" in caplog.text


def test_a_record_that_another_process_keeps_locked_knows_no_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BUSY_TIMEOUT_SECONDS", 0)
    record = Mirror(tmp_path, "s3://bucket")
    record.write_note(KEY, "checked")
    with closing(sqlite3.connect(tmp_path / "state" / "mirror.sqlite")) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert record.find_note(KEY) is None
    assert record.find_note(KEY) == "checked"
