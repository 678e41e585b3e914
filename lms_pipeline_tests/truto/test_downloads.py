"""Bodies that go into a file."""

import tracemalloc
from pathlib import Path

import pytest

from lms_pipeline.sandbox import running
from lms_pipeline.sandbox.faults import Cut
from lms_pipeline.truto import downloads
from lms_pipeline.truto.downloads import Downloaded, DownloadError
from lms_pipeline.truto.errors import PermanentError, TransientError
from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.waits import Patience
from lms_pipeline_tests.support.sandbox import SWEEPING, SmallWorld
from lms_pipeline_tests.truto.scripted import Answer, asking, refusal, saying

STREAM = ListQuery("acme", response_format="stream")


def test_a_file_holds_the_providers_bytes_whatever_their_type(tmp_path):
    body = bytes(range(256)) * 1_000
    answer = Answer(body, headers={"Content-Type": "application/zip"})
    with saying(answer) as server, asking(server.url) as client:
        told = client.download("users", STREAM, tmp_path / "all.zip")
    assert told == Downloaded(tmp_path / "all.zip", "application/zip", 256_000)
    assert told.path.read_bytes() == body
    assert [path.name for path in tmp_path.iterdir()] == ["all.zip"]


def test_a_body_is_never_held_whole(tmp_path):
    answer = Answer(b"0123456789" * 3_000_000)
    assert answer.on_the_wire  # made before memory is watched
    with saying(answer) as server, asking(server.url) as client:
        tracemalloc.start()
        told = client.download("users", STREAM, tmp_path / "all")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert told.size == 30_000_000
    assert peak < 3_000_000


def test_a_body_that_breaks_off_begins_anew(tmp_path):
    with running(SmallWorld(600)) as sandbox:
        sandbox.fault(Cut(length="chunked", times=1))
        with asking(sandbox.url, token=sandbox.token) as client:
            query = ListQuery(SWEEPING, response_format="stream")
            told = client.download("users", query, tmp_path / "all")
            assert client.requests == 2
    assert told.path.read_text().count("\n") == 600


@pytest.mark.parametrize(
    ("answer", "error"),
    [(refusal(404), PermanentError), (Answer(b"12345", length=9), TransientError)],
)
def test_what_stood_there_stays_until_all_has_come(tmp_path, answer, error):
    to = tmp_path / "all"
    to.write_text("old")
    with (
        saying(answer) as server,
        asking(server.url, patience=Patience(attempts=1)) as client,
        pytest.raises(error),
    ):
        client.download("users", STREAM, to)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("all", "old")]


def test_a_body_without_an_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "MOST_DOWNLOADED", 2**20)
    with (
        saying(Answer(b"0" * (2**20 + 1))) as server,
        asking(server.url) as client,
        pytest.raises(PermanentError, match="larger than 1 MB"),
    ):
        client.download("users", STREAM, tmp_path / "all")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_can_not_be_written_is_one_sentence(tmp_path: Path):
    with (
        saying(Answer(b"x")) as server,
        asking(server.url) as client,
        pytest.raises(DownloadError, match=r"^\S+/nowhere/all can't be written: No such file[^\n]+\.$"),
    ):
        client.download("users", STREAM, tmp_path / "nowhere" / "all")
