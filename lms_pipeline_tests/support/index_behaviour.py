"""What every store of the index of published files does: the tests of a store inherit these, and make its index."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest

from lms_pipeline.lake.index import PublicationIndex, PublishedDay, RollUp
from lms_pipeline.lake.paths import AnyPartition, DayPartition, Partition
from lms_pipeline.storage.store import SIGNATURE_BYTES
from lms_pipeline.tables.catalog import TABLES
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, PORTFOLIO_COMPLETION
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS

FIRST, SECOND, THIRD = date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)
ACME, LATER, BETA = Partition("acme", FIRST), Partition("acme", SECOND), Partition("beta", FIRST)
ALL = DayPartition(FIRST)
ENROLLMENTS, COMPLETION = UNIFIED_ENROLLMENTS.name, ACCOUNT_COMPLETION.name
NOTHING = bytes(SIGNATURE_BYTES * len(TABLES))


def sign(*tables: str, content: int = 1) -> bytes:
    """Return signatures of files of these tables, another content for another number."""
    return b"".join(bytes([content if name in tables else 0]) * SIGNATURE_BYTES for name in TABLES)


def put(index: PublicationIndex, *partitions: AnyPartition, signatures: bytes = b"", version: int | None = 1) -> int:
    """Store that files are published."""
    return index.update(partitions, lambda one, _: PublishedDay(one, signatures or sign(ENROLLMENTS), version))


def list_partitions(days: object) -> list[AnyPartition]:
    return [day.partition for day in days]  # type: ignore[attr-defined]


class IndexBehaviour:
    """Inherit from this, and define the fixture `open_index`, which opens the same index at each call."""

    @pytest.fixture
    def index(self, open_index: Callable[[], PublicationIndex]) -> Iterator[PublicationIndex]:
        with open_index() as index:
            yield index

    def test_stores_what_is_published(self, index):
        assert put(index, ACME, signatures=sign(ENROLLMENTS, COMPLETION), version=4) == 1
        [day] = index.find()
        assert (day.partition, day.signatures, day.schema_version) == (ACME, sign(ENROLLMENTS, COMPLETION), 4)
        assert (day.has_file(COMPLETION), day.has_file(PORTFOLIO_COMPLETION.name)) == (True, False)

    def test_numbers_changes(self, index):
        put(index, ACME, BETA)
        put(index, LATER)
        assert [(day.partition, day.revision) for day in index.find(since=0)] == [(ACME, 1), (BETA, 2), (LATER, 3)]
        assert index.read_state().revision == 3

    def test_passes_over_what_is_the_same(self, index):
        put(index, ACME)
        assert put(index, ACME) == 0
        assert put(index, LATER, signatures=NOTHING) == 0
        assert index.read_state().revision == 1

    def test_replaces_what_is_published_again(self, index):
        put(index, ACME, BETA, version=1)
        assert put(index, ACME, signatures=sign(ENROLLMENTS, content=2), version=2) == 1
        [day] = index.find(account_id="acme")
        assert (day.signatures, day.schema_version, day.revision) == (sign(ENROLLMENTS, content=2), 2, 3)
        assert list_partitions(index.find(since=2)) == [ACME]

    def test_gives_an_observer_what_is_stored(self, index):
        put(index, ACME)
        seen = []

        def observe(partition, stored):
            seen.append(stored)
            return PublishedDay(partition, NOTHING)

        index.update([ACME, BETA], observe)
        assert [stored and stored.signatures for stored in seen] == [sign(ENROLLMENTS), None]

    def test_shows_a_removed_day_only_to_readers_of_changes(self, index):
        put(index, ACME, BETA)
        put(index, ACME, signatures=NOTHING)
        assert list_partitions(index.find()) == [BETA]
        assert [(day.partition, day.is_present) for day in index.find(since=2)] == [(ACME, False)]
        assert index.find_account_days(ENROLLMENTS) == {"beta": [FIRST]}
        assert index.count_days() == 1

    def test_stores_nothing_of_an_update_that_fails(self, index):
        def fail(_partition, _stored):
            raise LookupError

        with pytest.raises(LookupError):
            index.update([ACME], fail)
        assert (index.find(), index.read_state().revision) == ([], 0)

    def test_finds_days_in_order(self, index):
        put(index, BETA, LATER, ACME, ALL)
        assert list_partitions(index.find()) == [ALL, ACME, LATER, BETA]
        assert list_partitions(index.find(day=FIRST)) == [ALL, ACME, BETA]
        assert list_partitions(index.find(account_id="acme")) == [ACME, LATER]
        assert list_partitions(index.find(account_id="")) == [ALL]
        assert list_partitions(index.find(account_id="acme", day=SECOND)) == [LATER]

    def test_orders_accounts_by_their_characters(self, index):
        put(index, *(Partition(account, FIRST) for account in ("a_b", "a-b", "aB", "Ab", "a1")))
        assert list(index.find_account_days(ENROLLMENTS)) == ["Ab", "a-b", "a1", "aB", "a_b"]

    def test_finds_the_days_of_a_table(self, index):
        put(index, ACME, LATER)
        put(index, BETA, signatures=sign(COMPLETION))
        assert index.find_account_days(ENROLLMENTS) == {"acme": [FIRST, SECOND]}
        assert index.find_account_days(ENROLLMENTS, "beta") == {}
        assert index.find_account_days(COMPLETION, "beta") == {"beta": [FIRST]}
        assert index.find_latest_days(ENROLLMENTS) == {"acme": SECOND}

    def test_finds_the_latest_day_with_a_file(self, index):
        put(index, ACME, BETA, ALL)
        put(index, LATER, Partition("gamma", FIRST), signatures=sign(COMPLETION))
        assert index.find_latest_days(ENROLLMENTS) == {"": FIRST, "acme": FIRST, "beta": FIRST}

    def test_knows_which_tables_have_files(self, index):
        assert index.find_tables() == frozenset()
        put(index, ACME, LATER, signatures=sign(ENROLLMENTS, COMPLETION))
        put(index, BETA, signatures=sign(COMPLETION))
        put(index, ALL, signatures=sign(PORTFOLIO_COMPLETION.name))
        assert index.find_tables() == {ENROLLMENTS, COMPLETION, PORTFOLIO_COMPLETION.name}
        put(index, ALL, signatures=NOTHING)
        assert index.find_tables() == {ENROLLMENTS, COMPLETION}

    def test_knows_the_days_that_changed(self, index):
        put(index, ACME, LATER)
        put(index, BETA)
        assert index.find_days() == {FIRST: 3, SECOND: 2}
        assert index.find_days(2) == {FIRST: 3}

    def test_counts_accounts_in_turn(self, index):
        put(index, ACME, LATER, BETA, Partition("gamma", FIRST), ALL)
        assert index.find_next_accounts("", 2) == ["acme"]
        assert index.find_next_accounts("", 3) == ["acme", "beta"]
        assert index.find_next_accounts("beta", 9) == ["gamma"]
        assert index.find_next_accounts("gamma", 9) == []

    def test_has_a_sample_of_each_schema_version(self, index):
        put(index, ACME, LATER, version=3)
        put(index, BETA, version=7)
        put(index, ALL, version=None)
        assert [day.schema_version for day in index.find_schema_samples()] == [3, 7]

    def test_keeps_notes_of_runs_at_work(self, index):
        index.begin(ACME, "one")
        index.begin(ACME, "two")
        index.begin(ACME, "one")
        index.begin(ALL, "one")
        found = [(one.partition, one.owner) for one in index.find_pending()]
        assert found[0] == (ALL, "one")
        assert sorted(owner for partition, owner in found[1:] if partition == ACME) == ["one", "two"]
        index.finish(ACME, "one")
        assert [(one.partition, one.owner) for one in index.find_pending()] == [(ALL, "one"), (ACME, "two")]

    def test_knows_when_a_run_began(self, index):
        index.begin(ACME, "one")
        [note] = index.find_pending()
        assert note.began_at.utcoffset() == timedelta(0)

    def test_keeps_marks(self, index):
        index.write_marks({"folder a": "1", "folder b": "2", "turn": "a", "folderless": "x"})
        assert index.read_marks("folder ") == {"folder a": "1", "folder b": "2"}
        index.write_marks({"folder a": None, "folder b": "3", "folder c": None})
        assert index.read_marks("folder ") == {"folder b": "3"}
        index.write_marks({})
        assert index.read_marks("turn") == {"turn": "a"}

    def test_keeps_roll_ups(self, index):
        first, second = RollUp(ENROLLMENTS, FIRST, 3, b"\x00\xff", 2, 1), RollUp(ENROLLMENTS, SECOND, 3, b"", 2, 0)
        index.put_roll_ups([second, first])
        assert index.find_roll_ups() == [first, second]
        again = RollUp(ENROLLMENTS, FIRST, 9, b"\x01", 3, 0)
        index.put_roll_ups([again])
        index.remove_roll_ups(SECOND)
        assert index.find_roll_ups() == [again]

    def test_begins_a_new_epoch(self, index):
        put(index, ACME)
        index.write_marks({"turn": "a"})
        index.put_roll_ups([RollUp(ENROLLMENTS, FIRST, 1, b"", 1, 0)])
        index.begin(ACME, "one")
        before = index.read_state()
        index.reset()
        after = index.read_state()
        assert (after.epoch != before.epoch, after.revision) == (True, before.revision)
        assert (index.find(), index.find_days(), index.read_marks("t"), index.find_roll_ups()) == ([], {}, {}, [])
        assert [one.owner for one in index.find_pending()] == ["one"]

    def test_numbers_changes_of_many_writers_in_the_order_in_which_they_are_seen(self, open_index):
        """A reader that has seen a revision finds no earlier change later."""
        with open_index() as first:
            put(first, ACME)
        done = threading.Event()

        def write(account):
            with open_index() as index:
                for number in range(30):
                    put(index, Partition(account, FIRST + timedelta(days=number)))

        def read():
            seen = {}
            with open_index() as index:
                while not done.is_set():
                    revision = index.read_state().revision
                    days = [day.revision for day in index.find(since=0) if day.revision <= revision]
                    seen[revision] = len(days)
            return seen

        with ThreadPoolExecutor(5) as threads:
            reader = threads.submit(read)
            list(threads.map(write, ["a", "b", "c", "d"]))
            done.set()
        assert all(revision == count for revision, count in reader.result().items())
        with open_index() as index:
            assert sorted(day.revision for day in index.find()) == list(range(1, 122))

    def test_looks_at_a_partition_for_one_writer_at_a_time(self, open_index):
        with open_index() as first:
            put(first, ACME)
        contents, inside, most = iter(range(2, 100)), [], []

        def observe(partition, _stored):
            inside.append(1)
            most.append(len(inside))
            seen = PublishedDay(partition, sign(ENROLLMENTS, content=next(contents)))
            inside.pop()
            return seen

        def write(_):
            with open_index() as index:
                index.update([ACME], observe)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(write, range(40)))
        assert max(most) == 1
        with open_index() as index:
            assert index.find() == [PublishedDay(ACME, sign(ENROLLMENTS, content=41), None, 41)]
