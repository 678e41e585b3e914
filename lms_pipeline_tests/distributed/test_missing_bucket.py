"""A bucket that does not exist: what only reads says so, instead of that nothing is stored."""

import pytest

pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.lake.reading import read
from lms_pipeline.settings import Settings
from lms_pipeline.storage import bucket, opening
from lms_pipeline_tests.commands.conftest import command
from lms_pipeline_tests.defs.conftest import DAY

__all__ = ["command"]

pytestmark = pytest.mark.distributed

SENTENCE = "there is no such bucket; check LMS_LAKE_URL."


@pytest.fixture
def missing(s3, state_url, tmp_path, monkeypatch, command):
    """An installation whose bucket does not exist, with an account."""
    for name, value in (("LAKE_URL", "s3://no-such-bucket/lms"), ("STATE_URL", state_url), ("DATA_DIR", tmp_path)):
        monkeypatch.setenv(f"LMS_{name}", str(value))
    Registry.open(Settings.load()).add("north", name=None, first_day=DAY)
    yield s3
    opening._opened.clear()


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "FROM account_completion"],
        ["query", "SHOW TABLES"],
        ["report", "--date", str(DAY)],
        ["replay", "--account", "north", "--date", str(DAY)],
        ["housekeeping", "--remove", "north", str(DAY)],
        ["housekeeping", "--remove", "north", str(DAY), "--dry-run"],
        ["housekeeping", "--rebuild-index"],
    ],
    ids=" ".join,
)
def test_a_command_that_reads_says_so(arguments, missing, command):
    done = command(*arguments)
    assert done.err.endswith(f"{SENTENCE}\n")
    assert done.status == 1


@pytest.mark.parametrize("accounts", [None, ["north"]])
def test_python_says_so(accounts, missing):
    with pytest.raises(bucket.MissingBucketError, match=SENTENCE):
        read("account_completion", accounts=accounts)


def test_a_process_asks_for_the_bucket_once(s3, lake_url):
    store = bucket.Bucket.open(lake_url)
    for number in range(10):
        assert store.find(f"lake/{number}") is None
    assert s3.counts == {"HEAD": 10, "GET": 1}


def test_a_process_that_has_read_something_does_not_ask(s3, lake_url):
    store = bucket.Bucket.open(lake_url)
    store.get("lake/x")
    s3.reset()
    assert store.find("lake/y") is None
    assert s3.counts == {"HEAD": 1}
