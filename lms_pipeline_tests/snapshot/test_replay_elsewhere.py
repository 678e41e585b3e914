"""Replays and later days on a machine that has never seen the account: all they need is in the bucket."""

from datetime import UTC, datetime, time

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.extract.checkpoint_file import CheckpointError
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.pull_files import CheckpointPlace
from lms_pipeline.snapshot.job import TABLES, SnapshotJob
from lms_pipeline.snapshot.run import replay_snapshot
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS
from lms_pipeline.truto.store import NotKeptError
from lms_pipeline_tests.support.lake_files import PROVENANCE, write
from lms_pipeline_tests.support.pair_account import PAIRS, PairAccount
from lms_pipeline_tests.support.parquet_damage import truncate
from lms_pipeline_tests.support.portal import PORTAL

GARBAGE = b"no database" * 1_000


class MovingAccount(PairAccount):
    """The account of a portal in a bucket."""

    def __init__(self, root, portal, sandbox):
        super().__init__(root / "machine-0", portal, sandbox)
        self.root = root
        self.machines = 0
        self.move()

    def move(self):
        """Go on on a machine without a file."""
        self.machines += 1
        self.runner.root = self.root / f"machine-{self.machines}"
        self.runner.bucket = self.root / "bucket"

    def run_day(self, day, limits=None, **more):
        return super().run_day(day, limits, options={"rotation_days": 0}, **more)

    def build_job(self, day):
        options = AccountOptions(page_size=500, strategy="roster", rotation_days=0)
        return SnapshotJob(PORTAL, self.date(day), "replay", "enrollment_id", options)

    def read_digests(self, day):
        paths = [self.runner.file(name, self.date(day), PORTAL) for name in TABLES]
        return [read_metadata(self.root / "bucket" / self.runner.data.get_key(path))["digest"] for path in paths]


@pytest.fixture
def moving(tmp_path, portal, serving):
    yield MovingAccount(tmp_path, portal, serving)
    serving.clear_faults()


def test_a_replay_on_another_machine_publishes_the_same_snapshot(moving):
    for day in (0, 1):
        moving.run_day(day)
    before = moving.read_digests(1)
    moving.move()
    moving.sandbox.clear_counts()
    result = replay_snapshot(moving.build_job(1), data=moving.runner.data)
    assert moving.count_calls().total() == 0
    assert result.rows.carried > 0
    assert moving.read_digests(1) == before


def test_the_next_day_is_as_cheap_on_another_machine(moving):
    moving.run_day(0)
    moving.move()
    result = moving.run_day(1)
    assert (result.pairs.planned["new"], result.pairs.planned.total()) == (0, PAIRS)
    assert result.pairs.planned["carried"] > 0


def test_a_retry_on_another_machine_publishes_again_without_a_call(moving):
    moving.run_day(0, run_id="first")
    before = moving.read_digests(0)
    moving.move()
    result = moving.run_day(0, run_id="second", interrupted_runs=["first"])
    assert moving.count_calls().total() == 0
    assert result.was_published
    assert moving.read_digests(0) == before


def test_a_closed_day_that_was_half_replaced_is_published_again_without_a_call(moving):
    moving.run_day(0)
    before = moving.read_digests(0)
    raw = moving.runner.file("raw_enrollments", moving.date(0), PORTAL)
    stored = moving.root / "bucket" / moving.runner.data.get_key(raw)
    write(stored, RAW_ENROLLMENTS, metadata=PROVENANCE | {"run_id": "a run that died"})
    moving.move()
    moving.run_day(0, now=datetime.combine(moving.date(2), time(1), UTC))
    assert moving.count_calls().total() == 0
    assert moving.read_digests(0) == before


def test_a_rerun_of_an_open_day_on_another_machine_pulls_again(moving):
    moving.run_day(0, run_id="first")
    calls = moving.count_calls().total()
    moving.move()
    moving.run_day(0, run_id="second")
    assert moving.count_calls().total() == calls > 0


def test_a_replay_of_responses_that_the_bucket_has_no_more_is_refused(moving):
    moving.run_day(0)
    partition = moving.build_job(0).partition
    data = moving.runner.data
    data.store.remove(data.checkpoint_key(partition))
    moving.move()
    with pytest.raises(NotKeptError):
        replay_snapshot(moving.build_job(0), data=moving.runner.data)


def damage_object(moving):
    data, partition = moving.runner.data, moving.build_job(0).partition
    (moving.root / "bucket" / data.checkpoint_key(partition)).write_bytes(GARBAGE)


def test_damaged_responses_are_named_by_their_address_with_what_removes_them(moving):
    moving.run_day(0)
    damage_object(moving)
    for _ in range(2):
        moving.move()
        with pytest.raises(CheckpointError) as error:
            replay_snapshot(moving.build_job(0), data=moving.runner.data)
        assert str(error.value) == (
            f"The responses in s3://bucket/answers/snapshot_date={moving.date(0)}/account_id={PORTAL}.sqlite are damaged (file is "
            "not a database): restore an earlier version of the object; housekeeping removes it after `answer_days`."
        )


def test_a_damaged_copy_of_responses_is_set_aside_and_the_next_replay_fetches_them(moving):
    moving.run_day(0)
    data, partition = moving.runner.data, moving.build_job(0).partition
    place = CheckpointPlace.of(data, partition)
    place.fetch()
    place.path.write_bytes(GARBAGE)
    with pytest.raises(
        CheckpointError, match=r"sqlite are damaged .* set aside: run it again, which fetches those in s3://"
    ):
        replay_snapshot(moving.build_job(0), data=data)
    assert place.path.with_name(f"{place.path.name}.damaged").read_bytes() == GARBAGE
    replay_snapshot(moving.build_job(0), data=data)


def test_damaged_responses_that_only_this_machine_has_stay(moving):
    moving.run_day(0)
    data, partition = moving.runner.data, moving.build_job(0).partition
    data.store.remove(data.checkpoint_key(partition))
    place = CheckpointPlace.of(data, partition)
    place.path.parent.mkdir(parents=True, exist_ok=True)
    place.path.write_bytes(GARBAGE)
    with pytest.raises(CheckpointError, match=r"can't be stored or read: .* remove the file"):
        replay_snapshot(moving.build_job(0), data=data)
    assert place.path.read_bytes() == GARBAGE


def test_a_damaged_snapshot_from_which_nothing_is_carried_over_is_named_by_its_address(moving, caplog):
    moving.run_day(0)
    path = moving.runner.file("raw_enrollments", moving.date(0), PORTAL)
    key = moving.runner.data.get_key(path)
    truncate(moving.root / "bucket" / key)
    moving.move()
    moving.run_day(1)
    assert f"s3://bucket/{key} is damaged: " in caplog.text
    assert "previous-raw" not in caplog.text
