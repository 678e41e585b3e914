"""Runs that publish the same account and day without a lock, in any order of their requests: no reader gets a mixture."""

import threading
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("obstore", reason="obstore is of the extra `distributed`")

from obstore.store import MemoryStore

from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.publishing import Publication
from lms_pipeline.lake.reading import find_committed
from lms_pipeline.storage.bucket import Bucket
from lms_pipeline.storage.file_state import FileState
from lms_pipeline.storage.object_store import ObjectStore
from lms_pipeline.storage.opening import Storage
from lms_pipeline.storage.store import PublishedByAnotherError
from lms_pipeline.tables.pulled import COURSES, LEARNERS, RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.lake_files import FIRST, PROVENANCE

pytestmark = pytest.mark.distributed

ACME = Partition("acme", FIRST)
TABLES = [RAW_ENROLLMENTS, REJECTED_ENROLLMENTS, LEARNERS, COURSES, UNIFIED_ENROLLMENTS]
STEPS = 1 + len(TABLES)
"""Steps of a run: it looks at what is stored, then publishes each table."""


class Turns:
    """Lets threads make their steps in a given order, one at a time."""

    def __init__(self, order):
        self._order = list(order)
        self._changed = threading.Condition()

    @contextmanager
    def step(self, number):
        with self._changed:
            self._changed.wait_for(lambda: self._order[0] == number)
            yield
            self._order.pop(0)
            self._changed.notify_all()

    def leave(self, number):
        with self._changed:
            self._order = [one for one in self._order if one != number]
            self._changed.notify_all()


class Machine:
    """A run on a machine of its own."""

    def __init__(self, root, memory, number, turns, observe):
        self.run_id = f"run-{number}"
        self._number, self._turns, self._observe = number, turns, observe
        self.data = open_machine(root / self.run_id, memory)
        self.has_published = False

    def run(self):
        try:
            self._publish()
            self.has_published = True
        except PublishedByAnotherError:
            pass
        finally:
            self._turns.leave(self._number)

    def _publish(self):
        publish = self.data.store.publish

        def publish_in_turn(*arguments):
            with self._turns.step(self._number):
                try:
                    publish(*arguments)
                finally:
                    self._observe()

        self.data.store.publish = publish_in_turn
        with Publication(self.data, ACME, self.run_id) as publication:
            files = []
            with self._turns.step(self._number):
                files.append((publication.open(TABLES[0]), ()))
            files += [(publication.open(table), ()) for table in TABLES[1:]]
            for file, _ in files:
                file.close({**PROVENANCE, "run_id": self.run_id})
            publication.publish(files)


def open_machine(root, memory):
    store = ObjectStore(root, Bucket("memory://bucket", lambda _: memory), lambda: False)
    return DataDir(root, Storage(root, store, FileState(root / "state")))


def read_runs(data):
    """Return the run of each table that readers take, by name, and of those that they leave out."""
    paths = {table: data.file(table, ACME) for table in TABLES}
    data.store.fetch([data.get_key(path) for path in paths.values()])
    stored = {table.name: read_metadata(path)["run_id"] for table, path in paths.items() if path.exists()}
    taken = {table.name for table, path in paths.items() if path.exists() and any(find_committed(data, table, [ACME]))}
    return stored, taken


orders = st.integers(2, 4).flatmap(
    lambda runs: st.permutations([number for number in range(runs) for _ in range(STEPS)])
)


@given(order=orders)
@settings(max_examples=25, deadline=None)
def test_readers_never_take_a_mixture(order):
    with TemporaryDirectory() as folder:
        memory, root, turns = MemoryStore(), Path(folder), Turns(order)
        reader = open_machine(root / "reader", memory)
        seen: list[tuple[dict[str, str], set[str]]] = []
        machines = [
            Machine(root, memory, number, turns, lambda: seen.append(read_runs(reader))) for number in set(order)
        ]
        threads = [threading.Thread(target=machine.run) for machine in machines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for stored, taken in seen:
        own = {stored[name] for name in taken & {"raw_enrollments", "rejected_enrollments"}}
        assert own <= {stored.get("unified_enrollments")}
    published = {machine.run_id for machine in machines if machine.has_published}
    assert {stored["unified_enrollments"] for stored, _ in seen if "unified_enrollments" in stored} == published
    for machine in machines:
        assert machine.has_published == any(stored.get("unified_enrollments") == machine.run_id for stored, _ in seen)


@given(runs=st.integers(2, 4), data=st.data())
@settings(max_examples=15, deadline=None)
def test_of_runs_that_saw_the_same_one_publishes_everything(runs, data):
    puts = data.draw(st.permutations([number for number in range(runs) for _ in TABLES]))
    with TemporaryDirectory() as folder:
        memory, root, turns = MemoryStore(), Path(folder), Turns([*range(runs), *puts])
        machines = [Machine(root, memory, number, turns, lambda: None) for number in range(runs)]
        threads = [threading.Thread(target=machine.run) for machine in machines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stored, taken = read_runs(open_machine(root / "reader", memory))
    (winner,) = (machine.run_id for machine in machines if machine.has_published)
    assert stored == dict.fromkeys((table.name for table in TABLES), winner)
    assert taken == set(stored)
