"""What is found to be past its time, and that looking changes nothing."""

import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.housekeeping.cleanup import load_policy, planned
from lms_pipeline.housekeeping.policy import RetentionPolicy
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings
from lms_pipeline.tables.metrics import COURSE_COMPLETION
from lms_pipeline.tables.pulled import REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.data_directory import GAP_ALERT_DAYS, OLD, OLDER, TODAY, age, kept, put, told
from lms_pipeline_tests.support.lake_files import publish


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


@pytest.fixture
def plan(data):
    def plan(**rules):
        return told(data, planned(data, RetentionPolicy(today=TODAY, **rules)))

    return plan


def test_nothing_is_due_where_there_is_nothing(plan):
    assert plan() == []


def test_answers_and_details_of_every_account_go_after_their_days(data, plan):
    kept(data, "acme", OLDER, OLD, GAP_ALERT_DAYS)
    kept(data, "failing", OLDER, OLD)
    assert plan() == [
        ("answers", "answers/account_id=acme/snapshot_date=2026-02-27.sqlite", 100),
        ("answers", "answers/account_id=acme/snapshot_date=2026-02-28.sqlite", 100),
        ("answers", "answers/account_id=failing/snapshot_date=2026-02-27.sqlite", 100),
        ("answers", "answers/account_id=failing/snapshot_date=2026-02-28.sqlite", 100),
        ("details", "state/details/account_id=acme/snapshot_date=2026-02-27.parquet", 10),
        ("details", "state/details/account_id=acme/snapshot_date=2026-02-28.parquet", 10),
        ("details", "state/details/account_id=failing/snapshot_date=2026-02-27.parquet", 10),
    ]


def test_the_latest_details_go_too_where_the_account_left(data, plan):
    kept(data, "left", OLD)
    assert [kind for kind, _, _ in plan(left={"left"})] == ["answers", "details"]


def test_half_written_details_are_not_taken_for_the_latest(data, plan):
    kept(data, "acme", OLDER)
    half = put(data.details(Partition("acme", OLD)).with_suffix(".new"))
    assert [path for kind, path, _ in plan() if kind == "details"] == [str(half.relative_to(data.root))]


def test_answers_of_lists_and_logs_of_sqlite_go_with_those_of_the_day(data, plan):
    path = data.answers(Partition("acme", OLD))
    for suffix in (".lists.sqlite", ".sqlite-shm", ".sqlite-wal"):
        put(path.with_suffix(suffix), 1)
    assert [(path.rpartition("/")[2], size) for _, path, size in plan()] == [
        ("snapshot_date=2026-02-28.lists.sqlite", 1),
        ("snapshot_date=2026-02-28.sqlite-shm", 1),
        ("snapshot_date=2026-02-28.sqlite-wal", 1),
    ]


def test_what_is_not_named_like_ours_is_left_alone(data, plan):
    put(data.all_answers / "account_id=a b" / "snapshot_date=2026-01-01.sqlite")
    put(data.all_answers / "account_id=acme" / "snapshot_date=soon.sqlite")
    put(data.all_answers / "mine.txt")
    assert plan() == []


def test_payloads_go_after_their_days_where_there_are_any(data, plan):
    for day in (OLD, GAP_ALERT_DAYS):
        publish(data, "acme", day, {"payload": "{}"}, table=REJECTED_ENROLLMENTS)
    publish(data, "acme", OLDER, table=REJECTED_ENROLLMENTS)
    [(kind, path, size)] = plan(rejected_days=30)
    assert kind == "rejected payloads"
    assert path == "lake/rejected_enrollments/account_id=acme/snapshot_date=2026-02-28/data.parquet"
    assert 0 < size < 200


def test_a_damaged_file_is_told_and_keeps_no_other_from_being_found(data, plan, caplog):
    put(data.file(REJECTED_ENROLLMENTS, Partition("acme", OLDER)))
    publish(data, "acme", OLD, {"payload": "{}"}, table=REJECTED_ENROLLMENTS)
    assert len(plan(rejected_days=30)) == 1
    assert "is damaged: restore it" in caplog.text


def test_what_killed_runs_wrote_goes_after_two_days_whichever_table_it_is_of(data, plan):
    young, old = Partition("acme", GAP_ALERT_DAYS), Partition("acme", OLD)
    put(data.unpublished_file(UNIFIED_ENROLLMENTS, young, "run-1"), days_ago=1.9)
    put(data.unpublished_file(UNIFIED_ENROLLMENTS, old, "run-2"), 7, days_ago=2.1)
    put(data.unpublished_file(COURSE_COMPLETION, old, "run-3"), 8, days_ago=40)
    put(data.file(COURSE_COMPLETION, old), 9, days_ago=40)
    assert plan() == [
        (
            "unpublished files",
            "lake/course_completion/account_id=acme/snapshot_date=2026-02-28/.data.parquet.run-3",
            8,
        ),
        (
            "unpublished files",
            "lake/unified_enrollments/account_id=acme/snapshot_date=2026-02-28/.data.parquet.run-2",
            7,
        ),
    ]


def test_folders_of_pulls_go_two_days_after_the_pull_with_what_waited_in_them(data, plan):
    for day, days_ago in ((GAP_ALERT_DAYS, 1), (OLD, 3)):
        folder = data.pull(Partition("acme", day))
        put(folder / "lock", 0)
        put(folder / "waiting" / "unified_enrollments.parquet", 12)
        age(folder, days_ago)
    assert plan() == [("folders of pulls", "state/pulls/account_id=acme/snapshot_date=2026-02-28", 12)]


def test_a_counter_goes_with_its_lock_once_nobody_has_used_either_for_a_month(data, plan):
    for name, days_ago in (("hour-acme", 31), ("hour-other", 29)):
        put(data.budgets / f"{name}.sqlite", days_ago=31)
        put(data.budgets / f"{name}.sqlite.lock", days_ago=days_ago)
    assert [path for _, path, _ in plan()] == [
        "state/budgets/hour-acme.sqlite",
        "state/budgets/hour-acme.sqlite.lock",
    ]


def test_looking_changes_nothing(data, plan):
    kept(data, "acme", OLDER, OLD)
    put(data.unpublished_file(UNIFIED_ENROLLMENTS, Partition("acme", OLD), "run-1"), days_ago=9)
    publish(data, "acme", OLD, {"payload": "{}"}, table=REJECTED_ENROLLMENTS)
    before = standing(data)
    assert len(plan(rejected_days=1)) == 5
    assert standing(data) == before


def standing(data):
    return {path: path.stat().st_mtime_ns for path in data.root.rglob("*")}


def test_the_rules_are_those_of_the_settings_the_options_and_the_registry(tmp_path):
    options = tmp_path / "accounts.toml"
    options.write_text("[accounts.acme]\nanswer_days = 7\n", encoding="utf-8")
    registry = Registry(DataDir(tmp_path).registry)
    for account_id in ("acme", "left"):
        registry.add(account_id, name=None, first_day=OLD)
    registry.remove("left", last_day=GAP_ALERT_DAYS)
    rules = load_policy(
        Settings(
            data_dir=tmp_path,
            accounts_file=options,
            frozen_now="2026-04-01T01:00:00Z",
            timezone="America/New_York",
            rejected_days=40,
        )
    )
    assert rules.today == GAP_ALERT_DAYS  # it is still the 31st in New York
    assert (rules.answer_days, rules.left, rules.rejected_days) == ({"acme": 7}, {"left"}, 40)
