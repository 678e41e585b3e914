"""Notes in the folders of pulls."""

from datetime import date

import pytest

from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.pull_notes import Instant, NoteFile, PullNote

DAY = date(2026, 3, 1)
ACME = Partition("acme", DAY)


class Note(PullNote, frozen=True, kw_only=True):
    at: Instant


NOTES = NoteFile("note.json", Note)


def put(data, folder, content):
    path = data.pulls / folder / "note.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[" * 100_000,
        "{}",
        '{"account_id": "../x", "day": "2026-03-01", "at": "2026-03-02T01:00:00Z"}',
        '{"account_id": "other", "day": "2026-03-01", "at": "2026-03-02T01:00:00Z"}',
        '{"account_id": "acme", "day": "2026-03-02", "at": "2026-03-02T01:00:00Z"}',
        '{"account_id": "acme", "day": "2026-03-01", "at": "2026-03-02T01:00:00"}',
    ],
)
def test_one_that_is_damaged_or_about_another_pull_counts_as_none_and_stays(data, content):
    path = put(data, "account_id=acme/snapshot_date=2026-03-01", content)
    assert NOTES.read(data, ACME) is None
    assert list(NOTES.find(data)) == []
    assert path.read_text() == content


def test_those_in_strange_folders_are_not_found(data):
    for folder in ("account_id=acme/snapshot_date=never", "notes/acme"):
        put(data, folder, '{"account_id": "acme", "day": "2026-03-01", "at": "2026-03-02T01:00:00Z"}')
    assert list(NOTES.find(data)) == []


def test_one_is_json_by_account_and_day(data):
    content = '{"account_id":"acme","day":"2026-03-01","at":"2026-03-02T01:00:00Z"}'
    path = put(data, "account_id=acme/snapshot_date=2026-03-01", content)
    [note] = NOTES.find(data)
    NOTES.save(data, note)
    assert path.read_text() == content
    assert NOTES.read(data, ACME) == note
