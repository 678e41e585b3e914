"""The commands on an account that serves one learner and course for each call."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.sandbox import running
from lms_pipeline_tests.commands.conftest import running_commands
from lms_pipeline_tests.support.portal import FIRST, PORTAL, Portal

ID = ("--account", PORTAL)
PULL = ("materialize", "--select", "unified_enrollments")
"""Without metrics: only the pull makes calls."""


@pytest.fixture(scope="module")
def portal():
    with running(Portal(learners=20, courses=4, each=2, every=10)) as sandbox:
        yield sandbox


def follow_portal(command, portal, monkeypatch, folder):
    """Return a function that runs a command on a day of the portal, with options in the accounts file."""
    monkeypatch.setenv("TRUTO_BASE_URL", portal.url)
    monkeypatch.setenv("TRUTO_API_TOKEN", portal.token)
    for tier in ("LMS_TOKEN_CALLS_PER_10S", "LMS_ACCOUNT_CALLS_PER_10S"):
        monkeypatch.setenv(tier, "0")

    def run(day: int, *words: str, options: str = ""):
        at = FIRST + timedelta(days=day)
        portal.set_clock(datetime.combine(at, time.max, UTC))
        portal.clear_counts()
        monkeypatch.setenv("LMS_NOW", datetime.combine(at + timedelta(days=1), time(1), UTC).isoformat())
        (folder / "accounts.toml").write_text(f"[accounts.{PORTAL}]\npage_size = 500\n{options}")
        monkeypatch.setenv("LMS_ACCOUNTS_FILE", str(folder / "accounts.toml"))
        return command(*words)

    return run


class Pulled(NamedTuple):
    """A data directory, and the calls that its pull cost."""

    data: Path
    calls: int


@pytest.fixture(scope="module")
def pulled_on_day_0(tmp_path_factory, make_home, portal):
    """The account after `accounts sync` and a pull of day 0. Read-only, since tests share it."""
    folder = tmp_path_factory.mktemp("day-0")
    with running_commands(folder, make_home) as (command, patch):
        run = follow_portal(command, portal, patch, folder)
        assert run(0, "accounts", "sync").status == 0
        assert run(0, *PULL).status == 0
        return Pulled(folder / "data", portal.stats()["total"])


@pytest.fixture
def run_on_day(command, portal, monkeypatch, tmp_path):
    """Return a function that runs a command on a day of the portal, whose account has no snapshot."""
    run = follow_portal(command, portal, monkeypatch, tmp_path)
    assert run(0, "accounts", "sync").status == 0
    return run


@pytest.fixture
def after_day_0(command, portal, monkeypatch, tmp_path, pulled_on_day_0):
    """Return a function that runs a command on a day of the portal, with a copy of that data directory."""
    shutil.copytree(pulled_on_day_0.data, tmp_path / "data", dirs_exist_ok=True)
    return follow_portal(command, portal, monkeypatch, tmp_path)


def read_account(tmp_path):
    return Registry(DataDir(tmp_path / "data")).get(PORTAL)


def test_a_snapshot_stores_its_strategy_and_the_next_one_costs_less(after_day_0, portal, tmp_path, pulled_on_day_0):
    assert (read_account(tmp_path).strategy, "rosters cost fewer calls" in read_account(tmp_path).why) == (
        "roster",
        True,
    )
    assert "roster (auto)" in after_day_0(0, "accounts", "list").out
    assert after_day_0(1, *PULL).status == 0
    assert portal.stats()["total"] < pulled_on_day_0.calls / 2


def test_a_dry_run_prints_plan_and_cost_and_stores_nothing(run_on_day, portal, tmp_path):
    done = run_on_day(0, "materialize", "--dry-run")
    assert done.status == 0
    assert done.out == (
        "tenant on 2026-03-01: roster (its metadata require user[id] and course[id]; at least two more calls decide whether "
        "another strategy is better); 20 users, 4 courses, no previous snapshot: 4 calls for rosters, "
        "then one for each enrollment, 80 at most.\n"
        "The estimate cost 3 calls; nothing was stored.\n"
    )
    assert portal.stats()["total"] == 3
    assert not (tmp_path / "data" / "lake").exists()


def test_a_dry_run_counts_the_calls_that_the_previous_snapshot_saves(after_day_0):
    again = after_day_0(1, "materialize", "--dry-run")
    assert re.search(
        r"40 enrollments in the previous snapshot: 12 calls, about \d+ s \(limit: 2,000 calls an hour\), "
        r"plus one call for each changed enrollment\.$",
        again.out,
        re.MULTILINE,
    )


def test_a_dry_run_counts_two_calls_for_each_pair_in_the_raw_format(run_on_day):
    options = 'remote_data = "raw_format"\n'
    first = run_on_day(0, "materialize", "--dry-run", options=options)
    assert "4 calls for rosters, then two for each enrollment, 160 at most.\n" in first.out
    run_on_day(0, *PULL, options=options)
    again = run_on_day(1, "materialize", "--dry-run", options=options)
    # two lists, 4 rosters, and two calls for each of a seventh of 40 enrollments
    assert "40 enrollments in the previous snapshot: 18 calls, about " in again.out
    assert again.out.rstrip().splitlines()[0].endswith(", plus two calls for each changed enrollment.")
    every_pair = run_on_day(1, "materialize", "--dry-run", options=f'{options}strategy = "pairs"\n')
    assert ": 162 calls, about " in every_pair.out


def test_a_dry_run_reads_the_budget_and_the_pairs_file(run_on_day, tmp_path):
    (tmp_path / "pairs.csv").write_text("user_id,course_id\n1,101\n2,101\n", encoding="utf-8")
    options = f'strategy = "pairs"\ncalls_per_snapshot = 3\npairs_file = "{tmp_path}/pairs.csv"\n'
    done = run_on_day(0, "materialize", "--dry-run", options=options)
    assert "no previous snapshot: 4 calls, of which 3 are allowed, about" in done.out


def test_the_calls_of_a_dry_run_count_in_the_accounts_hour(run_on_day, portal):
    done = run_on_day(0, "materialize", "--dry-run", options="calls_per_hour = 2\n")
    assert done.status == 1
    assert (
        "tenant on 2026-03-01: The hourly limit of account portal (2 calls, calls_per_hour) allows the next" in done.out
    )
    assert done.out.endswith("The estimate cost 2 calls; nothing was stored.\n")
    assert portal.stats()["total"] == 2
    run_on_day(0, "materialize", "--dry-run", options="calls_per_hour = 2\n")
    assert portal.stats()["total"] == 0  # of this command alone


def test_a_dry_run_refuses_a_closed_day_and_keeps_a_published_one_without_a_call(after_day_0, portal):
    kept = after_day_0(1, "materialize", "--dry-run", "--date", "2026-03-01")
    assert (kept.status, kept.out.splitlines()[0]) == (0, "tenant on 2026-03-01: kept, the day is closed: no call")
    closed = after_day_0(1, "materialize", "--dry-run", "--date", "2026-02-28")
    assert (closed.status, portal.stats()["total"]) == (1, 0)
    assert "2026-02-28 is closed and can't be pulled any more" in closed.out


def test_a_dry_run_of_a_sweep_prints_its_lists(run_on_day):
    done = run_on_day(0, "materialize", "--dry-run", options='strategy = "sweep"\n')
    assert "sweep (it is set in LMS_ACCOUNTS_FILE); 20 users, 4 courses, no previous snapshot" in done.out


def test_a_spent_budget_is_reported_if_it_fails_the_snapshot(run_on_day):
    options = 'calls_per_snapshot = 20\nwhen_spent = "fail"\n'
    done = run_on_day(0, *PULL, options=options)
    assert done.status == 1
    assert "failed: The 20 calls that a snapshot of portal may cost are used up" in done.err


def test_a_budget_is_never_exceeded_and_the_rest_follows_on_the_next_days(run_on_day, portal, tmp_path):
    days = 0
    roster = 1
    while roster:
        assert run_on_day(days, *PULL, options="calls_per_snapshot = 30\n").status == 0
        assert portal.stats()["total"] <= 30
        query = "SELECT count(*) FROM unified_enrollments WHERE source = 'roster' AND snapshot_date = "
        day = date.fromordinal(FIRST.toordinal() + days)
        roster = int(run_on_day(days, "query", f"{query} DATE '{day}'", "--format", "csv").out.split()[-1])
        days += 1
    assert days == 2


def test_a_day_is_replayed_with_its_metrics(after_day_0, portal, tmp_path):
    done = after_day_0(0, "replay", *ID, "--date", "2026-03-01")
    assert (done.status, portal.stats()["total"]) == (0, 0)
    first, *rest = done.out.splitlines()
    assert first.startswith("tenant on 2026-03-01: 40 enrollments replayed in ")
    assert rest[0].startswith("tenant on 2026-03-01: published in ")
    pulled, computed = (
        read_metadata(next((tmp_path / "data" / "lake" / table).rglob("data.parquet")))
        for table in ("unified_enrollments", "account_completion")
    )
    assert pulled["run_id"].startswith("replay-")
    assert computed["source_run_id"] == pulled["run_id"]


def test_a_replay_without_responses_is_one_sentence(run_on_day):
    done = run_on_day(0, "replay", *ID, "--date", "2026-02-20")
    assert done.status == 1
    assert done.err == "Error: No responses of portal on 2026-02-20 are stored: its snapshot stays as it is.\n"


def test_the_doctor_prints_its_findings(run_on_day, portal):
    done = run_on_day(0, "doctor")
    assert done.status == 0
    assert f"tenant, {portal.stats()['total']} calls" in done.out
    assert "yes, status 400, the insight names user[id] and course[id]" in done.out


def test_the_doctor_needs_one_account(run_on_day):
    assert run_on_day(0, "accounts", "add", "second").status == 0
    done = run_on_day(0, "doctor")
    assert (done.status, done.err) == (2, "Error: There are 2 active accounts: name one with --account ID.\n")


def test_carrying_stops_until_the_account_is_added_again(after_day_0, tmp_path):
    Registry(DataDir(tmp_path / "data")).stop_carrying(PORTAL, FIRST)
    after_day_0(1, *PULL)
    sources = "SELECT source FROM unified_enrollments WHERE snapshot_date = DATE '2026-03-02' GROUP BY ALL"
    assert after_day_0(1, "query", sources, "--format", "csv").out.split() == ["source", "unified"]
    assert after_day_0(1, "accounts", "add", PORTAL).status == 0
    assert read_account(tmp_path).carrying_stopped is None
