"""What every state does: the tests of an implementation inherit these, and open it as each process does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date

import pytest

from lms_pipeline.accounts.registry import Registry, RegistryNotEmptyError
from lms_pipeline.lake.lock import LockedError, is_locked, partition_lock, remove_folder
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.lake.stopped import StoppedPull, find_stopped, read_stopped, save_stopped
from lms_pipeline.lake.waiting import WaitingPull, find_waiting, save_waiting, take_waiting, utc_now
from lms_pipeline.storage.local_store import LocalStore
from lms_pipeline.storage.opening import Storage
from lms_pipeline.storage.rate_limit import RateLimit, RateLimitExceededError
from lms_pipeline.storage.state import HeldError, State, read_json_note
from lms_pipeline.truto.models import IntegratedAccount, Integration

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)
ACME, BETA, LATER = Partition("acme", FIRST), Partition("beta", FIRST), Partition("acme", SECOND)
OPEN_STATE = Callable[[], State]


class InterruptedError(Exception):  # noqa: A001 - reads as what it stands for
    """Stands for the end of the work in a context."""


def build_account(account_id: str, status: str = "active") -> IntegratedAccount:
    return IntegratedAccount(
        id=account_id,
        tenant_id=f"Name of {account_id}",
        status=status,
        integration=Integration(name="talentlms", category="lms"),
    )


def sync(registry: Registry, *account_ids: str, allow_drop: bool = False) -> list[str]:
    listed = [build_account(account_id) for account_id in account_ids]
    return registry.sync(listed, integrations=(), day=FIRST, allow_drop=allow_drop)


def read_ids(registry: Registry) -> list[str]:
    return [account.id for account in registry.read_accounts()]


def build_waiting(partition: Partition) -> WaitingPull:
    now = utc_now()
    return WaitingPull(
        account_id=partition.account_id,
        day=partition.day,
        run_id="run-1",
        since=now,
        at=now,
        subject="The LMS",
        spent_seconds=1.5,
        responses=3,
    )


def build_stopped(partition: Partition) -> StoppedPull:
    return StoppedPull(account_id=partition.account_id, day=partition.day, at=utc_now(), reason="It is too large.")


class StateBehaviour:
    """A test class of an implementation inherits this, with a fixture `open_state`: each call is another process's."""

    @pytest.fixture
    def state(self, open_state):
        return open_state()

    @pytest.fixture
    def open_data(self, open_state, tmp_path):
        """Opens the data directory of a machine; all of them share the state."""

        def opened(machine="first"):
            root = tmp_path / machine
            return DataDir(root, Storage(root, LocalStore(root), open_state()))

        return opened

    @pytest.fixture
    def data(self, open_data):
        return open_data()

    @pytest.fixture
    def registry(self, data):
        return Registry(data)

    def test_a_lock_is_held_by_one_until_its_end(self, open_state):
        first, second = open_state(), open_state()
        assert not second.is_held("pulls/a")
        with first.hold("pulls/a", "run-1") as held:
            held.check()
            assert second.is_held("pulls/a")
            assert not second.is_held("pulls/b")
            with pytest.raises(HeldError), second.hold("pulls/a"):
                pass
            with second.hold("pulls/b"):
                pass
        assert not second.is_held("pulls/a")
        with second.hold("pulls/a"):
            pass

    def test_an_error_ends_a_lock(self, state):
        with pytest.raises(InterruptedError), state.hold("pulls/a"):
            raise InterruptedError
        with state.hold("pulls/a"):
            pass

    def test_one_process_after_the_other_is_in_a_context(self, open_state):
        def count(state):
            for _ in range(5):
                with state.lock("counter"):
                    number = read_json_note(state, "counter.json", int, "it begins again") or 0
                    time.sleep(0)
                    state.write_note("counter.json", str(number + 1).encode())

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(count, [open_state() for _ in range(4)]))
        assert open_state().read_note("counter.json") == b"20"

    def test_an_error_ends_a_context(self, open_state):
        with pytest.raises(InterruptedError), open_state().lock("counter"):
            raise InterruptedError
        with open_state().lock("counter"):
            pass

    def test_a_note_is_what_was_written_last(self, open_state):
        assert open_state().read_note("one.json") is None
        for content in (b'"caf\xc3\xa9"', b'{"a": "\\u0000 %s"}'):
            open_state().write_note("one.json", content)
            assert open_state().read_note("one.json") == open_state().read_note("one.json", "it is lost") == content
        open_state().remove_note("one.json", "it is lost")
        open_state().remove_note("one.json", "it is lost")
        assert open_state().read_note("one.json") is None

    def test_a_damaged_note_is_set_aside_with_a_warning(self, state, caplog):
        for damage in (b"{", b'{"a": 1}'):
            state.write_note("one.json", damage)
            caplog.clear()
            assert [read_json_note(state, "one.json", dict[str, str], "it is lost") for _ in range(2)] == [None, None]
            assert state.read_note("one.json.damaged") == damage
            [warning] = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
            assert "one.json is damaged (it does not hold what this version writes)" in warning
            assert warning.endswith("and it is lost.")

    def test_notes_are_found_by_folder_in_order(self, state):
        for name in (
            "p/b/d1/n.json",
            "p/a-1/d1/n.json",
            "p/a/d1/n.json",
            "p/a/d2/n.json",
            "p/a/d1/x/n.json",
            "p/a/n.json",
        ):
            state.write_note(name, name.encode())
        found = list(state.find_notes("p/*/d1/n.json"))
        assert [name for name, _ in found] == ["p/a/d1/n.json", "p/a-1/d1/n.json", "p/b/d1/n.json"]
        assert all(name.encode() == content for name, content in found)

    @pytest.mark.parametrize("name", ["p/a/d_1/n.json", "p/a/d%1/n.json"])
    def test_no_other_character_stands_for_any(self, state, name):
        state.write_note("p/a/dx1/n.json", b"1")
        assert list(state.find_notes(name)) == []

    def test_the_lock_of_a_partition_is_that_of_all_machines(self, open_data):
        one, other = open_data("one"), open_data("other")
        with partition_lock(one, ACME, "run-1") as lock:
            lock.scratch.mkdir()
            lock.check()
            lock.check_at_times()
            assert is_locked(other, ACME)
            for data in (one, other):
                with pytest.raises(
                    LockedError, match=r"^acme on 2026-03-01 is being pulled by another run: wait for it"
                ):
                    remove_folder(data, ACME)
            assert lock.scratch.exists()
        assert not lock.scratch.exists()
        assert not is_locked(one, ACME)
        with partition_lock(other, ACME):
            pass

    def test_notes_of_pulls_are_found_by_day_and_go_with_the_folder(self, data):
        for partition in (LATER, BETA, ACME):
            save_waiting(data, build_waiting(partition))
        save_stopped(data, build_stopped(ACME))
        assert [pull.partition for pull in find_waiting(data)] == [ACME, LATER, BETA]
        assert [pull.partition for pull in find_waiting(data, FIRST)] == [ACME, BETA]
        taken = take_waiting(data, BETA)
        assert taken is not None
        assert taken.partition == BETA
        assert take_waiting(data, BETA) is None
        remove_folder(data, ACME)
        assert (find_waiting(data, FIRST), find_stopped(data), read_stopped(data, ACME)) == ([], [], None)
        assert [pull.partition for pull in find_waiting(data)] == [LATER]

    def test_the_registry_begins_empty_and_keeps_the_order_of_additions(self, registry):
        assert registry.read_accounts() == []
        registry.add("z", name="By hand", first_day=FIRST)
        assert sync(registry, "b", "a") == ["b", "a"]
        assert sync(registry, "a", "b", "c") == ["c"]
        assert read_ids(registry) == ["z", "b", "a", "c"]
        assert registry.get("z").name == "By hand"

    def test_an_account_that_is_not_listed_is_gone_and_comes_back(self, registry):
        sync(registry, "a", "b", "c")
        sync(registry, "a", "b")
        assert [account.status for account in registry.read_accounts()] == ["active", "active", "gone"]
        sync(registry, "c", "b", "a")
        assert [account.status for account in registry.read_accounts()] == ["active"] * 3
        assert read_ids(registry) == ["a", "b", "c"]

    def test_a_change_of_an_account_changes_nothing_else_of_it_or_of_others(self, registry):
        sync(registry, "a", "b")
        registry.remember_strategy("a", "sweep", "it is small")
        registry.stop_carrying("a", SECOND)
        registry.remove("b", last_day=SECOND)
        a, b = registry.read_accounts()
        assert (a.strategy, a.why, a.carrying_stopped, a.status, a.name) == (
            "sweep",
            "it is small",
            SECOND,
            "active",
            "Name of a",
        )
        assert (b.strategy, b.carrying_stopped, b.status, b.last_day) == ("auto", None, "inactive", SECOND)

    def test_a_change_that_fails_changes_nothing(self, state, registry):
        sync(registry, "a")
        before = state.read_registry()

        def interrupt():
            with state.edit_registry() as edit:
                edit.documents, edit.changed = {"b": b"{}"}, ["b"]
                raise InterruptedError

        with pytest.raises(InterruptedError):
            interrupt()
        assert state.read_registry() == before

    def test_any_name_of_an_account_is_kept(self, registry):
        name = "Acme \0 % 'quoted' \"Ünïcode\" \\u0000 \U0001f393"
        registry.add("a", name=name, first_day=FIRST)
        registry.stop_carrying("a", SECOND)
        assert registry.get("a").name == name

    def test_all_accounts_are_replaced_in_the_new_order(self, registry):
        sync(registry, "a", "b")
        accounts = registry.read_accounts()
        with pytest.raises(RegistryNotEmptyError, match=r"^The registry has 2 accounts already: add --replace"):
            registry.replace_all(accounts[:1], only_if_empty=True)
        assert read_ids(registry) == ["a", "b"]
        sync(registry, "a", "b", "c")
        registry.replace_all(accounts[::-1], only_if_empty=False)
        assert registry.read_accounts() == accounts[::-1]

    @pytest.fixture
    def build_limiter(self, open_state):
        def built(limit, waits):
            return open_state().open_limiter("token-1", limit, waits.append)

        return built

    def test_calls_beyond_a_limit_wait_for_one_window_in_the_order_of_their_arrival(self, build_limiter):
        limit, waits = RateLimit(2, 60, "the test"), list[float]()
        with closing(build_limiter(limit, waits)) as first, closing(build_limiter(limit, waits)) as second:
            for limiter in (first, second, second, first, second):
                limiter.acquire()
        assert waits == pytest.approx([60, 60, 120], abs=1)

    def test_limits_of_other_names_do_not_count(self, state):
        waits = list[float]()
        for name in ("hour-a", "hour-b"):
            with closing(state.open_limiter(name, RateLimit(1, 60, "the test"), waits.append)) as limiter:
                limiter.acquire()
        assert waits == []

    def test_a_call_after_the_deadline_is_refused_and_not_counted(self, build_limiter):
        waits = list[float]()
        with closing(build_limiter(RateLimit(1, 60, "the test"), waits)) as limiter:
            limiter.acquire(time.monotonic())
            for _ in range(2):
                with pytest.raises(RateLimitExceededError) as refused:
                    limiter.acquire(time.monotonic() + 5)
                assert refused.value.seconds == pytest.approx(60, abs=1)
            limiter.acquire()
        assert waits == pytest.approx([60], abs=1)

    def test_a_cancelled_wait_gives_its_time_to_the_next(self, open_state, build_limiter):
        def cancel(_seconds):
            raise InterruptedError

        limit, waits = RateLimit(1, 60, "the test"), list[float]()
        with closing(open_state().open_limiter("token-1", limit, cancel)) as limiter:
            limiter.acquire()
            with pytest.raises(InterruptedError):
                limiter.acquire()
        with closing(build_limiter(limit, waits)) as limiter:
            limiter.acquire()
        assert waits == pytest.approx([60], abs=1)

    def test_a_long_wait_is_logged_with_its_limit(self, build_limiter, caplog):
        with closing(build_limiter(RateLimit(1, 60, "the test"), [])) as limiter, caplog.at_level("INFO"):
            limiter.acquire()
            limiter.acquire()
        assert [record.getMessage() for record in caplog.records] == ["Waiting 60 s: the test."]
