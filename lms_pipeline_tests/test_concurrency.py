"""Concurrent calls: the order of their results, and their end; calls in batches; items that are got ahead; a late SIGTERM."""

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Event, Thread, current_thread
from threading import enumerate as list_threads

import pytest

from lms_pipeline import concurrency
from lms_pipeline.concurrency import CombinedCalls, WaitCancelledError, delay_sigterm, map_in_order, read_ahead, wait

HOUR = 3_600


def test_results_come_in_the_order_of_the_items_however_late_the_first_is():
    others_are_done = Event()

    def call(item: int) -> int:
        if item == 0:
            assert others_are_done.wait(60)
        if item == 2:
            others_are_done.set()
        return item * 10

    assert list(map_in_order(call, range(5), workers=2)) == [(item, item * 10) for item in range(5)]


def test_no_more_calls_start_than_results_may_be_held():
    started: list[int] = []
    results = map_in_order(started.append, range(1_000), workers=2)
    next(results)
    results.close()
    assert len(started) <= 9


@pytest.mark.parametrize("ends", ["by an error", "by closing the generator"])
def test_waiting_calls_are_cancelled_at_the_end(ends):
    is_waiting = Event()
    cancelled: list[int] = []

    def call(item: int) -> None:
        if item == 0:
            assert is_waiting.wait(60)
            if ends == "by an error":
                raise ValueError("no")
            return
        is_waiting.set()
        try:
            wait(HOUR)
        except WaitCancelledError:
            cancelled.append(item)
            raise

    results = map_in_order(call, range(100), workers=2)
    if ends == "by an error":
        with pytest.raises(ValueError, match="no"):
            next(results)
    else:
        assert next(results) == (0, None)
        results.close()
    assert 1 in cancelled


class TestReadingAhead:
    """One item is got while another one is in use."""

    @pytest.fixture(autouse=True)
    def always_ahead(self, monkeypatch):
        monkeypatch.setattr(concurrency, "MIN_WAIT_SECONDS", -1)

    def test_stops_while_items_need_no_wait(self, monkeypatch):
        monkeypatch.setattr(concurrency, "MIN_WAIT_SECONDS", 60)
        got: list[int] = []
        with closing(read_ahead(got.append(item) or item for item in range(100))) as found:  # type: ignore[func-returns-value]
            assert [next(found), next(found)] == [0, 1]
            assert got == [0, 1]

    def test_begins_with_the_item_after_one_that_was_waited_for(self, monkeypatch):
        monkeypatch.setattr(concurrency, "MIN_WAIT_SECONDS", 0.01)
        threads: list[str] = []

        def items():
            for number in range(3):
                threads.append(current_thread().name.partition("_")[0])
                if number == 0:
                    Event().wait(0.05)
                yield number

        assert list(read_ahead(items())) == [0, 1, 2]
        assert threads[1] == "read-ahead"
        assert threads[0] == threads[2] == "MainThread"

    def test_yields_all_items_in_their_order(self):
        assert list(read_ahead(iter(range(100)))) == list(range(100))

    def test_yields_nothing_of_nothing(self):
        assert list(read_ahead([])) == []

    def test_gets_the_next_item_while_one_is_in_use(self):
        is_next_begun = Event()

        def items():
            yield "first"
            is_next_begun.set()
            yield "second"

        with closing(read_ahead(items())) as found:
            assert next(found) == "first"
            assert is_next_begun.wait(60)

    def test_is_one_item_ahead_at_most(self):
        got: list[int] = []

        def items():
            for item in range(100):
                got.append(item)
                yield item

        with closing(read_ahead(items())) as found:
            assert [next(found), next(found), next(found)] == [0, 1, 2]
        assert got in ([0, 1, 2], [0, 1, 2, 3])

    def test_raises_an_error_in_its_place(self):
        def items():
            yield 1
            yield 2
            raise ValueError("no")

        found = read_ahead(items())
        assert [next(found), next(found)] == [1, 2]
        with pytest.raises(ValueError, match="no"):
            next(found)

    @pytest.mark.parametrize("ends", ["by closing", "by an error", "by an interrupt"])
    def test_waits_for_the_next_item_at_an_end_and_leaves_no_thread(self, ends):
        is_begun, got = Event(), []

        def items():
            yield 1
            is_begun.set()
            got.append(2)
            yield 2

        error = {"by closing": None, "by an error": ValueError("no"), "by an interrupt": KeyboardInterrupt()}[ends]

        def use() -> None:
            with closing(read_ahead(items())) as found:
                assert next(found) == 1
                assert is_begun.wait(60)
                if error is not None:
                    raise error

        if error is None:
            use()
        else:
            with pytest.raises(type(error)):
                use()
        assert got == [2]
        assert [thread for thread in list_threads() if thread.name.startswith("read-ahead")] == []

    def test_cancels_the_wait_for_an_item_at_the_end(self):
        is_waiting, cancelled = Event(), []

        def items():
            yield 1
            is_waiting.set()
            try:
                wait(HOUR)
            except WaitCancelledError:
                cancelled.append(2)
                raise

        with closing(read_ahead(items())) as found:
            next(found)
            assert is_waiting.wait(60)
        assert cancelled == [2]


class Batches:
    """What calls share: the results of each batch. The first batch waits until `others` calls wait for the second."""

    def __init__(self, others: int, error: BaseException | None = None) -> None:
        self.ended: list[list[int]] = []
        self.calls = CombinedCalls(self.share)
        self._others = others
        self._error = error
        self.is_first_begun = Event()

    @contextmanager
    def share(self):
        batch: list[int] = []
        if not self.is_first_begun.is_set():
            self.is_first_begun.set()
            while len(self.calls._waiting) < self._others:
                pass
            if self._error is not None:
                raise self._error
        yield batch
        self.ended.append(batch)

    def run(self, item: int) -> int:
        def call(batch: list[int]) -> int:
            batch.append(item)
            return item * 10

        return self.calls.run(call)


class TestCombinedCalls:
    """Calls of threads that wait share one batch."""

    def test_of_one_thread_are_made_at_once(self):
        batches = Batches(others=0)
        assert [batches.run(item) for item in range(3)] == [0, 10, 20]
        assert batches.ended == [[0], [1], [2]]

    def test_that_arrive_during_one_batch_are_the_next(self):
        batches = Batches(others=5)
        with ThreadPoolExecutor(6) as pool:
            first = pool.submit(batches.run, 0)
            assert batches.is_first_begun.wait(60)
            others = [pool.submit(batches.run, item) for item in range(1, 6)]
            assert [one.result(60) for one in (first, *others)] == [0, 10, 20, 30, 40, 50]
        assert [sorted(batch) for batch in batches.ended] == [[0], [1, 2, 3, 4, 5]]

    @pytest.mark.parametrize("error", [OSError("the disk is full"), KeyboardInterrupt()], ids=["error", "interrupt"])
    def test_that_wait_raise_the_error_of_a_batch(self, error):
        batches = Batches(others=3, error=error)
        raised: list[BaseException] = []

        def run(item: int) -> None:
            try:
                batches.run(item)
            except (OSError, KeyboardInterrupt) as raised_now:
                raised.append(raised_now)

        threads = [Thread(target=run, args=(item,)) for item in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert raised == [error] * 4
        assert batches.ended == []

    def test_work_again_after_an_error(self):
        batches = Batches(others=0, error=OSError("the disk is full"))
        with pytest.raises(OSError, match="full"):
            batches.run(1)
        assert batches.run(2) == 20

    def test_of_many_threads_are_each_made_once(self):
        batches = Batches(others=0)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(batches.run, range(500))) == [item * 10 for item in range(500)]
        assert sorted(item for batch in batches.ended for item in batch) == list(range(500))


class Stopped(BaseException):
    """What a handler of SIGTERM raises."""


@pytest.fixture
def _raising_handler():
    def stop(_number, _frame):
        raise Stopped

    previous = signal.signal(signal.SIGTERM, stop)
    yield
    signal.signal(signal.SIGTERM, previous)


def receive(signals, done, error=None):
    """Receive SIGTERM so many times in a block, and end it."""
    with delay_sigterm():
        for _ in range(signals):
            signal.raise_signal(signal.SIGTERM)
        if error:
            raise error
        done.append(True)


@pytest.mark.usefixtures("_raising_handler")
@pytest.mark.parametrize(("signals", "expected"), [(1, [True]), (2, [])], ids=["the first", "a second"])
def test_the_first_sigterm_acts_after_the_block_and_a_second_at_once(signals, expected):
    done: list[bool] = []
    with pytest.raises(Stopped):
        receive(signals, done)
    assert done == expected


@pytest.mark.usefixtures("_raising_handler")
def test_sigterm_acts_after_a_block_that_fails():
    with pytest.raises(Stopped) as stopped:
        receive(1, [], ValueError("no"))
    assert isinstance(stopped.value.__context__, ValueError)


@pytest.mark.usefixtures("_raising_handler")
def test_the_handler_of_sigterm_is_restored():
    before = signal.getsignal(signal.SIGTERM)
    with delay_sigterm():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.usefixtures("_raising_handler")
def test_a_thread_does_not_change_the_handler_of_sigterm():
    def get_handler():
        with delay_sigterm():
            return signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(get_handler).result() is signal.getsignal(signal.SIGTERM)


def test_a_sigterm_that_ends_the_process_at_once_still_does():
    previous = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Dagster sets another handler in a process that runs jobs
    try:
        with delay_sigterm():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, previous)
