"""Accounts whose ids differ only in upper and lower case, on a disk that distinguishes them and on one that does not."""

from datetime import date
from pathlib import Path

import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.lake import letter_case
from lms_pipeline.lake.letter_case import OtherSpellingError, ignores_letter_case
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.settings import Settings
from lms_pipeline.snapshot.job import SnapshotJob
from lms_pipeline.truto.models import IntegratedAccount, Integration
from lms_pipeline_tests.support.lake_files import enrollment, publish

DAY = date(2026, 3, 10)
SENTENCE = (
    "Account {} can't be used beside {}: the disk of LMS_DATA_DIR does not distinguish upper and lower case, so that both "
    "would have the same files; use a disk that does."
)


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def registry(settings):
    return Registry.open(settings)


@pytest.fixture
def ignoring(monkeypatch):
    """A disk that does not distinguish upper and lower case."""
    monkeypatch.setattr(letter_case, "ignores_letter_case", lambda _folder: True)


def add(registry, *account_ids):
    for account_id in account_ids:
        registry.add(account_id, name=None, first_day=DAY)


def sync(registry, *account_ids):
    listed = [IntegratedAccount(one, integration=Integration(name="lms", category="lms")) for one in account_ids]
    return registry.sync(listed, integrations=(), day=DAY)


def load_job(settings, account_id):
    return SnapshotJob.load(settings, Partition(account_id, DAY), "run-1")


def read_ids(registry):
    return [account.id for account in registry.read_accounts()]


class TestProbe:
    def test_of_this_disk_distinguishes(self, tmp_path):
        (tmp_path / "state").mkdir()
        assert not ignores_letter_case(tmp_path / "state")

    def test_of_two_folders_is_not_deceived(self, tmp_path):
        (tmp_path / "state").mkdir()
        (tmp_path / "STATE").mkdir()
        assert not ignores_letter_case(tmp_path / "state")

    def test_of_one_folder_under_both_names_does_not(self, tmp_path):
        (tmp_path / "state").mkdir()
        (tmp_path / "STATE").symlink_to(tmp_path / "state")
        assert ignores_letter_case(tmp_path / "state")

    def test_of_a_missing_folder_distinguishes(self):
        assert not ignores_letter_case(Path("/nowhere/at-all"))


class TestDiskThatDistinguishes:
    def test_registers_and_pulls_both(self, registry, settings):
        add(registry, "acme", "ACME")
        assert sync(registry, "Acme", "aCME") == ["Acme", "aCME"]
        assert load_job(settings, "ACME").account_id == "ACME"


def test_a_pull_lists_no_folders_of_other_accounts_on_a_disk_that_distinguishes(registry, settings, monkeypatch):
    add(registry, "acme", "Acme")
    monkeypatch.setattr(DataDir, "list_account_ids", lambda _data: pytest.fail("listed"))
    assert load_job(settings, "acme").account_id == "acme"


@pytest.mark.usefixtures("ignoring")
class TestDiskThatDoesNot:
    @pytest.mark.parametrize(("first", "second"), [("acme", "Acme"), ("A-1_b", "a-1_B")])
    def test_refuses_the_second_one_by_hand(self, registry, first, second):
        add(registry, first)

        with pytest.raises(OtherSpellingError) as refused:
            add(registry, second)

        assert str(refused.value) == SENTENCE.format(second, first)
        assert read_ids(registry) == [first]

    def test_adds_the_same_one_again(self, registry):
        add(registry, "acme", "acme")
        assert read_ids(registry) == ["acme"]

    def test_refuses_the_spelling_of_an_account_that_was_removed_since_its_files_stay(self, registry):
        add(registry, "acme")
        registry.remove("acme", last_day=DAY)
        with pytest.raises(OtherSpellingError):
            add(registry, "Acme")

    def test_skips_the_second_one_of_a_list_and_registers_the_others(self, registry, caplog):
        assert sync(registry, "acme", "ACME", "zebra") == ["acme", "zebra"]
        assert read_ids(registry) == ["acme", "zebra"]
        assert [record.message for record in caplog.records] == [
            f"Skipped an account: {SENTENCE.format('ACME', 'acme')}"
        ]

    def test_skips_the_spelling_of_a_registered_account(self, registry):
        add(registry, "acme")
        assert sync(registry, "Acme", "zebra") == ["zebra"]

    def test_keeps_what_is_registered_and_pulls_neither(self, registry, settings, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(letter_case, "ignores_letter_case", lambda _folder: False)
            add(registry, "acme", "Acme")

        assert sync(registry, "acme", "Acme") == []

        for account_id, other in (("acme", "Acme"), ("Acme", "acme")):
            with pytest.raises(OtherSpellingError) as refused:
                load_job(settings, account_id)
            assert str(refused.value) == SENTENCE.format(account_id, other)

    def test_does_not_pull_over_the_files_of_another_spelling(self, registry, settings):
        add(registry, "acme")
        publish(DataDir(settings.data_dir), "Acme", DAY, enrollment("u1"))
        with pytest.raises(OtherSpellingError):
            load_job(settings, "acme")

    def test_pulls_an_account_with_its_own_files(self, registry, settings):
        add(registry, "acme", "zebra")
        publish(DataDir(settings.data_dir), "acme", DAY, enrollment("u1"))
        assert load_job(settings, "acme").account_id == "acme"
