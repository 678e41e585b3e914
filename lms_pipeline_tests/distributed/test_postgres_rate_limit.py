"""The limiter in PostgreSQL: exact over many processes, fair, and patient with a database that is away."""

import subprocess
import sys
from collections import Counter
from itertools import count, pairwise
from pathlib import Path

import pytest
from pydantic import SecretStr

from lms_pipeline.storage import postgres_rate_limit
from lms_pipeline.storage.file_state import FileState
from lms_pipeline.storage.postgres import Database
from lms_pipeline.storage.postgres_state import PostgresState
from lms_pipeline.storage.rate_limit import RateLimit
from lms_pipeline.storage.state import StateError
from lms_pipeline_tests.distributed.services import PASSWORD, serve_postgres

pytestmark = pytest.mark.distributed
ROOT = Path(__file__).parents[2]
_numbers = count()
PROCESSES, CALLS, SECONDS = 64, 80, 4.0
"""Processes; calls in a window of a second; seconds in which they make calls."""
GREEDY = """
import os, sys, time
from pathlib import Path
from pydantic import SecretStr
from lms_pipeline.storage.opening import open_storage
from lms_pipeline.storage.rate_limit import RateLimit
read_clock, processes, calls, seconds, parts = time.time, *map(float, sys.argv[3:])
state = open_storage(Path(sys.argv[1]), None, SecretStr(sys.argv[2])).state
limit = RateLimit(int(calls), 1, "the test", parts=int(parts))
state.open_limiter("other", limit).acquire()  # so that each child inherits a connection
(start, go), (ready, is_ready) = os.pipe(), os.pipe()
for number in range(int(processes)):
    if os.fork() == 0:
        time.time = lambda: read_clock() + 3 * (number % 3 - 1)
        os.close(go)
        state.open_limiter(f"own-{number}", limit).acquire()  # it has its connection
        os.write(is_ready, b".")
        limiter = state.open_limiter("token-1", limit)
        os.read(start, 1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            limiter.acquire()
            os.write(1, f"{number} {read_clock()}\\n".encode())
        os._exit(0)
for _ in range(int(processes)):
    os.read(ready, 1)
os.close(go)
ended = [os.wait()[1] for _ in range(int(processes))]
sys.exit(any(ended))
"""
"""Makes as many calls as it can from many processes, of which two thirds have wrong clocks, and prints their times."""
LOG = """
CREATE TABLE reserved (at timestamptz);
CREATE FUNCTION log_slot() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN IF new.name = 'token-1' THEN INSERT INTO reserved VALUES (new.at); END IF; RETURN new; END $$;
CREATE TRIGGER log_slot AFTER INSERT ON lms.slots FOR EACH ROW EXECUTE FUNCTION log_slot();
"""


def open_state(url, tmp_path):
    return PostgresState(Database(SecretStr(url)), FileState(tmp_path), None)


@pytest.fixture(params=[1, 30], ids=["at once", "spread"])
def calls(request, state_url, tmp_path):
    """The parts of a limit, the times that many greedy processes reserved, and the times at which they sent, by process."""
    database = Database(SecretStr(state_url))
    open_state(state_url, tmp_path).read_registry()
    database.query(LOG)
    command = [
        sys.executable,
        "-c",
        GREEDY,
        str(tmp_path),
        state_url,
        *map(str, (PROCESSES, CALLS, SECONDS, request.param)),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    rows = database.query("SELECT extract(epoch FROM at) FROM reserved ORDER BY at")
    sent = [(int(number), float(at)) for number, at in map(str.split, done.stdout.splitlines())]
    return request.param, [float(at) for (at,) in rows], sent


def test_many_processes_never_exceed_a_limit_and_share_it(calls):
    parts, reserved, sent = calls
    assert all(later - earlier >= 1 - 1e-6 for earlier, later in zip(reserved, reserved[CALLS:], strict=False))
    assert len(reserved) >= 0.9 * CALLS * (SECONDS - 1)  # it is also used
    if parts > 1:
        assert all(later - earlier >= 1 / CALLS - 1e-5 for earlier, later in pairwise(reserved))
    assert len(sent) == len(reserved)
    in_order = sorted(at for _, at in sent)
    assert all(at >= slot - 0.002 for at, slot in zip(in_order, reserved, strict=True))  # no call is early
    counts = Counter(number for number, _ in sent)
    assert len(counts) == PROCESSES
    if parts > 1:  # the others may come first with all of a window
        assert max(counts.values()) <= 2 * len(sent) / PROCESSES + 1


def test_calls_of_earlier_windows_are_removed_and_those_of_this_one_stay(state_url, tmp_path):
    limiter = open_state(state_url, tmp_path).open_limiter("hour-a", RateLimit(10_000, 60, "the test"))
    limiter.acquire()
    database = Database(SecretStr(state_url))
    old = "FROM lms.slots WHERE at < now() - interval '1 minute'"
    database.query("INSERT INTO lms.slots (name, at) VALUES ('hour-a', now() - interval '1 hour'), ('hour-b', 'epoch')")
    made = 1
    while database.query(f"SELECT name {old} ORDER BY name") != [("hour-b",)]:
        limiter.acquire()  # one of a hundred removes them
        made += 1
    assert database.query("SELECT count(*) FROM lms.slots") == [(made + 1,)]


@pytest.fixture(scope="module")
def own_server(extra):
    with serve_postgres() as server:
        yield server


@pytest.fixture
def server(own_server):
    """A server of this module, which a test may stop: it runs at the begin of each."""
    if not own_server.is_running:
        own_server.start()
    return own_server


@pytest.fixture
def own_url(server):
    """The address of an empty database there."""
    name = f"own_{next(_numbers)}"
    server.create_database(name)
    return f"postgresql://dagster:{PASSWORD}@127.0.0.1:{server.port}/{name}"


def test_calls_wait_for_a_database_that_is_away_and_none_slips_through(server, own_url, tmp_path):
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            server.start()

    limiter = open_state(own_url, tmp_path).open_limiter("token-1", RateLimit(2, 60, "the test"), sleep)
    limiter.acquire()
    server.stop()
    limiter.acquire()
    assert waits == [1, 1, 1]
    limiter.acquire()
    assert waits[3:] == pytest.approx([60], abs=10)


def test_a_database_that_stays_away_is_one_sentence(server, own_url, tmp_path, monkeypatch):
    limiter = open_state(own_url, tmp_path).open_limiter("token-1", RateLimit(2, 60, "the test"))
    limiter.acquire()
    server.stop()
    monkeypatch.setattr(postgres_rate_limit, "MAX_AWAY_SECONDS", 0.0)
    with pytest.raises(
        StateError, match=r"^The database of LMS_STATE_URL (does not answer any more|can't be reached): check"
    ):
        limiter.acquire()


def test_a_wait_for_a_database_ends_with_the_work(server, own_url, tmp_path):
    def cancel(_seconds):
        raise KeyboardInterrupt

    limiter = open_state(own_url, tmp_path).open_limiter("token-1", RateLimit(2, 60, "the test"), cancel)
    server.stop()
    with pytest.raises(KeyboardInterrupt):
        limiter.acquire()


@pytest.mark.parametrize(
    "damage", ["DROP SCHEMA lms CASCADE", "DROP TABLE lms.slots", "ALTER TABLE lms.slots RENAME COLUMN at TO other"]
)
def test_a_statement_that_is_refused_for_good_is_not_repeated(damage, state_url, tmp_path):
    def fail(_seconds):
        pytest.fail("It waits for another try.")

    limiter = open_state(state_url, tmp_path).open_limiter("token-1", RateLimit(2, 60, "the test"), fail)
    limiter.acquire()
    Database(SecretStr(state_url)).query(damage)
    with pytest.raises(StateError, match=r"refuses a statement \(\w+, code \w{5}\)") as error:
        limiter.acquire()
    assert not error.value.may_pass


@pytest.mark.parametrize("code", ["40001", "40P01", "53100", "55P03", "57014", "XX000", "25006"])
def test_a_failure_that_may_pass_is_repeated(code, state_url, tmp_path):
    database = Database(SecretStr(state_url))
    waits: list[float] = []
    limiter = open_state(state_url, tmp_path).open_limiter("token-1", RateLimit(2, 60, "the test"), waits.append)
    limiter.acquire()
    database.query(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$; "
        "CREATE TRIGGER refuse BEFORE INSERT ON lms.slots EXECUTE FUNCTION refuse()"
    )

    def repair(seconds):
        waits.append(seconds)
        database.query("DROP TRIGGER refuse ON lms.slots")

    limiter._sleep = repair
    limiter.acquire()
    assert waits == [1]
