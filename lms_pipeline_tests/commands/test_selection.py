"""`lms-pipeline materialize --select`: groups, and metrics of days that are stored, without a call."""

from datetime import timedelta

import pytest

from lms_pipeline.commands.selection import has_pulls, parse_selection
from lms_pipeline.connection import DemoMark
from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION
from lms_pipeline_tests.defs.conftest import DAY
from lms_pipeline_tests.support.lake_files import enrollment, publish

BEFORE = DAY - timedelta(days=1)
PULLED = ["raw_enrollments", "unified_enrollments", "rejected_enrollments", "learners", "courses"]
METRICS = [
    "course_completion",
    "account_completion",
    "learner_completion",
    "cohort_completion",
    "completion_curve",
    "attention",
]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, []),
        ("pull", PULLED),
        ("metrics", METRICS),
        ("warehouse", ["warehouse"]),
        (" attention , warehouse", ["attention", "warehouse"]),
        ("attention,attention", ["attention"]),
        ("attention,pull", ["attention", *PULLED]),
        ("courses,pull", ["courses", *(name for name in PULLED if name != "courses")]),
        ("portfolio_completion", ["portfolio_completion"]),
        ("by_day", ["by_day"]),
    ],
)
def test_a_group_stands_for_its_tables(text, names):
    assert sorted(parse_selection(text)) == sorted(names)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "--select names no asset: leave it out to select all of them."),
        (" , ", "--select names no asset: leave it out to select all of them."),
        ("metric", "There is no asset 'metric': select from raw_enrollments, "),
        ("metrics,Pull", "There is no asset 'Pull': select from raw_enrollments, "),
        ("truto", "or a group: pull, metrics, warehouse."),
    ],
)
def test_what_is_no_asset_and_no_group_is_refused(text, sentence):
    with pytest.raises(WrongUseError) as refused:
        parse_selection(text)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("text", "pulls"),
    [(None, True), ("pull", True), ("metrics", False), ("warehouse", False), ("attention,courses", True)],
)
def test_only_a_pulled_table_needs_a_call(text, pulls):
    assert has_pulls(parse_selection(text)) is pulls


@pytest.fixture
def stored(command, tmp_path):
    """A command without a token, in the folder of a demo, whose account `acme` has a snapshot of `DAY`."""
    data = DataDir(tmp_path / "data")
    DemoMark(data).set()
    publish(data, "acme", DAY, enrollment("u1"))
    assert command("accounts", "add", "acme").status == 0
    return command


def read_out(done):
    return [line.split(" in ")[0] for line in done.out.splitlines()]


def test_the_metrics_of_a_stored_day_need_no_token_also_in_the_folder_of_the_demo(stored):
    done = stored("materialize", "--select", "metrics", "--date", str(DAY))
    assert (done.status, read_out(done)) == (0, [f"acme on {DAY}: published", "the warehouse: published"])


def test_days_without_a_snapshot_are_skipped_and_counted(stored, tmp_path):
    first = str(DAY - timedelta(days=3))
    done = stored("materialize", "--select", "account_completion", "--date", first, "--to", str(DAY))
    assert (done.status, read_out(done)) == (0, [f"acme on {DAY}: published", "the warehouse: published"])
    assert done.err.splitlines()[0] == "3 account-days have no snapshot."
    data = DataDir(tmp_path / "data")
    assert list(data.find_partitions(ACCOUNT_COMPLETION)) == [Partition("acme", DAY)]


def test_a_selection_without_any_snapshot_is_one_sentence(stored, tmp_path):
    done = stored("materialize", "--select", "attention", "--date", str(BEFORE))
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith(f"Error: No account has a snapshot of {BEFORE}: ")
    assert not (tmp_path / "data" / "lms.duckdb").exists()


def test_an_estimate_of_metrics_needs_no_call(stored):
    done = stored("materialize", "--select", "metrics", "--date", str(BEFORE), "--to", str(DAY), "--dry-run")
    assert (done.status, done.out) == (0, "1 account-day would be computed, without a call.\n")


@pytest.mark.parametrize(
    ("selection", "computed"),
    [
        ("portfolio_completion", "1 day over all accounts"),
        ("portfolio_completion,by_day", "1 day over all accounts"),
        ("attention,portfolio_completion", "1 account-day and 1 day over all accounts"),
        ("warehouse", "The warehouse"),
    ],
)
def test_an_estimate_names_what_is_computed(stored, selection, computed):
    done = stored("materialize", "--select", selection, "--dry-run")
    assert (done.status, done.out) == (0, f"{computed} would be computed, without a call.\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--select", "portfolio_completion", "--account", "acme"],
            "--account changes nothing with --select portfolio_completion, which is over all accounts: leave it out.",
        ),
        (
            ["--select", "warehouse", "--date", str(DAY)],
            "--date and --to change nothing with --select warehouse, which has all days: leave them out.",
        ),
    ],
)
def test_an_option_without_effect_is_refused(stored, words, sentence):
    done = stored("materialize", *words)
    assert (done.status, done.out, done.err) == (2, "", f"Error: {sentence}\n")
