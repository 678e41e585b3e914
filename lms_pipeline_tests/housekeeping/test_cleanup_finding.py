"""Which items are found to be expired, and that the search changes nothing."""

from datetime import timedelta

import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.errors import LakeError
from lms_pipeline.housekeeping import cleanup
from lms_pipeline.housekeeping.cleanup import find_empty_folders, find_expired, load_policy
from lms_pipeline.housekeeping.payloads import measure_payload_bytes
from lms_pipeline.housekeeping.policy import RetentionPolicy
from lms_pipeline.lake.index import PublicationIndex
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings
from lms_pipeline.tables.metrics import COURSE_COMPLETION
from lms_pipeline.tables.pulled import REJECTED_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.data_directory import OLD, OLDER, RECENT, TODAY, age, describe, put, put_responses
from lms_pipeline_tests.support.index_marks import replace_marks
from lms_pipeline_tests.support.lake_files import publish


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path)


@pytest.fixture
def find(data):
    def find(**policy):
        return describe(data, find_expired(data, RetentionPolicy(today=TODAY, **policy)))

    return find


def test_an_empty_data_directory_has_no_expired_items(find):
    assert find() == []


def test_responses_and_fingerprints_of_every_account_expire(data, find):
    put_responses(data, "acme", OLDER, OLD, RECENT)
    put_responses(data, "failing", OLDER, OLD)
    assert find() == [
        ("answers", "answers/account_id=acme/snapshot_date=2026-02-27.sqlite", 100),
        ("answers", "answers/account_id=acme/snapshot_date=2026-02-28.sqlite", 100),
        ("answers", "answers/account_id=failing/snapshot_date=2026-02-27.sqlite", 100),
        ("answers", "answers/account_id=failing/snapshot_date=2026-02-28.sqlite", 100),
        ("details", "state/details/account_id=acme/snapshot_date=2026-02-27.parquet", 10),
        ("details", "state/details/account_id=acme/snapshot_date=2026-02-28.parquet", 10),
        ("details", "state/details/account_id=failing/snapshot_date=2026-02-27.parquet", 10),
    ]


def test_items_are_found_although_the_mark_in_the_index_can_not_be_written(data, find, monkeypatch, caplog):
    """On a full disk, which housekeeping has to clear."""
    write = PublicationIndex.write_marks

    def refuse(index, marks):
        if cleanup.PAYLOADS in marks:
            raise LakeError("The index can't be written: the disk is full.")
        write(index, marks)

    put_responses(data, "acme", OLD)
    monkeypatch.setattr(PublicationIndex, "write_marks", refuse)
    assert [kind for kind, _, _ in find(rejected_days=1)] == ["answers"]
    assert "looks at the payloads of the same days again: The index can't be written" in caplog.text


def test_the_latest_fingerprints_of_a_removed_account_expire(data, find):
    put_responses(data, "removed", OLD)
    assert [kind for kind, _, _ in find(former_accounts={"removed"})] == ["answers", "details"]


def test_half_written_fingerprints_do_not_count_as_the_latest(data, find):
    put_responses(data, "acme", OLDER)
    half = put(data.fingerprints_path(Partition("acme", OLD)).with_suffix(".parquet.new"))
    assert [path for kind, path, _ in find() if kind == "details"] == [str(half.relative_to(data.root))]


def test_copies_of_damaged_files_expire_with_their_day(data, find):
    for day in (OLD, RECENT):
        put(data.checkpoint_path(Partition("acme", day)).with_suffix(".sqlite.damaged"))
    folder = data.checkpoint_path(Partition("beta", OLD)).with_suffix(".sqlite.damaged")
    put(folder / "file")
    assert [path for _, path, _ in find()] == [
        "answers/account_id=acme/snapshot_date=2026-02-28.sqlite.damaged",
        "answers/account_id=beta/snapshot_date=2026-02-28.sqlite.damaged",
    ]


def test_responses_of_lists_and_sqlite_logs_expire_with_their_day(data, find):
    path = data.checkpoint_path(Partition("acme", OLD))
    for suffix in (".lists.sqlite", ".sqlite-shm", ".sqlite-wal"):
        put(path.with_suffix(suffix), 1)
    assert [(path.rpartition("/")[2], size) for _, path, size in find()] == [
        ("snapshot_date=2026-02-28.lists.sqlite", 1),
        ("snapshot_date=2026-02-28.sqlite-shm", 1),
        ("snapshot_date=2026-02-28.sqlite-wal", 1),
    ]


def test_files_with_other_names_are_ignored(data, find):
    put(data.checkpoints / "account_id=a b" / "snapshot_date=2026-01-01.sqlite")
    put(data.checkpoints / "account_id=acme" / "snapshot_date=soon.sqlite")
    put(data.checkpoints / "mine.txt")
    assert find() == []


def test_only_files_with_payloads_expire(data, find):
    for day in (OLD, RECENT):
        publish(data, "acme", day, {"payload": "{}"}, table=REJECTED_ENROLLMENTS)
    publish(data, "acme", OLDER, table=REJECTED_ENROLLMENTS)
    [(kind, path, size)] = find(rejected_days=30)
    assert kind == "rejected payloads"
    assert path == "lake/rejected_enrollments/account_id=acme/snapshot_date=2026-02-28/data.parquet"
    assert 0 < size < 200


def test_a_damaged_file_is_logged_and_the_others_are_found(data, find, caplog):
    put(data.file(REJECTED_ENROLLMENTS, Partition("acme", OLDER)))
    publish(data, "acme", OLD, {"payload": "{}"}, table=REJECTED_ENROLLMENTS)
    assert len(find(rejected_days=30)) == 1
    assert "is damaged: restore it" in caplog.text


def test_unpublished_files_of_every_table_expire_after_two_days(data, find):
    young, old = Partition("acme", RECENT), Partition("acme", OLD)
    put(data.unpublished_file(UNIFIED_ENROLLMENTS, young, "run-1"), days_ago=1.9)
    put(data.unpublished_file(UNIFIED_ENROLLMENTS, old, "run-2"), 7, days_ago=2.1)
    put(data.unpublished_file(COURSE_COMPLETION, old, "run-3"), 8, days_ago=40)
    put(data.file(COURSE_COMPLETION, old), 9, days_ago=40)
    assert find() == [
        ("unpublished files", "lake/course_completion/account_id=acme/snapshot_date=2026-02-28/.data.parquet.run-3", 8),
        (
            "unpublished files",
            "lake/unified_enrollments/account_id=acme/snapshot_date=2026-02-28/.data.parquet.run-2",
            7,
        ),
    ]


def test_folders_of_pulls_expire_after_two_days_with_their_staged_rows(data, find):
    for day, days_ago in ((RECENT, 1), (OLD, 3)):
        folder = data.pull_folder(Partition("acme", day))
        put(folder / "lock", 0)
        put(folder / "waiting" / "unified_enrollments.parquet", 12)
        age(folder, days_ago)
    assert find() == [("folders of pulls", "state/pulls/account_id=acme/snapshot_date=2026-02-28", 12)]


def test_a_call_counter_and_its_lock_expire_after_30_days_without_a_call(data, find):
    for name, days_ago in (("hour-acme", 31), ("hour-other", 29)):
        put(data.budgets / f"{name}.sqlite", days_ago=31)
        put(data.budgets / f"{name}.sqlite.lock", days_ago=days_ago)
    assert [path for _, path, _ in find()] == ["state/budgets/hour-acme.sqlite", "state/budgets/hour-acme.sqlite.lock"]


def test_the_search_changes_nothing(data, find):
    put_responses(data, "acme", OLDER, OLD)
    put(data.unpublished_file(UNIFIED_ENROLLMENTS, Partition("acme", OLD), "run-1"), days_ago=9)
    publish(data, "acme", OLD, {"payload": "{}"}, table=REJECTED_ENROLLMENTS)
    before = list_mtimes(data)
    assert len(find(rejected_days=1)) == 5
    assert list_mtimes(data) == before


def list_mtimes(data):
    """Return all files and folders but the index, which follows the lake."""
    paths = (path for path in data.root.rglob("*") if path != data.state and not path.name.startswith("index"))
    return {path: path.stat().st_mtime_ns for path in paths}


def test_the_policy_reads_the_settings_the_options_and_the_registry(tmp_path):
    options = tmp_path / "accounts.toml"
    options.write_text("[accounts.acme]\nanswer_days = 7\n", encoding="utf-8")
    registry = Registry(DataDir(tmp_path))
    for account_id in ("acme", "removed"):
        registry.add(account_id, name=None, first_day=OLD)
    registry.remove("removed", last_day=RECENT)
    policy = load_policy(
        Settings(
            data_dir=tmp_path,
            accounts_file=options,
            frozen_now="2026-04-01T01:00:00Z",
            timezone="America/New_York",
            rejected_days=40,
        )
    )
    assert policy.today == RECENT  # it is still the 31st in New York
    assert (policy.answer_days, policy.former_accounts, policy.rejected_days) == ({"acme": 7}, {"removed"}, 40)


class TestFoldersOfFailedPulls:
    def make(self, data, table, *, days_ago=0.0):
        folder = data.file(table, Partition("acme", OLD)).parent
        folder.mkdir(parents=True)
        age(folder, days_ago)

    def test_are_found_at_once_if_a_pull_writes_the_table(self, data, find):
        self.make(data, UNIFIED_ENROLLMENTS)
        assert find() == [("empty folders", "lake/unified_enrollments/account_id=acme/snapshot_date=2026-02-28", 0)]

    @pytest.mark.parametrize(("days_ago", "count"), [(1.9, 0), (2.1, 1)])
    def test_are_found_when_they_are_old_if_metrics_write_the_table(self, data, find, days_ago, count):
        self.make(data, COURSE_COMPLETION, days_ago=days_ago)
        assert len(find()) == count

    def test_stay_with_a_file(self, data, find):
        publish(data, "acme", OLD)
        assert find() == []

    def test_are_found_of_chosen_partitions(self, data):
        self.make(data, UNIFIED_ENROLLMENTS)
        found = [
            list(find_empty_folders(data, RetentionPolicy(today=TODAY), [Partition("acme", day)]))
            for day in (OLD, RECENT)
        ]
        assert [len(items) for items in found] == [1, 0]


@pytest.mark.parametrize(("days_ago", "count"), [(1.9, 0), (2.1, 1)])
def test_what_a_killed_audit_spilled_beside_its_file_is_found_by_its_age(data, find, days_ago, count):
    published = publish(data, "acme", OLD)
    put(published.path.with_name("duckdb_temp_4711_0_storage_DEFAULT-0.tmp"), days_ago=days_ago)
    assert [kind for kind, _, _ in find()] == ["unpublished files"] * count


@pytest.mark.parametrize(("days_ago", "has_build", "count"), [(1.9, False, 0), (2.1, False, 1), (2.1, True, 0)])
def test_what_a_killed_build_of_the_warehouse_spilled_is_found(data, find, days_ago, has_build, count):
    build = data.state / "warehouse" / "lms-abc.duckdb"
    put(build.with_name("lms-abc.duckdb.tmp") / "duckdb_temp_4711_0_storage_DEFAULT-0.tmp")
    age(build.with_name("lms-abc.duckdb.tmp"), days_ago)
    if has_build:
        put(build)
    assert [kind for kind, _, _ in find()] == ["temporary folders"] * count


class TestRejectedPayloads:
    """Files that were looked at before are not opened again."""

    @pytest.fixture
    def opened(self, monkeypatch):
        opened = []

        def note(data, partition):
            opened.append(partition.folder.name)
            return measure_payload_bytes(data, partition)

        monkeypatch.setattr(cleanup, "measure_payload_bytes", note)
        return opened

    @pytest.fixture
    def history(self, data, find, opened):
        """Two days without payloads that were looked at."""
        for day in (OLDER, OLD):
            publish(data, "acme", day, table=REJECTED_ENROLLMENTS)
        assert find(rejected_days=1) == []
        opened.clear()

    def test_of_days_that_had_none_are_not_looked_for_again(self, history, find, opened):
        assert find(rejected_days=1) == []
        assert opened == []

    def test_of_a_day_that_has_expired_since_are_found(self, history, data, opened):
        publish(data, "acme", RECENT, {"payload": "{}"}, table=REJECTED_ENROLLMENTS)
        policy = RetentionPolicy(today=RECENT + timedelta(days=2), rejected_days=1)
        found = [item.partition for item in find_expired(data, policy) if item.kind == "rejected payloads"]
        assert found == [Partition("acme", RECENT)]
        assert opened == [f"snapshot_date={RECENT}"]

    def test_of_an_old_day_that_was_published_again_are_found(self, history, data, find, opened):
        publish(data, "acme", OLDER, {"payload": "{}"}, table=REJECTED_ENROLLMENTS)
        assert [kind for kind, _, _ in find(rejected_days=1)] == ["rejected payloads"]
        assert opened == [f"snapshot_date={OLDER}"]

    def test_that_were_found_and_not_removed_are_found_again(self, history, data, find):
        publish(data, "acme", OLDER, {"payload": "{}"}, table=REJECTED_ENROLLMENTS)
        assert find(rejected_days=1) == find(rejected_days=1) != []

    @pytest.mark.parametrize("text", ["{}", "no JSON"])
    def test_are_looked_for_on_all_days_after_another_version(self, history, data, find, opened, text):
        replace_marks(data, cleanup.PAYLOADS, text)
        assert find(rejected_days=1) == []
        assert opened == [f"snapshot_date={day}" for day in (OLDER, OLD)]

    def test_are_found_if_they_are_kept_for_fewer_days_than_before(self, history, data, find):
        publish(data, "acme", OLD, {"payload": "{}"}, table=REJECTED_ENROLLMENTS)
        assert find(rejected_days=300) == []
        assert [kind for kind, _, _ in find(rejected_days=1)] == ["rejected payloads"]
