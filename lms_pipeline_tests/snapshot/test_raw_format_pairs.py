"""Snapshots by pairs whose raw records come from responses in Truto's raw format."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.extract.budget import BudgetSpentError, Limits
from lms_pipeline.extract.checkpoint import Attempt
from lms_pipeline.extract.raw_format import MAX_ABSENT
from lms_pipeline.lake.files import read_metadata
from lms_pipeline.sandbox import Switches, running
from lms_pipeline.sandbox.faults import ExpiredCursor, RevokedConnection, Status
from lms_pipeline.snapshot.job import TABLES, SnapshotJob
from lms_pipeline.snapshot.run import replay_snapshot
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.pair_account import (
    COURSES,
    LEARNERS,
    LIST_PAGES,
    PAIRS,
    PairAccount,
    build_expected_rows,
    read_stored_rows,
)
from lms_pipeline_tests.support.portal import PORTAL, Portal

RAW_FORMAT = {"remote_data": "raw_format"}
ENROLLMENTS = "/unified/lms/course-enrollments"
WORKERS = AccountOptions().workers


def fault_raw(status: int, **more) -> Status:
    return Status(status=status, route=ENROLLMENTS, format="raw", **more)


def build_expected_payloads(portal: Portal, day: int) -> dict[tuple[str, str], str]:
    """The provider's object of each enrollment, as the world of the sandbox has it."""
    at = datetime.combine(PairAccount.date(day), time.max, UTC)
    payloads = {}
    for one in portal.held(day):
        (record,) = portal.view(PORTAL, at).enrollments(one.user_id, one.course_id).read(0, 1).records
        payloads[one.user_id, one.course_id] = (record.remote or b"").decode()
    return payloads


def read_payloads(account: PairAccount, day: int) -> dict[tuple[str, str], str]:
    return {(row["user_id"], row["course_id"]): row["payload"] for row in account.read_raw_rows(day)}


def read_raw_metadata(account: PairAccount, day: int = 0) -> dict[str, str]:
    return read_metadata(account.path("raw", day))


def read_digests(account: PairAccount, day: int) -> dict[str, str]:
    paths = {name: account.runner.file(name, account.date(day), PORTAL) for name in TABLES}
    return {name: read_metadata(path)["digest"] for name, path in paths.items()}


def replay(account: PairAccount, day: int, limits: Limits | None = None, **options) -> None:
    job = SnapshotJob(
        PORTAL,
        account.date(day),
        "again",
        "enrollment_id",
        AccountOptions(page_size=500, **{"strategy": "roster", **RAW_FORMAT, **options}),
        limits=limits or Limits(),
    )
    replay_snapshot(job, data=account.runner.data)


@pytest.fixture(scope="module")
def raw_data_of_day_0(tmp_path_factory, portal, serving):
    """The data directory after a pull of day 0 with raw records: for copies."""
    root = tmp_path_factory.mktemp("raw-day-0")
    PairAccount(root, portal, serving).run_day(0, options=RAW_FORMAT)
    return root


@pytest.fixture
def pulled_raw(account, raw_data_of_day_0):
    """The account after its pull of day 0 with raw records."""
    shutil.copytree(raw_data_of_day_0, account.runner.root, dirs_exist_ok=True)
    return account


@pytest.fixture(scope="module")
def refused_data_of_day_0(tmp_path_factory, portal, serving):
    """The data directory after a pull of day 0 whose raw requests were all refused: for copies."""
    root = tmp_path_factory.mktemp("refused-day-0")
    serving.fault(fault_raw(404))
    PairAccount(root, portal, serving).run_day(0, options=RAW_FORMAT)
    serving.clear_faults()
    return root


@pytest.fixture
def refused(account, refused_data_of_day_0):
    """The account after that pull."""
    shutil.copytree(refused_data_of_day_0, account.runner.root, dirs_exist_ok=True)
    return account


@pytest.mark.parametrize(("strategy", "roster_calls"), [("roster", COURSES), ("learner", LEARNERS)])
def test_each_pair_costs_two_calls_and_has_its_own_raw_record_and_role(account, portal, strategy, roster_calls):
    result = account.run_day(0, options=RAW_FORMAT | {"strategy": strategy})
    assert result.requests == account.count_calls().total() == LIST_PAGES + roster_calls + 2 * PAIRS
    queries = [dict(one.query) for one in account.sandbox.requests() if one.path == ENROLLMENTS]
    assert Counter(query.get("truto_response_format") for query in queries) == {None: PAIRS, "raw": PAIRS}
    left_out = {
        query.get("truto_response_format"): query.get("truto_ignore_remote_data") == "true" for query in queries
    }
    assert left_out == {None: True, "raw": False}
    assert read_payloads(account, 0) == build_expected_payloads(portal, 0)
    assert {row["source"] for row in account.read_raw_rows(0)} == {"raw"}
    assert read_stored_rows(account, 0) == build_expected_rows(portal, 0)
    assert (result.complete, result.raw_gaps, read_raw_metadata(account)["complete"]) == (True, None, "true")


def test_the_tables_are_those_of_remote_data_but_for_the_source(data_of_day_0, raw_data_of_day_0, portal, serving):
    rows = {}
    for option, root in (("keep", data_of_day_0), ("raw_format", raw_data_of_day_0)):
        account = PairAccount(root, portal, serving)
        raw = sorted((row["user_id"], row["course_id"], row["payload_sha256"]) for row in account.read_raw_rows(0))
        rows[option] = raw, {name: value for name, value in read_digests(account, 0).items() if "raw" not in name}
    assert rows["keep"] == rows["raw_format"]


@pytest.mark.parametrize("raw_pair", ["bare", "envelope"])
def test_the_body_may_be_the_object_or_an_envelope(account, portal, serving, raw_pair):
    serving.switch(Switches(raw_pair=raw_pair))
    result = account.run_day(0, options=RAW_FORMAT)
    serving.switch(Switches())
    assert read_payloads(account, 0) == build_expected_payloads(portal, 0)
    assert result.raw_gaps is None


def test_pairs_without_an_enrollment_cost_no_raw_call(account):
    result = account.run_day(0, options=RAW_FORMAT | {"strategy": "pairs"})
    assert account.count_calls()["course-enrollments"] == LEARNERS * COURSES + PAIRS
    assert result.pairs.not_enrolled == LEARNERS * COURSES - PAIRS
    assert len(account.read_raw_rows(0)) == PAIRS


@pytest.fixture(scope="module")
def carried(tmp_path_factory, raw_data_of_day_0, portal, serving):
    """The account after day 1 with raw records, its result, plan and calls: pulled once. Read-only."""
    root = tmp_path_factory.mktemp("raw-day-1")
    shutil.copytree(raw_data_of_day_0, root, dirs_exist_ok=True)
    account = PairAccount(root, portal, serving)
    plans: list[str] = []
    result = account.run_day(1, options=RAW_FORMAT, report_plan=plans.append)
    return account, result, plans, account.count_calls().total()


def test_raw_records_of_carried_pairs_are_carried_and_save_two_calls(carried, portal):
    account, result, plans, calls = carried
    changed = portal.changed(1)
    rotation = -(-(PAIRS - changed) // 7)
    assert calls == LIST_PAGES + COURSES + 2 * (changed + rotation)
    assert result.pairs.calls_saved == 2 * (PAIRS - changed - rotation)
    assert f": {2 * (changed + rotation)} calls, about " in plans[0]
    assert read_payloads(account, 1) == build_expected_payloads(portal, 1)
    assert {row["source"] for row in account.read_raw_rows(1)} == {"raw"}
    assert read_stored_rows(account, 1) == build_expected_rows(portal, 1)
    assert (result.raw_gaps, read_raw_metadata(account, 1)["complete"]) == (None, "true")


def test_a_day_with_carried_raw_records_is_replayed_to_the_same_snapshot(account, carried, serving):
    shutil.copytree(carried[0].runner.root, account.runner.root, dirs_exist_ok=True)
    before = read_digests(account, 1)
    serving.clear_counts()
    replay(account, 1)
    assert serving.stats()["total"] == 0
    assert read_digests(account, 1) == before


@pytest.mark.usefixtures("pulled")
def test_a_change_of_the_option_carries_nothing_over(account):
    account.run_day(1, options=RAW_FORMAT)
    assert account.count_sources(1) == {"unified": PAIRS}


class TestBudget:
    BUDGET = 61

    def test_is_kept_exactly_and_a_pair_without_its_raw_record_stays_a_roster_row(self, account, portal):
        limits = Limits(per_snapshot=self.BUDGET)
        result = account.run_day(0, limits, options=RAW_FORMAT)
        assert account.count_calls().total() == self.BUDGET
        for_pairs = self.BUDGET - LIST_PAGES - COURSES
        fetched = account.count_sources(0)["unified"]
        assert (for_pairs - WORKERS) // 2 <= fetched <= for_pairs // 2
        assert account.count_sources(0)["roster"] == PAIRS - fetched
        assert Counter(row["source"] for row in account.read_raw_rows(0)) == {"raw": fetched, "roster": PAIRS - fetched}
        assert (result.complete, result.raw_gaps) == (True, None)
        day = 0
        while account.count_sources(day)["roster"]:
            day += 1
            account.run_day(day, limits, options=RAW_FORMAT)
            assert account.count_calls().total() <= self.BUDGET
        assert read_stored_rows(account, day) == build_expected_rows(portal, day)
        assert read_payloads(account, day) == build_expected_payloads(portal, day)

    def test_of_pairs_without_rosters_fails_when_it_is_spent(self, account):
        with pytest.raises(BudgetSpentError):
            account.run_day(0, Limits(per_snapshot=self.BUDGET), options=RAW_FORMAT | {"strategy": "pairs"})
        assert account.count_calls().total() == self.BUDGET

    def test_a_larger_one_continues_without_a_repeated_request(self, account):
        sent = []
        for limits, options in [(Limits(per_snapshot=40), {"when_spent": "fail"}), (Limits(), {})]:
            with suppress(BudgetSpentError):
                account.run_day(0, limits, options=RAW_FORMAT | options)
            sent += [(one.path, tuple(one.query)) for one in account.sandbox.requests()]
        assert len(sent) == len(set(sent)) == LIST_PAGES + COURSES + 2 * PAIRS


class TestRefusal:
    @pytest.mark.parametrize("status", choose([400, 501], [400, 404, 501]))
    def test_publishes_the_enrollments_and_says_that_raw_is_missing(self, account, portal, serving, status, caplog):
        serving.fault(fault_raw(status, message="raw is not supported"))
        result = account.run_day(0, options=RAW_FORMAT)
        assert account.count_calls()["course-enrollments"] <= PAIRS + WORKERS
        expected = {pair: row | {"role": None} for pair, row in build_expected_rows(portal, 0).items()}
        assert read_stored_rows(account, 0) == expected
        assert account.read_raw_rows(0) == []
        metadata = read_raw_metadata(account)
        assert (result.complete, metadata["complete"]) == (True, "false")
        assert read_metadata(account.path("unified", 0))["complete"] == "true"
        assert metadata["incomplete_because"] == result.raw_gaps
        assert result.raw_gaps.startswith("Raw records of account portal are missing: ")
        assert "'raw is not supported'" in result.raw_gaps
        assert result.raw_gaps in caplog.text

    def test_in_the_middle_keeps_the_raw_records_so_far(self, account, portal, serving):
        serving.fault(fault_raw(400, after=20))
        result = account.run_day(0, options=RAW_FORMAT)
        payloads = read_payloads(account, 0)
        assert len(payloads) == 20
        assert payloads.items() <= build_expected_payloads(portal, 0).items()
        roles = Counter(row["role"] for row in account.read_rows(0))
        assert roles == {"learner": 20, None: PAIRS - 20}
        assert result.raw_gaps is not None

    def test_is_known_to_the_next_days_which_carry_rows_without_raw(self, refused):
        result = refused.run_day(1, options=RAW_FORMAT)
        carried = refused.count_sources(1)["carried"]
        assert carried > 0
        assert result.raw_gaps == f"{carried:,} enrollments of account portal have no raw record."
        assert len(refused.read_raw_rows(1)) == PAIRS - carried

    def test_of_all_requests_is_replayed_to_the_same_snapshot(self, refused, serving):
        self.check_replay(refused, serving)

    def test_in_the_middle_is_replayed_to_the_same_snapshot(self, account, serving):
        serving.fault(fault_raw(404, after=7))
        account.run_day(0, options=RAW_FORMAT)
        self.check_replay(account, serving)

    @staticmethod
    def check_replay(account, serving):
        before, gaps = read_digests(account, 0), read_raw_metadata(account)["incomplete_because"]
        serving.clear_faults()
        account.sandbox.clear_counts()
        replay(account, 0)
        assert account.sandbox.stats()["total"] == 0
        assert read_digests(account, 0) == before
        assert read_raw_metadata(account)["incomplete_because"] == gaps

    def test_is_not_requested_again_by_a_pull_that_continues(self, account, serving, monkeypatch):
        serving.fault(fault_raw(400))
        monkeypatch.setattr(Attempt, "finish", lambda _attempt: None)  # as if the process died here
        account.run_day(0, options=RAW_FORMAT)
        account.run_day(0, options=RAW_FORMAT)
        assert account.count_calls().total() == 0

    def test_by_absent_records_is_a_refusal_after_some_pairs(self, account, serving):
        serving.fault(fault_raw(404, remote=True, message="The requested user is not enrolled in this course"))
        result = account.run_day(0, options=RAW_FORMAT)
        assert account.count_calls()["course-enrollments"] <= PAIRS + MAX_ABSENT + WORKERS
        assert "its LMS has no raw record of 5 enrollments that it has" in result.raw_gaps

    def test_of_one_pair_is_counted(self, account, serving):
        serving.fault(fault_raw(404, remote=True, message="no such pair", after=30, times=1))
        result = account.run_day(0, options=RAW_FORMAT)
        assert len(account.read_raw_rows(0)) == PAIRS - 1
        assert result.raw_gaps == "1 enrollment of account portal has no raw record."

    def test_by_a_broken_connection_is_an_error(self, account, serving):
        serving.fault(RevokedConnection(account=PORTAL, route=ENROLLMENTS, format="raw"))
        with pytest.raises(LmsPipelineError, match="connection to its LMS is broken"):
            account.run_day(0, options=RAW_FORMAT)
        assert account.runner.list_published_tables() == []

    def test_that_may_pass_is_an_error_after_all_attempts(self, account, serving):
        serving.fault(fault_raw(503))
        with pytest.raises(LmsPipelineError, match="status 503"):
            account.run_day(0, options=RAW_FORMAT)
        assert account.runner.list_published_tables() == []


def test_faults_of_other_formats_do_not_touch_raw_requests(account, serving):
    serving.fault(ExpiredCursor(format="normalized"), fault_raw(400, times=1, after=10_000))
    assert account.run_day(0, options=RAW_FORMAT).raw_gaps is None


@pytest.fixture(scope="module")
def small_portal():
    portal = Portal(learners=6, courses=3, each=2, every=5)
    with running(portal) as sandbox:
        yield portal, sandbox


@given(budget=st.none() | st.integers(5, 30), refused_after=st.none() | st.integers(0, 14), workers=st.integers(1, 6))
@example(budget=None, refused_after=None, workers=6)
@example(budget=12, refused_after=None, workers=1)
@example(budget=20, refused_after=3, workers=4)
@settings(max_examples=choose(2, 30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_replay_is_the_same_snapshot_whatever_the_budget_and_the_refusal(
    tmp_path_factory, small_portal, budget, refused_after, workers
):
    portal, sandbox = small_portal
    sandbox.clear_faults()
    if refused_after is not None:
        sandbox.fault(fault_raw(400, after=refused_after))
    account = PairAccount(tmp_path_factory.mktemp("replayed"), portal, sandbox)
    limits = Limits(per_snapshot=budget)
    account.run_day(0, limits, options=RAW_FORMAT | {"workers": workers})
    assert budget is None or account.count_calls().total() <= budget
    before = read_digests(account, 0), read_raw_metadata(account).get("incomplete_because")
    sandbox.clear_counts()
    replay(account, 0, limits, workers=workers)
    assert sandbox.stats()["total"] == 0
    assert (read_digests(account, 0), read_raw_metadata(account).get("incomplete_because")) == before
