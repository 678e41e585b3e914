"""`lms-pipeline materialize`: which runs it starts, what it prints, and its clean-up."""

import re
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lms_pipeline import lake
from lms_pipeline.checks.base import Check, Finding
from lms_pipeline.commands.materialize import _summarize_interrupted
from lms_pipeline.defs import asset_checks
from lms_pipeline.defs.instance import RunOutcome
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.sandbox.faults import Status
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION
from lms_pipeline.tables.pulled import UNIFIED_ENROLLMENTS
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.support.data_directory import put_responses


@pytest.fixture
def synced(connected, empty_installation, tmp_path):
    """Return `connected` after `accounts sync`, with a warehouse, since an update of it takes less time than the first build."""
    shutil.copytree(empty_installation.root, tmp_path / "data", dirs_exist_ok=True)
    assert connected("accounts", "sync").status == 0
    return connected


def test_all_active_accounts_and_the_latest_ended_day_are_pulled(materialized):
    done = materialized.done
    assert done.status == 0
    assert [line.split(" in ")[0] for line in done.out.splitlines()] == [
        "tenant-north on 2026-03-10: 3 enrollments",
        "tenant-south on 2026-03-10: 1 enrollment",
        "the warehouse: published",
    ]


def test_lms_now_is_reported(materialized):
    assert "LMS_NOW is set: 2026-03-11 02:00 UTC is used as the current time." in materialized.done.err


def test_a_failed_account_is_named_with_why_and_the_others_are_published(synced, tmp_path):
    synced("accounts", "add", "nowhere", "--name", "Nowhere Ltd")
    done = synced("materialize", "--select", "unified_enrollments", "--account", "nowhere", "--account", "south")
    assert done.status == 1
    assert "Nowhere Ltd on 2026-03-10: failed: Truto refused the request" in done.err
    assert "1 of 3 runs failed." in done.err
    assert "tenant-south on 2026-03-10: 1 enrollment" in done.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--account", "../../x"], "'../../x' can't be an account id"),
        (["--account", "__HIVE_DEFAULT_PARTITION__"], "can't be an account id"),
        (["--account", "nobody"], "Account nobody is not in the registry: `lms-pipeline accounts list` prints"),
        (["--date", "2026-03-11"], "2026-03-11 has not ended yet: the latest day that can be pulled is 2026-03-10."),
        (["--date", "1999-12-31"], "1999-12-31 is before 2000-01-01: no data directory has a snapshot of it."),
        (["--date", "2026-03-10", "--to", "2026-03-09"], "--to 2026-03-09 is before --date 2026-03-10"),
        (["--date", "yesterday"], "'yesterday' is not a day: write it as 2026-01-31."),
        (["--select", "enrolments"], "There is no asset 'enrolments': select from raw_enrollments"),
    ],
)
def test_wrong_use_is_one_sentence_and_starts_no_run(words, sentence, synced, tmp_path):
    done = synced("materialize", *words)
    assert done.status == 2
    assert sentence in done.err
    assert "Traceback" not in done.err
    assert not DataDir(tmp_path / "data").lake.exists()


def test_a_day_that_dagster_does_not_list_is_computed(after_a_day, monkeypatch):
    monkeypatch.setenv("LMS_PARTITION_DAYS", "1")
    monkeypatch.setenv("LMS_NOW", "2026-03-25T02:00:00Z")
    done = after_a_day("materialize", "--account", "north", "--select", "metrics", "--date", "2026-03-10")
    assert (done.status, done.out.splitlines()[0].split(" in ")[0]) == (0, "tenant-north on 2026-03-10: published")


def test_a_closed_day_is_refused_with_the_open_day(synced):
    done = synced("materialize", "--date", "2026-03-09", "--account", "north")
    assert done.status == 1
    assert "the day that is open is 2026-03-10" in done.err


def test_without_accounts_it_says_how_to_add_some(command):
    done = command("materialize")
    assert (done.status, done.out) == (2, "")
    assert "lms-pipeline accounts sync" in done.err


def test_a_wrong_token_is_not_printed(synced, monkeypatch):
    monkeypatch.setenv("TRUTO_API_TOKEN", "secret-of-mine")
    done = synced("materialize", "--account", "north")
    assert done.status == 1
    assert "Truto does not accept the token" in done.err
    assert "secret-of-mine" not in done.err + done.out


def test_a_missing_token_is_refused_before_the_first_run(synced, monkeypatch):
    monkeypatch.delenv("TRUTO_API_TOKEN")
    done = synced("materialize")
    assert (done.status, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith("Error: There is no API token: set TRUTO_API_TOKEN")


def test_what_needs_no_call_needs_no_token(after_a_day, monkeypatch):
    monkeypatch.delenv("TRUTO_API_TOKEN")
    assert after_a_day("materialize", "--account", "north", "--select", "warehouse,course_completion").status == 0


def test_the_warehouse_can_be_selected_without_a_pull_and_without_a_token(synced, monkeypatch):
    monkeypatch.delenv("TRUTO_API_TOKEN")
    done = synced("materialize", "--select", "warehouse")
    assert (done.status, [line.split(" in ")[0] for line in done.out.splitlines()]) == (0, ["the warehouse: published"])


def read_portfolio(tmp_path):
    rows = lake.read("portfolio_completion", data_dir=tmp_path / "data").to_pylist()
    return {row["snapshot_date"]: (row["n_all"], row["accounts"], row["accounts_missing"]) for row in rows}


def test_the_portfolio_of_the_day_is_computed_at_the_end(synced, tmp_path):
    synced("materialize", "--account", "north")
    assert read_portfolio(tmp_path) == {DAY: (3, 1, 1)}
    synced("materialize", "--account", "south")
    assert read_portfolio(tmp_path) == {DAY: (4, 2, 0)}
    found = synced("query", "SELECT n_all, accounts FROM portfolio_completion", "--format", "csv")
    assert found.out.split() == ["n_all,accounts", "4,2"]


def test_a_day_of_the_portfolio_can_be_selected_without_a_pull(after_a_day, tmp_path):
    done = after_a_day("materialize", "--select", "portfolio_completion")
    assert (done.status, [line.split(" in ")[0] for line in done.out.splitlines()]) == (
        0,
        ["the portfolio of 2026-03-10: published", "the warehouse: published"],
    )
    assert read_portfolio(tmp_path) == {DAY: (4, 2, 0)}


def test_a_selected_day_of_the_portfolio_without_metrics_is_one_sentence(synced):
    done = synced("materialize", "--select", "portfolio_completion")
    assert done.status == 1
    *_, sentence, summary = done.err.splitlines()
    assert sentence.startswith("the portfolio of 2026-03-10: failed: No account has metrics of 2026-03-10: materialize")
    assert summary == "1 of 2 runs failed."


def test_the_roll_ups_of_a_day_can_be_selected_without_a_token(after_a_day, monkeypatch, tmp_path):
    monkeypatch.delenv("TRUTO_API_TOKEN")
    done = after_a_day("materialize", "--select", "by_day")
    assert (done.status, [line.split(" in ")[0] for line in done.out.splitlines()]) == (
        0,
        ["the roll-ups of 2026-03-10: published", "the warehouse: published"],
    )
    rolled_up = pq.read_table(DataDir(tmp_path / "data").roll_up(UNIFIED_ENROLLMENTS, DAY))
    assert sorted(rolled_up["account_id"].to_pylist()) == ["north", "north", "north", "south"]


def test_old_responses_of_the_pulled_accounts_are_removed(synced, tmp_path):
    data, old = DataDir(tmp_path / "data"), DAY - timedelta(days=31)
    put_responses(data, "north", old, old + timedelta(days=1))
    put_responses(data, "south", old)
    done = synced("materialize", "--account", "north", "--select", "unified_enrollments")
    assert done.status == 0
    assert not data.checkpoint_path(Partition("north", old)).exists()
    assert data.checkpoint_path(Partition("north", old + timedelta(days=1))).exists()
    assert data.checkpoint_path(Partition("north", DAY)).exists()
    assert data.checkpoint_path(Partition("south", old)).exists()


def test_old_responses_of_a_failed_account_are_removed_and_counted(synced, tmp_path):
    synced("accounts", "add", "nowhere")
    data, old = DataDir(tmp_path / "data"), DAY - timedelta(days=31)
    put_responses(data, "nowhere", old - timedelta(days=1), old)
    done = synced("materialize", "--account", "nowhere", "--select", "unified_enrollments")
    assert done.status == 1
    assert done.out.splitlines()[-1] == "Removed 2 answers (200 B), 1 detail (10 B)."
    assert data.fingerprints_path(Partition("nowhere", old)).exists()


def test_a_failed_pull_leaves_no_empty_folder(synced, sandbox, tmp_path):
    sandbox.fault(Status(status=400, account="north", route="/unified/lms/course-enrollments"))
    done = synced("materialize", "--account", "north")
    assert done.status == 1
    assert "Removed" not in done.out
    assert list((tmp_path / "data" / "lake").glob("*/*")) == []


def test_temporary_folders_of_killed_checks_are_removed_and_counted(synced):
    left = Path(tempfile.mkdtemp(prefix="lms-checks-"))
    (left / "lock").touch()
    done = synced("materialize", "--select", "warehouse")
    assert done.out.splitlines()[-1] == "Removed 1 temporary folder (0 B)."
    assert not left.exists()


@pytest.mark.parametrize("words", [["--dry-run"], ["--select", "course_completion"]])
def test_without_a_pull_no_responses_are_removed(words, synced, tmp_path):
    data, old = DataDir(tmp_path / "data"), DAY - timedelta(days=31)
    put_responses(data, "north", old)
    synced("materialize", "--account", "north", *words)
    assert data.checkpoint_path(Partition("north", old)).exists()


def test_an_account_that_waits_for_its_lms_is_printed_and_continued_after_the_others(synced, sandbox, monkeypatch):
    sandbox.fault(Status(status=429, retry_after=3_000, account="north", remote=True))
    monkeypatch.setattr("lms_pipeline.defs.instance.sleep", lambda _seconds: sandbox.clear_faults())
    done = synced("materialize", "--select", "unified_enrollments")
    assert (done.status, done.err.count("failed")) == (0, 0)
    first, *others = done.out.splitlines()
    assert re.fullmatch(
        r"tenant-north on 2026-03-10: its LMS allows the next call at \d\d:\d\d UTC, and it continues then", first
    )
    assert [line.split(" in ")[0] for line in others] == [
        "tenant-south on 2026-03-10: 1 enrollment",
        "tenant-north on 2026-03-10: continues now",
        "tenant-north on 2026-03-10: 3 enrollments",
        "the warehouse: published",
    ]


@pytest.mark.parametrize(
    ("ended", "summary"),
    [
        ([], "Interrupted: 0 of 3 runs are published."),
        ([("a", None, True)], "Interrupted: 0 of 3 runs are published, 1 waits for its LMS."),
        ([("a", None, True), ("b", None, False)], "Interrupted: 1 of 3 runs is published, 1 waits for its LMS."),
        ([("a", None, True), ("b", "no", False), ("a", None, False)], "Interrupted: 1 of 3 runs is published."),
        (
            [("a", None, True), ("b", None, False), ("c", None, False), ("a", None, True)],
            "Interrupted: 2 of 3 runs are published, 1 waits for its LMS.",
        ),
        (
            [("a", None, False), ("b", "no", False), ("c", None, False)],
            "Interrupted: 2 of 3 runs are published. The warehouse was not built: run ",
        ),
    ],
)
def test_an_interrupted_command_says_how_many_wait(ended, summary):
    outcomes = [
        RunOutcome(subject, error, 1.0, continues_at=datetime(2026, 3, 11, tzinfo=UTC) if waits else None)
        for subject, error, waits in ended
    ]
    assert _summarize_interrupted(outcomes, 3).startswith(summary)


def sums_agree(_subject):
    """The sums agree."""
    return Finding(passed=False, message="2 of 3 sums differ.")


def replace_checks(monkeypatch, stage, table, **options):
    """Let one check, which fails, be the only one of a stage."""
    monkeypatch.setattr(asset_checks, stage, (Check(sums_agree, (table,), **options),))


def test_a_failed_check_is_one_line_after_its_run_and_changes_no_status(synced, monkeypatch):
    replace_checks(monkeypatch, "METRIC_CHECKS", ACCOUNT_COMPLETION)
    done = synced("materialize", "--account", "north")
    assert done.status == 0  # it is published
    assert done.err.splitlines()[1:] == [
        "tenant-north on 2026-03-10: check sums_agree of account_completion failed: 2 of 3 sums differ."
    ]
    assert "tenant-north on 2026-03-10: 3 enrollments in" in done.out


def test_a_warning_of_a_check_is_one_line_and_the_status_is_0(synced, monkeypatch):
    replace_checks(monkeypatch, "PULL_CHECKS", UNIFIED_ENROLLMENTS, is_error=False)
    done = synced("materialize", "--account", "south", "--select", "unified_enrollments")
    assert (done.status, done.err.splitlines()[1:]) == (
        0,
        ["tenant-south on 2026-03-10: check sums_agree of unified_enrollments warns: 2 of 3 sums differ."],
    )


def test_a_failed_check_that_fails_its_run_is_printed_once(synced, monkeypatch):
    replace_checks(monkeypatch, "PULL_CHECKS", UNIFIED_ENROLLMENTS, is_blocking=True)
    done = synced("materialize", "--account", "north", "--select", "unified_enrollments")
    assert (done.status, done.err.count("2 of 3 sums differ.")) == (1, 1)
    assert done.err.splitlines()[-1] == "1 of 2 runs failed."


def test_a_failed_check_of_the_portfolio_names_its_day(synced, monkeypatch):
    (key, *_) = asset_checks.PORTFOLIO_CHECK_KEYS
    monkeypatch.setattr(asset_checks, "_run_check", lambda check, _open_table: check.run(None))
    monkeypatch.setattr(asset_checks, "PORTFOLIO_CHECK_KEYS", {key: Check(sums_agree)})
    monkeypatch.setattr(asset_checks, "PULL_CHECKS", ())
    monkeypatch.setattr(asset_checks, "METRIC_CHECKS", ())
    done = synced("materialize", "--account", "north")
    assert (done.status, done.err.splitlines()[1:]) == (
        0,
        [f"the warehouse: check {key.name} of portfolio_completion on 2026-03-10 failed: 2 of 3 sums differ."],
    )


def test_the_checks_of_all_accounts_fail_no_command(synced, monkeypatch):
    monkeypatch.setenv("LMS_NOW", "2026-03-13T02:00:00+00:00")  # both accounts lack closed days
    done = synced("materialize", "--select", "warehouse")
    assert (done.status, done.err.count("check")) == (0, 0)
